"""From functions, as every platform is asked for them, to the value of a stack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serverless_mlperf.packages import Package
from serverless_mlperf.platforms.aws.artefacts import artefact_key
from serverless_mlperf.platforms.aws.spec import PROJECT, Architecture, FunctionSpec, StackSpec
from serverless_mlperf.platforms.base import FunctionConfig


@dataclass(frozen=True, slots=True)
class Options:
    """What only AWS can be asked for."""

    project: str = PROJECT
    runtime: str = "python3.13"
    reserve: bool = False
    """Whether each function reserves its concurrency, so that none takes another's."""
    log_retention_days: int = 7
    function_url: bool = False
    snap_start: bool = False
    provisioned: int = 0
    permissions_boundary: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """One function with the layer that it needs."""

    function: FunctionConfig
    layer: str
    """A row of packages.contents.LAYERS."""
    architecture: Architecture = "x86_64"


def stack_spec(
    wanted: Sequence[Wanted], code: Package, layers: Mapping[tuple[str, Architecture], Package], options: Options
) -> StackSpec:
    """The stack of these functions; the packages' digests are part of it, so that another build is a change."""
    return StackSpec(
        functions=tuple(_function(each, reserve=options.reserve) for each in wanted),
        code_key=artefact_key(code),
        layer_keys={key: artefact_key(package) for key, package in layers.items()},
        project=options.project,
        runtime=options.runtime,
        log_retention_days=options.log_retention_days,
        function_url=options.function_url,
        snap_start=options.snap_start,
        provisioned=options.provisioned,
        permissions_boundary=options.permissions_boundary,
    )


def _function(wanted: Wanted, *, reserve: bool) -> FunctionSpec:
    function = wanted.function
    return FunctionSpec(
        cell_name=function.cell_name,
        layer=wanted.layer,
        architecture=wanted.architecture,
        memory_mib=function.memory_mib,
        timeout_s=function.timeout_s,
        environment=function.environment,
        reserved=function.concurrency if reserve else None,
    )
