"""FunctionConfiguration and its kin, as Lambda answers them."""

from typing import Any

from serverless_mlperf.platforms.local.gateway.lambda_names import function_arn
from serverless_mlperf.platforms.local.gateway.lambda_state import RUNTIME, Alias, Function, Progress, Revision


def configuration(
    function: Function, revision: Revision, qualifier: str | None = None, *, brief: bool = False
) -> dict[str, Any]:
    """FunctionConfiguration under the qualifier that was asked for.

    Listings are brief: without states (lambda/latest/api/API_ListFunctions).
    """
    return {
        "FunctionName": function.name,
        "FunctionArn": function_arn(function.name, qualifier),
        "Runtime": RUNTIME,
        **revision.settings,
        "CodeSize": revision.code.size,
        "CodeSha256": revision.code.code_sha256,
        "LastModified": revision.modified,
        "Version": revision.version,
        "RevisionId": revision.revision_id,
        "PackageType": "Zip",
        **_layers(revision),
        **({} if brief else _progress(revision.progress)),
    }


def alias_configuration(function: Function, alias: Alias) -> dict[str, Any]:
    """AliasConfiguration."""
    weights = {"RoutingConfig": {"AdditionalVersionWeights": dict(alias.weights)}} if alias.weights else {}
    return {
        "AliasArn": function_arn(function.name, alias.name),
        "Name": alias.name,
        "FunctionVersion": alias.version,
        "Description": alias.description,
        **weights,
        "RevisionId": alias.revision_id,
    }


def _layers(revision: Revision) -> dict[str, Any]:
    rows = [{"Arn": layer.arn, "CodeSize": layer.content.size} for layer in revision.layers]
    return {"Layers": rows} if rows else {}


def _progress(progress: Progress) -> dict[str, str]:
    told = {
        "State": progress.state,
        "StateReason": progress.reason,
        "StateReasonCode": progress.reason_code,
        "LastUpdateStatus": progress.update,
        "LastUpdateStatusReason": progress.update_reason,
        "LastUpdateStatusReasonCode": progress.update_reason_code,
    }
    return {name: text for name, text in told.items() if text}
