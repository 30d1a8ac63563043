"""Who may do what: the function's role, the bucket's and the queues' policies, who may invoke.

Everything is listed and nothing granted by a wildcard but the objects below a prefix and the streams of a log group.
"""

from typing import Any, Final

from serverless_mlperf.platforms.aws.spec import StackSpec, bucket_name
from serverless_mlperf.platforms.aws.template.logical_ids import DEAD_LETTERS, cell_id
from serverless_mlperf.platforms.aws.template.values import ACCOUNT, arn_of, sub, tags

READ: Final = ("models/", "coco/", "imagenet/", "synthetic/", "input/", "completed/", "failed/")
"""`completed/` and `failed/` too: that is how a second delivery of an event is told from a missing input."""
WRITTEN: Final = ("output/", "completed/", "failed/")
REMOVED: Final = ("input/",)
VERSION: Final = "2012-10-17"
"""Of IAM's policy language, not of ours."""


def role(spec: StackSpec) -> dict[str, Any]:
    """What every function of the stack runs as."""
    properties: dict[str, Any] = {
        "AssumeRolePolicyDocument": _document(_trust()),
        "Policies": [{"PolicyName": "function", "PolicyDocument": _document(*_statements(spec))}],
        "Tags": tags(spec),
    }
    if spec.permissions_boundary is not None:
        properties["PermissionsBoundary"] = spec.permissions_boundary
    return {"Type": "AWS::IAM::Role", "Properties": properties}


def bucket_policy(spec: StackSpec, bucket_id: str) -> dict[str, Any]:
    """Nobody, whatever else permits it, may talk to the bucket without TLS."""
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket_arn(spec), bucket_arn(spec, "/*")],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    properties = {"Bucket": {"Ref": bucket_id}, "PolicyDocument": _document(statement)}
    return {"Type": "AWS::S3::BucketPolicy", "Properties": properties}


def queue_policy(spec: StackSpec, queue_id: str) -> dict[str, Any]:
    """S3 may tell the queue of events of our bucket, and of no other account's bucket of that name."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn_of(queue_id),
        "Condition": {
            "ArnEquals": {"aws:SourceArn": bucket_arn(spec)},
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
        },
    }
    properties = {"Queues": [{"Ref": queue_id}], "PolicyDocument": _document(statement)}
    return {"Type": "AWS::SQS::QueuePolicy", "Properties": properties}


def trigger_permission(spec: StackSpec, alias_id: str) -> dict[str, Any]:
    """S3 may invoke the alias for events of our bucket."""
    return _permission(
        alias_id,
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceAccount=ACCOUNT,
        SourceArn=bucket_arn(spec),
    )


def url_permissions(alias_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Our own account may use the URL, as far as a caller's own policies permit it.

    Both are needed of URLs made since October 2025 (AWS: lambda/latest/dg/urls-auth).
    """
    url = _permission(alias_id, Action="lambda:InvokeFunctionUrl", Principal=ACCOUNT, FunctionUrlAuthType="AWS_IAM")
    invoke = _permission(alias_id, Action="lambda:InvokeFunction", Principal=ACCOUNT, InvokedViaFunctionUrl=True)
    return url, invoke


def bucket_arn(spec: StackSpec, below: str = "") -> dict[str, str]:
    """The bucket's ARN by its name: a reference would make a circle of bucket, permission and role."""
    name = bucket_name(spec.project, "${AWS::AccountId}", "${AWS::Region}")
    return sub(f"arn:${{AWS::Partition}}:s3:::{name}{below}")


def _trust() -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}


def _statements(spec: StackSpec) -> list[dict[str, Any]]:
    return [
        _objects("Read", "s3:GetObject", spec, READ),
        _objects("Write", "s3:PutObject", spec, WRITTEN),
        _objects("Remove", "s3:DeleteObject", spec, REMOVED),
        _allow(
            "Log",
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            # The ARN of a log group ends in `:*`, its streams.
            [arn_of(f"Log{cell_id(function)}") for function in spec.functions],
        ),
        _allow("GiveUp", ["sqs:SendMessage"], [arn_of(DEAD_LETTERS)]),
    ]


def _allow(sid: str, actions: list[str], resources: list[Any]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}


def _objects(sid: str, action: str, spec: StackSpec, prefixes: tuple[str, ...]) -> dict[str, Any]:
    """Of our own account's bucket alone: once ours is gone, anybody may take its name."""
    statement = _allow(sid, [action], [bucket_arn(spec, f"/{prefix}*") for prefix in prefixes])
    return {**statement, "Condition": {"StringEquals": {"aws:ResourceAccount": ACCOUNT}}}


def _document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": VERSION, "Statement": list(statements)}


def _permission(alias_id: str, **properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::Lambda::Permission", "Properties": {"FunctionName": {"Ref": alias_id}, **properties}}
