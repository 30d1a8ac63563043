"""AWS as an experiment sees it: one stack for all its functions, a new version of one for every deployment."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
import time
from types import TracebackType
from typing import Any, Final, Self

from serverless_mlperf.errors import BenchmarkError, InputError, PlatformError
from serverless_mlperf.platforms.aws.completions import Completions
from serverless_mlperf.platforms.aws.deployment import Deployment, standing_spec
from serverless_mlperf.platforms.aws.failures import told
from serverless_mlperf.platforms.aws.logs import Logs
from serverless_mlperf.platforms.aws.objects import Objects
from serverless_mlperf.platforms.aws.quotas import fitted, read_quotas
from serverless_mlperf.platforms.aws.removal import Remover
from serverless_mlperf.platforms.aws.request import Options, Request, request_of
from serverless_mlperf.platforms.aws.session import Aws
from serverless_mlperf.platforms.aws.spec import (
    ALIAS,
    FunctionSpec,
    bucket_name,
    function_name,
    input_prefix,
    log_group_name,
    output_prefix,
)
from serverless_mlperf.platforms.aws.stack import Stack
from serverless_mlperf.platforms.aws.standing import joined, kept, largest_mib
from serverless_mlperf.platforms.aws.template import queue_output
from serverless_mlperf.platforms.aws.versions import Versions
from serverless_mlperf.platforms.aws.waiting import Patience
from serverless_mlperf.platforms.base import Credentials, FunctionConfig, PlatformUsage, Report, Target

NAME: Final = "aws"


@dataclass(frozen=True, slots=True)
class Deployed:
    """What stands of one cell: the version that its alias leads to."""

    spec: FunctionSpec
    version: str
    since_ms: int
    """Wall clock before the version was made: none of its invocations is older."""


class AwsPlatform:
    """Owns the stack of one project; implements platforms.base.Platform.

    Entering deploys it, leaving lets it stand: between two experiments it costs nothing but storage. With `ephemeral`
    it is destroyed, however the experiment ends; and none that stood before is taken for one's own.
    """

    lifeline = None

    def __init__(
        self,
        aws: Aws,
        options: Options,
        functions: Sequence[FunctionConfig],
        say: Callable[[str], None],
        *,
        ephemeral: bool = False,
        patience: Patience | None = None,
    ) -> None:
        self._aws = aws
        self._say = say
        self._ephemeral = ephemeral
        self._patience = patience or Patience()
        self._bucket = bucket_name(options.project, aws.account, aws.region)
        request = request_of(functions, options)
        self._spec, self._artefacts = request.spec, request.artefacts
        self._outputs: Mapping[str, str] = {}
        self._versions = Versions(aws, self._patience)
        self._completions = Completions(aws, self._patience)
        self._logs = Logs(aws, self._patience)
        self._deployed: dict[str, Deployed] = {}

    def __enter__(self) -> Self:
        if self._ephemeral and Stack(self._aws, self._spec.project, self._say, self._patience).status() is not None:
            raise InputError(
                f"--ephemeral: stack {self._spec.project} stands already, and would be destroyed with all it has; "
                "leave --ephemeral out, run `serverless-mlperf destroy --platform aws`, or choose another --project"
            )
        try:
            self._deploy_stack()
        except BaseException as error:  # also Ctrl-C: `__exit__` is not called for a block never entered
            self._end(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(error)

    def credentials(self) -> Credentials | None:
        """Those of the session, which renews them when they are about to expire; raises InputError when it cannot."""
        with told("renewing the credentials"):
            found = self._aws.session.get_credentials()
            if found is None:
                raise InputError("aws: the credentials are gone; log in again, and repeat with --resume")
            frozen = found.get_frozen_credentials()
        return Credentials(str(frozen.access_key), str(frozen.secret_key), frozen.token)

    def upload(self, objects: Mapping[str, Path]) -> None:
        """Put files under their keys into the experiment's bucket, unless the same are there."""
        Objects(self._aws, self._bucket, self._say).put(objects)

    def deploy(self, function: FunctionConfig) -> Target:
        """Publish a new version of a function that stands, wait until it is Active, and empty its queue.

        Nothing of it is warm then. Raises PlatformError for one that the account's quotas have left out.
        """
        spec = self._standing(function)
        queue_url = self._outputs[queue_output(spec)]
        since_ms = time.time_ns() // 1_000_000
        version = self._versions.renew(function_name(self._spec.project, spec))
        self._completions.drain(queue_url)
        target = self._target(spec, function, queue_url)
        self._deployed[target.function_name] = Deployed(spec, version, since_ms)
        return target

    def retire(self, target: Target) -> None:
        """Leave nothing in the completion queue; the function stays, which costs nothing."""
        self._completions.drain(target.queue_url)

    def observe(
        self, target: Target, since_ns: int, until_ns: int, expected: Collection[str] = ()
    ) -> tuple[list[Report], PlatformUsage]:
        """REPORT lines of the target's version; what the platform's own host takes nobody tells."""
        del since_ns, until_ns
        here = self._deployed[target.function_name]
        group = log_group_name(self._spec.project, here.spec)
        reports = self._logs.reports(group, here.version, here.since_ms, expected)
        lacking = sorted(frozenset(expected) - {report.request_id for report in reports})
        named = [_with_place(report, group) for report in reports]
        return named, PlatformUsage(unreported=tuple(lacking))

    def _deploy_stack(self) -> None:
        self._say(f"aws: {self._aws.shown}")
        standing = standing_spec(Stack(self._aws, self._spec.project, self._say, self._patience))
        if standing is not None:
            if line := kept(self._spec, standing):
                self._say(f"aws: {line}")
            self._spec = joined(self._spec, standing)
        quotas = read_quotas(self._aws, self._spec)
        most_mib = max(quotas.presumed_memory_mib, largest_mib(standing))
        self._spec, notes = fitted(self._spec, quotas, most_mib)
        for note in notes:
            self._say(f"aws: {note}")
        deployment = Deployment(self._aws, Request(self._spec, self._artefacts), self._say, self._patience)
        plan = deployment.plan()
        self._say(f"stack {self._spec.project}: {next(iter(plan.lines()))}")
        self._outputs = deployment.act(plan)

    def _standing(self, function: FunctionConfig) -> FunctionSpec:
        for spec in self._spec.functions:
            if spec.cell_name == function.cell_name:
                return spec
        raise PlatformError(f"aws: {function.cell_name} is not in the stack: the account's quotas do not allow it")

    def _target(self, spec: FunctionSpec, function: FunctionConfig, queue_url: str) -> Target:
        return Target(
            platform=NAME,
            region=self._aws.region,
            s3_endpoint_url=self._endpoint("s3"),
            lambda_endpoint_url=self._endpoint("lambda"),
            sqs_endpoint_url=self._endpoint("sqs"),
            bucket=self._bucket,
            function_name=f"{function_name(self._spec.project, spec)}:{ALIAS}",
            input_prefix=input_prefix(spec),
            output_prefix=output_prefix(spec),
            completed_prefix=f"completed/{spec.cell_name}/",
            queue_url=queue_url,
            concurrency=min(function.concurrency, spec.reserved or function.concurrency),
            # A throttled event comes back after a second and more (AWS: invocation-async-error-handling).
            absorbs_bursts=False,
        )

    def _endpoint(self, service: str) -> str:
        client: Any = self._aws.client(service)
        return str(client.meta.endpoint_url)

    def _end(self, error: BaseException | None) -> None:
        """Destroy what is not to stay. What is left is told; it is an error of its own where there is no other one."""
        if not self._ephemeral:
            return
        left: tuple[str, ...] = ("the stack",)
        try:
            left = Remover(self._aws, self._spec.project, self._say, self._patience).destroy().left
        except BenchmarkError as failure:
            left = (str(failure),)
        finally:
            if left:
                self._say(f"aws: not destroyed: {'; '.join(left)}; run `serverless-mlperf destroy --platform aws`")
        if left and error is None:
            raise PlatformError(f"aws: --ephemeral has left {len(left)} things; run destroy: {'; '.join(left)}")


def _with_place(report: Report, group: str) -> Report:
    """A failure's words are in other lines of the log than its report: say where."""
    return report if report.status == "ok" else replace(report, error_message=f"see log group {group}")
