"""The bucket with its triggers, and the queues."""

from typing import Any, Final

from serverless_mlperf.platforms.aws.spec import (
    FunctionSpec,
    StackSpec,
    bucket_name,
    dead_letter_name,
    input_prefix,
    output_prefix,
    queue_name,
)
from serverless_mlperf.platforms.aws.template.logical_ids import cell_id
from serverless_mlperf.platforms.aws.template.values import arn_of, sub, tags

EXPIRING: Final = ("input/", "output/", "completed/", "failed/")
"""What runs write; models and images stay until the stack goes."""
EXPIRE_DAYS: Final = 7
DEAD_LETTER_S: Final = 14 * 86_400
"""The longest that SQS keeps a message."""
COMPLETION_S: Final = 86_400
"""Longer than any run may last; what is older belongs to a run that nobody waits for."""


def bucket(spec: StackSpec) -> dict[str, Any]:
    """The experiment's bucket; S3 asks each target of an event, when it is named, whether it may."""
    ids = [cell_id(function) for function in spec.functions]
    properties = {
        "BucketName": sub(bucket_name(spec.project, "${AWS::AccountId}", "${AWS::Region}")),
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        },
        "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": True,
            "BlockPublicPolicy": True,
            "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True,
        },
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "LifecycleConfiguration": {"Rules": _lifecycle()},
        "NotificationConfiguration": {
            "LambdaConfigurations": [_trigger(function) for function in spec.functions],
            "QueueConfigurations": [_completion(function) for function in spec.functions],
        },
        "Tags": tags(spec),
    }
    return {
        "Type": "AWS::S3::Bucket",
        "DependsOn": [name for each in ids for name in (f"Trigger{each}", f"QueuePolicy{each}")],
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": properties,
    }


def dead_letter_queue(spec: StackSpec) -> dict[str, Any]:
    """Events that a function could not serve."""
    return _queue(spec, dead_letter_name(spec.project), DEAD_LETTER_S)


def completion_queue(spec: StackSpec, function: FunctionSpec) -> dict[str, Any]:
    """Tells the client of every result of one cell."""
    return _queue(spec, queue_name(spec.project, function), COMPLETION_S)


def _queue(spec: StackSpec, name: str, retention_s: int) -> dict[str, Any]:
    properties = {
        "QueueName": name,
        "SqsManagedSseEnabled": True,
        "MessageRetentionPeriod": retention_s,
        "Tags": tags(spec),
    }
    return {
        "Type": "AWS::SQS::Queue",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": properties,
    }


def _lifecycle() -> list[dict[str, Any]]:
    expiring = [
        {
            "Id": f"expire-{prefix.rstrip('/')}",
            "Status": "Enabled",
            "Prefix": prefix,
            "ExpirationInDays": EXPIRE_DAYS,
        }
        for prefix in EXPIRING
    ]
    # Parts of an upload that was never finished are paid for, and no listing shows them.
    abort = {"Id": "abort-uploads", "Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}
    return [*expiring, abort]


def _trigger(function: FunctionSpec) -> dict[str, Any]:
    rules = [{"Name": "prefix", "Value": input_prefix(function)}, {"Name": "suffix", "Value": ".json"}]
    return _event("Function", {"Ref": f"Alias{cell_id(function)}"}, rules)


def _completion(function: FunctionSpec) -> dict[str, Any]:
    rules = [{"Name": "prefix", "Value": output_prefix(function)}]
    return _event("Queue", arn_of(f"Queue{cell_id(function)}"), rules)


def _event(target: str, arn: dict[str, Any], rules: list[dict[str, str]]) -> dict[str, Any]:
    return {"Event": "s3:ObjectCreated:*", "Filter": {"S3Key": {"Rules": rules}}, target: arn}
