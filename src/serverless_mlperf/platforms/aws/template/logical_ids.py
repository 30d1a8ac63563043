"""Names inside of the template: letters and digits only, made of a cell's name."""

import re
from typing import Final

from serverless_mlperf.platforms.aws.spec import FunctionSpec
from serverless_mlperf.workloads import Architecture

BUCKET: Final = "DataBucket"
BUCKET_POLICY: Final = "DataBucketPolicy"
ROLE: Final = "FunctionRole"
DEAD_LETTERS: Final = "DeadLetterQueue"

BUCKET_OUTPUT: Final = "BucketName"
DEAD_LETTERS_OUTPUT: Final = "DeadLetterQueueUrl"
ROLE_OUTPUT: Final = "FunctionRoleArn"


def cell_id(function: FunctionSpec) -> str:
    """`classification-ie-ir-1536` as `ClassificationIeIr1536`; validation.py refuses two cells of one id."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", function.cell_name))


def layer_id(layer: str, architecture: Architecture) -> str:
    """Logical id of the layer of one engine and architecture."""
    return f"Layer{layer.title()}{architecture.title().replace('_', '')}"


def alias_output(function: FunctionSpec) -> str:
    """Output that holds the ARN of the function's alias: what is invoked."""
    return f"Alias{cell_id(function)}"


def queue_output(function: FunctionSpec) -> str:
    """Output that holds the URL of the function's completion queue."""
    return f"Queue{cell_id(function)}"


def url_output(function: FunctionSpec) -> str:
    """Output that holds the function's URL, where the stack has such."""
    return f"Url{cell_id(function)}"
