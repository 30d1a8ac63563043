"""The whole template: resources in a fixed order, and the outputs that a run needs."""

from dataclasses import replace
import json
from typing import Any

from serverless_mlperf.platforms.aws.spec import StackSpec
from serverless_mlperf.platforms.aws.standing import KEY, written
from serverless_mlperf.platforms.aws.template import functions, logical_ids, policies, storage
from serverless_mlperf.platforms.aws.template.values import arn_of, attribute


def render(spec: StackSpec) -> dict[str, Any]:
    """The template of a stack: a pure function of the value, which validation.py should have accepted.

    In what order the value has its functions makes no difference: the same experiment is no change.
    """
    spec = replace(spec, functions=tuple(sorted(spec.functions, key=lambda function: function.cell_name)))
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Metadata": {KEY: written(spec)},
        "Description": f"{spec.project}: MLPerf inference on AWS Lambda, a function per cell",
        "Resources": _resources(spec),
        "Outputs": _outputs(spec),
    }


def body(spec: StackSpec) -> str:
    """The template as one line of JSON: the same text for the same value."""
    return json.dumps(render(spec), separators=(",", ":"))


def _resources(spec: StackSpec) -> dict[str, Any]:
    resources: dict[str, Any] = {
        logical_ids.DEAD_LETTERS: storage.dead_letter_queue(spec),
        logical_ids.ROLE: policies.role(spec),
        **dict(functions.layers(spec)),
    }
    for function in spec.functions:
        resources |= dict(functions.cell(spec, function))
    resources[logical_ids.BUCKET] = storage.bucket(spec)
    resources[logical_ids.BUCKET_POLICY] = policies.bucket_policy(spec, logical_ids.BUCKET)
    return resources


def _outputs(spec: StackSpec) -> dict[str, Any]:
    outputs: dict[str, Any] = {
        logical_ids.BUCKET_OUTPUT: {"Ref": logical_ids.BUCKET},
        logical_ids.DEAD_LETTERS_OUTPUT: {"Ref": logical_ids.DEAD_LETTERS},
        logical_ids.ROLE_OUTPUT: arn_of(logical_ids.ROLE),
    }
    for function in spec.functions:
        name = logical_ids.cell_id(function)
        outputs[logical_ids.alias_output(function)] = {"Ref": f"Alias{name}"}
        outputs[logical_ids.queue_output(function)] = {"Ref": f"Queue{name}"}
        if spec.function_url:
            outputs[logical_ids.url_output(function)] = attribute(f"Url{name}", "FunctionUrl")
    return {name: {"Value": value} for name, value in outputs.items()}
