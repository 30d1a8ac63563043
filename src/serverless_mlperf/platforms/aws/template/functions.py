"""What a cell has of its own: function, version, alias, log group, queue; and the layers that cells share."""

from collections.abc import Iterator
import hashlib
import json
from typing import Any, Final

from serverless_mlperf.platforms.aws.spec import (
    ALIAS,
    HANDLER,
    FunctionSpec,
    StackSpec,
    artefacts_bucket,
    bucket_name,
    function_name,
    layer_name,
    log_group_name,
)
from serverless_mlperf.platforms.aws.template import policies, storage
from serverless_mlperf.platforms.aws.template.logical_ids import DEAD_LETTERS, ROLE, cell_id, layer_id
from serverless_mlperf.platforms.aws.template.values import arn_of, attribute, sub, tags
from serverless_mlperf.workloads import Architecture

Resources = Iterator[tuple[str, dict[str, Any]]]

MAX_EVENT_AGE_S: Final = 300
"""An event that waited longer belongs to a run that has given up."""
DIGEST_CHARACTERS: Final = 12


def layers(spec: StackSpec) -> Resources:
    """One layer per engine and architecture that a cell has."""
    for layer, architecture in sorted({(each.layer, each.architecture) for each in spec.functions}):
        yield layer_id(layer, architecture), _layer(spec, layer, architecture)


def cell(spec: StackSpec, function: FunctionSpec) -> Resources:
    """Everything of one cell, by logical id."""
    name = cell_id(function)
    version = f"Version{name}{configuration_digest(spec, function)}"
    yield f"Log{name}", _log_group(spec, function)
    yield f"Function{name}", _function(spec, function)
    yield version, _resource("AWS::Lambda::Version", FunctionName={"Ref": f"Function{name}"})
    yield f"Alias{name}", _alias(spec, name, version)
    yield f"Async{name}", _event_invoke(name)
    yield f"Trigger{name}", policies.trigger_permission(spec, f"Alias{name}")
    yield f"Queue{name}", storage.completion_queue(spec, function)
    yield f"QueuePolicy{name}", policies.queue_policy(spec, f"Queue{name}")
    if spec.function_url:
        yield f"Url{name}", _url(name)
        yield from zip((f"UrlUse{name}", f"UrlInvoke{name}"), policies.url_permissions(f"Alias{name}"), strict=True)


def configuration_digest(spec: StackSpec, function: FunctionSpec) -> str:
    """Digest of all that a published version freezes: configuration, code and layer.

    It is part of the version's logical id. A version of the same id is left alone by CloudFormation, also when the
    function has changed; and Lambda publishes none when nothing has changed, which fails the deployment.
    """
    frozen = [_frozen(spec, function), spec.layer_keys[function.layer, function.architecture]]
    text = json.dumps(frozen, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARACTERS]


def _function(spec: StackSpec, function: FunctionSpec) -> dict[str, Any]:
    properties = {
        "FunctionName": function_name(spec.project, function),
        **_frozen(spec, function),
        "Tags": tags(spec),
    }
    if function.reserved is not None:
        properties["ReservedConcurrentExecutions"] = function.reserved
    # Else Lambda might make the group at a first invocation, which the stack would then not own.
    return {"DependsOn": [f"Log{cell_id(function)}"], **_resource("AWS::Lambda::Function", **properties)}


def _frozen(spec: StackSpec, function: FunctionSpec) -> dict[str, Any]:
    """The part of a function's properties that a published version keeps for ever."""
    bucket = sub(bucket_name(spec.project, "${AWS::AccountId}", "${AWS::Region}"))
    properties: dict[str, Any] = {
        "Runtime": spec.runtime,
        "Architectures": [function.architecture],
        "Handler": HANDLER,
        "Role": arn_of(ROLE),
        "Code": _artefact(spec, spec.code_key),
        "MemorySize": function.memory_mib,
        "Timeout": function.timeout_s,
        "EphemeralStorage": {"Size": spec.tmp_mib},
        "Layers": [{"Ref": layer_id(function.layer, function.architecture)}],
        "DeadLetterConfig": {"TargetArn": arn_of(DEAD_LETTERS)},
        # As text: REPORT lines are read from the log's tail.
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": log_group_name(spec.project, function)},
        "Environment": {"Variables": {**dict(sorted(function.environment.items())), "BUCKET_NAME": bucket}},
    }
    return properties | ({"SnapStart": {"ApplyOn": "PublishedVersions"}} if spec.snap_start else {})


def _layer(spec: StackSpec, layer: str, architecture: Architecture) -> dict[str, Any]:
    return _resource(
        "AWS::Lambda::LayerVersion",
        LayerName=layer_name(spec.project, layer, architecture),
        CompatibleRuntimes=[spec.runtime],
        CompatibleArchitectures=[architecture],
        Content=_artefact(spec, spec.layer_keys[layer, architecture]),
    )


def _artefact(spec: StackSpec, key: str) -> dict[str, Any]:
    return {"S3Bucket": sub(artefacts_bucket(spec.project, "${AWS::AccountId}", "${AWS::Region}")), "S3Key": key}


def _log_group(spec: StackSpec, function: FunctionSpec) -> dict[str, Any]:
    properties = {
        "LogGroupName": log_group_name(spec.project, function),
        "RetentionInDays": spec.log_retention_days,
        "Tags": tags(spec),
    }
    return {
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        **_resource("AWS::Logs::LogGroup", **properties),
    }


def _alias(spec: StackSpec, name: str, version: str) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "Name": ALIAS,
        "FunctionName": {"Ref": f"Function{name}"},
        "FunctionVersion": attribute(version, "Version"),
    }
    if spec.provisioned:
        properties["ProvisionedConcurrencyConfig"] = {"ProvisionedConcurrentExecutions": spec.provisioned}
    return _resource("AWS::Lambda::Alias", **properties)


def _event_invoke(name: str) -> dict[str, Any]:
    """No retries while measuring: a query that fails is told, not served a second time."""
    properties = {
        "FunctionName": {"Ref": f"Function{name}"},
        "Qualifier": ALIAS,
        "MaximumRetryAttempts": 0,
        "MaximumEventAgeInSeconds": MAX_EVENT_AGE_S,
    }
    return {"DependsOn": [f"Alias{name}"], **_resource("AWS::Lambda::EventInvokeConfig", **properties)}


def _url(name: str) -> dict[str, Any]:
    properties = {"TargetFunctionArn": {"Ref": f"Function{name}"}, "Qualifier": ALIAS, "AuthType": "AWS_IAM"}
    return {"DependsOn": [f"Alias{name}"], **_resource("AWS::Lambda::Url", **properties)}


def _resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": kind, "Properties": properties}
