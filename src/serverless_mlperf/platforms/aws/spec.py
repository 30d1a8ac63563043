"""What is to stand on AWS, as one value: all that the template is rendered from, and every name in it."""

from collections.abc import Mapping
from dataclasses import dataclass
import re
from typing import Final

from serverless_mlperf.errors import InputError
from serverless_mlperf.workloads import Architecture

PROJECT: Final = "serverless-mlperf"
"""Begins every name, and is the value of the tag `app` of everything that is made."""
TAG: Final = "app"
ALIAS: Final = "live"
"""What is invoked and triggered: the alias of the version that is measured, never `$LATEST`."""
HANDLER: Final = "serverless_mlperf_sut.handler.lambda_handler"
_PROJECT: Final = re.compile(r"[a-z][a-z0-9-]{1,22}[a-z0-9]")
"""So that the artefacts' bucket, `<project>-artifacts-<12 digits>-<region>`, stays within S3's 63 characters."""


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """One function: a cell's engine, memory and architecture."""

    cell_name: str
    """Of its prefixes, `input/<cell>/` and `output/<cell>/`, and its own name."""
    layer: str
    """`openvino` or `opencv`: a row of packages.contents.LAYERS."""
    architecture: Architecture
    memory_mib: int
    timeout_s: int
    environment: Mapping[str, str]
    """Without BUCKET_NAME, which the stack knows."""
    reserved: int | None = None
    """Reserved concurrency; None: what the account leaves."""


@dataclass(frozen=True, slots=True)
class StackSpec:
    """One stack: everything an experiment needs, and nothing outside of it but the artefacts' bucket."""

    functions: tuple[FunctionSpec, ...]
    code_key: str
    """Of function.zip in the artefacts' bucket: its name carries its digest, so that the same build is no change."""
    layer_keys: Mapping[tuple[str, Architecture], str]
    project: str = PROJECT
    runtime: str = "python3.13"
    log_retention_days: int = 7
    function_url: bool = False
    """A URL per function, AWS_IAM alone."""
    snap_start: bool = False
    """Snapshots of published versions; excludes provisioned concurrency."""
    provisioned: int = 0
    """Provisioned concurrency per function: costs money while it stands."""
    tmp_mib: int = 512
    """Size of /tmp; what is above 512 MiB costs money while a function runs."""
    permissions_boundary: str | None = None
    """ARN of a policy that the function's role may never exceed, where an account demands one."""

    def __post_init__(self) -> None:
        check_project(self.project)


def check_project(project: str) -> str:
    """The same name, if it can begin the names of everything; raises InputError."""
    if not _PROJECT.fullmatch(project):
        raise InputError(
            f"project {project!r}: 3 to 24 of a-z, 0-9 and '-', begun by a letter; it begins every name on AWS"
        )
    return project


def function_name(project: str, function: FunctionSpec) -> str:
    """The function's name, e.g. `serverless-mlperf-classification-ie-ir-1536`."""
    return f"{project}-{function.cell_name.replace('_', '-')}"


def queue_name(project: str, function: FunctionSpec) -> str:
    """The queue that is told of every object created below `output/<cell>/`: it bears the function's name."""
    return function_name(project, function)


def dead_letter_name(project: str) -> str:
    """The queue of events that no function could serve."""
    return f"{project}-dead-letters"


def log_group_name(project: str, function: FunctionSpec) -> str:
    """Where Lambda would write a function's log anyway; made by the stack, so that it ends with it."""
    return f"/aws/lambda/{function_name(project, function)}"


def layer_name(project: str, layer: str, architecture: Architecture) -> str:
    """A layer's name; those of two architectures stand side by side."""
    return f"{project}-{layer}-{architecture.replace('_', '-')}"


def input_prefix(function: FunctionSpec) -> str:
    """A PUT of `*.json` below it triggers the function."""
    return f"input/{function.cell_name}/"


def output_prefix(function: FunctionSpec) -> str:
    """Results; `errors/` below it holds error records."""
    return f"output/{function.cell_name}/"


def bucket_name(project: str, account: str, region: str) -> str:
    """The data's bucket; `account` and `region` may be `${AWS::AccountId}` and `${AWS::Region}` of a template."""
    return f"{project}-{account}-{region}"


def artefacts_bucket(project: str, account: str, region: str) -> str:
    """The bucket of zips, which must be there before the stack is."""
    return f"{project}-artifacts-{account}-{region}"
