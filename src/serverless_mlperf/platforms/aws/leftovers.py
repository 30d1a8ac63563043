"""What is left of a project when its stack is gone: found by tag and by name, removed if it is of a kind we make."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from botocore.exceptions import ClientError

from serverless_mlperf.errors import PlatformError
from serverless_mlperf.packages.contents import LAYERS
from serverless_mlperf.platforms.aws.failures import is_missing, told
from serverless_mlperf.platforms.aws.session import Aws
from serverless_mlperf.platforms.aws.spec import TAG, layer_name
from serverless_mlperf.redaction import redacted
from serverless_mlperf.workloads import Architecture

_LOG_GROUPS: Final = "/aws/lambda/"
_KIND_OF: Final = {
    "AWS::IAM::Role": "role",
    "AWS::Lambda::Function": "function",
    "AWS::Lambda::LayerVersion": "layer",
    "AWS::Logs::LogGroup": "log group",
    "AWS::SQS::Queue": "queue",
}
"""CloudFormation's types that stand on their own; the others of a stack go with a function, queue or bucket."""

_KIND_OF_ARN: Final = {
    ("cloudformation", "stack/"): "stack",
    ("iam", "role/"): "role",
    ("lambda", "function:"): "function",
    ("logs", "log-group:"): "log group",
    ("s3", ""): "bucket",
    ("sqs", ""): "queue",
}
"""(service, how its resource begins) -> what it is."""


@dataclass(frozen=True, slots=True)
class Stray:
    """One resource that is still there."""

    kind: str
    """`function`, `layer`, `queue`, `log group`, `role`, `bucket`, `stack`; else the service of its ARN."""
    name: str

    def __str__(self) -> str:
        return redacted(f"{self.kind} {self.name}")


