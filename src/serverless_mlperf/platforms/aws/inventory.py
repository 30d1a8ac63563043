"""What stands of a project now, and what it costs while nobody uses it."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from serverless_mlperf.platforms.aws.buckets import Bucket, Size
from serverless_mlperf.platforms.aws.estimate import idle_estimate, idle_lines
from serverless_mlperf.platforms.aws.failures import is_missing, told
from serverless_mlperf.platforms.aws.session import Aws
from serverless_mlperf.platforms.aws.spec import ALIAS, artefacts_bucket, bucket_name
from serverless_mlperf.platforms.aws.stack import Stack
from serverless_mlperf.pricing.stack import StackFunction
from serverless_mlperf.pricing.table import architecture_of
from serverless_mlperf.redaction import redacted
from serverless_mlperf.workloads import Architecture

_COUNTS: Final = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class StandingFunction:
    """One deployed function."""

    name: str
    memory_mib: int
    architecture: Architecture
    reserved: int | None
    provisioned: int
    snap_start: bool


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything of one project in one account and region."""

    project: str
    region: str
    stack: str | None
    """Its status; None when there is none."""
    functions: tuple[StandingFunction, ...]
    queues: Mapping[str, int]
    """Messages by the queue's name."""
    buckets: Mapping[str, Size]
    log_bytes: int

    @property
    def is_empty(self) -> bool:
        """Whether nothing stands."""
        return self.stack is None and not self.buckets

    def lines(self) -> Iterator[str]:
        """For people."""
        if self.is_empty:
            yield f"nothing of {self.project} stands in {self.region}"
            return
        yield f"stack {self.project}: {self.stack or 'none'}"
        for function in self.functions:
            yield f"  {function.name}: {function.memory_mib} MB, {function.architecture}{_ready(function)}"
        waiting = {name: count for name, count in self.queues.items() if count}
        yield f"  {len(self.queues)} queues, " + (
            ", ".join(f"{name}: {count} messages" for name, count in waiting.items()) or "all empty"
        )
        for name, size in self.buckets.items():
            more = "" if size.whole else " or more"
            yield f"  bucket {redacted(name)}: {size.objects} objects{more}, {size.size_bytes / _MIB:.1f} MiB{more}"
        yield from idle_lines(self.region, self._priced(), self._stored(), self.log_bytes)

    def to_dict(self) -> dict[str, Any]:
        """For machines; the price is an estimate, null where it is not known, and names no account."""
        idle = idle_estimate(self.region, self._priced(), self._stored(), self.log_bytes)
        known = None if isinstance(idle, str) else idle
        return {
            "project": self.project,
            "region": self.region,
            "stack": self.stack,
            "functions": [asdict(function) for function in self.functions],
            "queues": [{"name": name, "messages": count} for name, count in self.queues.items()],
            "buckets": [{"name": redacted(name), **asdict(size)} for name, size in self.buckets.items()],
            "log_bytes": self.log_bytes,
            "estimated_idle_usd_hour": known.idle_hour_usd if known else None,
            "estimated_idle_usd_month": known.idle_month_usd if known else None,
            "not_estimated": list(known.unknown) if known else [str(idle)],
        }

    def rows(self) -> list[dict[str, Any]]:
        """The same things one by one, each with its kind: the stack first, none where nothing stands."""
        if self.is_empty:
            return []
        document = self.to_dict()
        months = {name: document[name] for name in ("log_bytes", "estimated_idle_usd_hour", "estimated_idle_usd_month")}
        kinds = (("function", "functions"), ("queue", "queues"), ("bucket", "buckets"))
        stack = {"kind": "stack", "name": self.project, "status": self.stack, "region": self.region, **months}
        return [stack, *({"kind": kind, **each} for kind, name in kinds for each in document[name])]

    def _priced(self) -> list[StackFunction]:
        return [StackFunction(f.memory_mib, f.architecture, f.provisioned, f.snap_start) for f in self.functions]

    def _stored(self) -> int:
        return sum(size.size_bytes for size in self.buckets.values())


def take_inventory(aws: Aws, project: str) -> Inventory:
    """Look at all that stands; blocking, a few requests per function. Raises BenchmarkError in one line."""
    stack = Stack(aws, project, lambda _: None)
    physical: dict[str, list[str]] = {}
    for resource in stack.resources():
        if resource.get("PhysicalResourceId"):
            physical.setdefault(resource["ResourceType"], []).append(resource["PhysicalResourceId"])
    names = (bucket_name(project, aws.account, aws.region), artefacts_bucket(project, aws.account, aws.region))
    buckets = [bucket for bucket in (Bucket(aws, name) for name in names) if bucket.is_there()]
    return Inventory(
        project=project,
        region=aws.region,
        stack=stack.status(),
        functions=tuple(_functions(aws.client("lambda"), physical.get("AWS::Lambda::Function", []))),
        queues=dict(_queues(aws.client("sqs"), physical.get("AWS::SQS::Queue", []))),
        buckets={bucket.name: bucket.size() for bucket in buckets},
        log_bytes=_log_bytes(aws.client("logs"), physical.get("AWS::Logs::LogGroup", [])),
    )


def _functions(client: Any, names: list[str]) -> Iterator[StandingFunction]:
    for name in sorted(names):
        with told(f"looking at function {name}"):
            found = _unless_missing(client.get_function_configuration, FunctionName=name)
            if found is None:
                continue  # the stack is being made or removed
            reserved = client.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
            ready = _unless_missing(client.get_provisioned_concurrency_config, FunctionName=name, Qualifier=ALIAS)
        yield StandingFunction(
            name=name,
            memory_mib=int(found["MemorySize"]),
            architecture=architecture_of(found.get("Architectures", ["x86_64"])[0]),
            reserved=reserved,
            provisioned=int((ready or {}).get("RequestedProvisionedConcurrentExecutions", 0)),
            snap_start=found.get("SnapStart", {}).get("ApplyOn", "None") != "None",
        )


def _queues(client: Any, urls: list[str]) -> Iterator[tuple[str, int]]:
    for url in urls:
        with told(f"looking at queue {url.rsplit('/', 1)[1]}"):
            found = _unless_missing(client.get_queue_attributes, QueueUrl=url, AttributeNames=list(_COUNTS))
        if found is not None:
            yield url.rsplit("/", 1)[1], sum(int(found["Attributes"][name]) for name in _COUNTS)


def _log_bytes(client: Any, names: list[str]) -> int:
    total = 0
    for name in names:
        with told(f"looking at log group {name}"):
            groups = client.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        total += sum(int(group.get("storedBytes", 0)) for group in groups if group["logGroupName"] == name)
    return total


def _unless_missing(call: Any, **parameters: Any) -> Any:
    try:
        return call(**parameters)
    except ClientError as error:
        if is_missing(error):
            return None
        raise


def _ready(function: StandingFunction) -> str:
    reserved = "" if function.reserved is None else f", {function.reserved} reserved"
    provisioned = f", {function.provisioned} provisioned: paid for while they stand" if function.provisioned else ""
    return reserved + provisioned + (", SnapStart" if function.snap_start else "")