class Leftovers:
    """Looks for what no stack holds any more; blocking."""

    def __init__(self, aws: Aws, project: str) -> None:
        self._aws = aws
        self._project = project
        self._lambda = aws.client("lambda")
        self._sqs = aws.client("sqs")
        self._logs = aws.client("logs")
        self._iam = aws.client("iam")
        self._kinds: Mapping[str, tuple[Callable[[str], bool], Callable[[str], None]]] = {
            "function": (self._has_function, self._remove_function),
            "layer": (self._has_layer, self._remove_layer),
            "queue": (self._has_queue, self._remove_queue),
            "log group": (self._has_log_group, self._remove_log_group),
            "role": (self._has_role, self._remove_role),
        }
        # Removed by name, before anything is looked for; what is left of them is not touched again.
        self._only_seen: Mapping[str, Callable[[str], bool]] = {"bucket": self._has_bucket, "stack": self._has_stack}

    def find(self, given_up: Sequence[Stray] = ()) -> list[Stray]:
        """What of `given_up`, or bears our tag or a layer's name, is really there: tags are told of for a while after.

        Roles bear tags that no search by tag finds, and their names are CloudFormation's.
        """
        found = [*given_up, *self._tagged(), *self._layers(), *self._log_groups()]
        return [stray for stray in dict.fromkeys(found) if self._is_there(stray)]

    def remove(self, stray: Stray) -> None:
        """Remove one; raises PlatformError when it is of a kind that this project does not make."""
        if stray.kind not in self._kinds or not self._is_ours(stray.name):
            raise PlatformError(f"aws: {stray} has our tag {TAG}={self._project}, but is none of ours: look at it")
        with told(f"removing {stray}"):
            self._kinds[stray.kind][1](stray.name)

    def _is_there(self, stray: Stray) -> bool:
        look = self._only_seen.get(stray.kind) or self._kinds.get(stray.kind, (None,))[0]
        if look is None:
            return True
        with told(f"looking for {stray}"):
            try:
                return look(stray.name)
            except ClientError as error:
                if is_missing(error):
                    return False
                raise

    def _is_ours(self, name: str) -> bool:
        return name.removeprefix(_LOG_GROUPS).startswith(f"{self._project}-")

    def _tagged(self) -> Iterator[Stray]:
        client = self._aws.client("resourcegroupstaggingapi")
        with told(f"looking for what is tagged {TAG}={self._project}"):
            pages = client.get_paginator("get_resources").paginate(TagFilters=[{"Key": TAG, "Values": [self._project]}])
            arns = [found["ResourceARN"] for page in pages for found in page["ResourceTagMappingList"]]
        yield from (stray_of(arn) for arn in arns)

    def _layers(self) -> Iterator[Stray]:
        """Layers bear no tags; their names are known."""
        for layer in LAYERS:
            for architecture in get_args(Architecture):
                yield Stray("layer", layer_name(self._project, layer, architecture))

    def _log_groups(self) -> Iterator[Stray]:
        """Groups of our functions' names; another project's, whose name begins like ours, has its own tag."""
        with told("looking for log groups"):
            pages = self._logs.get_paginator("describe_log_groups").paginate(
                logGroupNamePrefix=f"{_LOG_GROUPS}{self._project}-"
            )
            for group in (group for page in pages for group in page["logGroups"]):
                arn = group.get("logGroupArn") or group["arn"].removesuffix(":*")
                if self._logs.list_tags_for_resource(resourceArn=arn)["tags"].get(TAG) == self._project:
                    yield Stray("log group", group["logGroupName"])

    def _has_function(self, name: str) -> bool:
        return bool(self._lambda.get_function_configuration(FunctionName=name))

    def _remove_function(self, name: str) -> None:
        self._lambda.delete_function(FunctionName=name)

    def _versions(self, name: str) -> list[Any]:
        pages = self._lambda.get_paginator("list_layer_versions").paginate(LayerName=name)
        return [version for page in pages for version in page["LayerVersions"]]

    def _has_layer(self, name: str) -> bool:
        return bool(self._versions(name))

    def _remove_layer(self, name: str) -> None:
        for version in self._versions(name):
            self._lambda.delete_layer_version(LayerName=name, VersionNumber=version["Version"])

    def _has_queue(self, name: str) -> bool:
        return bool(self._sqs.get_queue_url(QueueName=name))

    def _remove_queue(self, name: str) -> None:
        self._sqs.delete_queue(QueueUrl=self._sqs.get_queue_url(QueueName=name)["QueueUrl"])

    def _has_bucket(self, name: str) -> bool:
        return bool(self._aws.client("s3").head_bucket(Bucket=name, ExpectedBucketOwner=self._aws.account))

    def _has_stack(self, name: str) -> bool:
        stacks = self._aws.client("cloudformation").describe_stacks(StackName=name.partition("/")[0])["Stacks"]
        return any(stack["StackStatus"] != "DELETE_COMPLETE" for stack in stacks)

    def _has_role(self, name: str) -> bool:
        return bool(self._iam.get_role(RoleName=name))

    def _remove_role(self, name: str) -> None:
        for policy in self._iam.list_role_policies(RoleName=name)["PolicyNames"]:
            self._iam.delete_role_policy(RoleName=name, PolicyName=policy)
        self._iam.delete_role(RoleName=name)

    def _has_log_group(self, name: str) -> bool:
        groups = self._logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        return any(group["logGroupName"] == name for group in groups)

    def _remove_log_group(self, name: str) -> None:
        self._logs.delete_log_group(logGroupName=name)


def stray_of_stack(kind: str, physical: str) -> Stray | None:
    """What CloudFormation's type and physical id name; None for what stands on nothing of its own."""
    if kind not in _KIND_OF:
        return None
    if kind == "AWS::Lambda::LayerVersion":
        return Stray("layer", physical.rsplit(":layer:", maxsplit=1)[-1].rsplit(":", 1)[0])
    return Stray(_KIND_OF[kind], physical.rsplit("/", 1)[-1] if kind == "AWS::SQS::Queue" else physical)


def stray_of(arn: str) -> Stray:
    """What an ARN of the tagging API names."""
    _, _, service, _, _, resource = arn.split(":", 5)
    for (kind_of_service, begins), kind in _KIND_OF_ARN.items():
        if service == kind_of_service and resource.startswith(begins):
            return Stray(kind, resource.removeprefix(begins).partition(":")[0])
    return Stray(service, resource)
