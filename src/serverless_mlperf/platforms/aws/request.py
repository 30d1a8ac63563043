"""From functions, as every platform is asked for them, to the value of a stack and the zips it needs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serverless_mlperf.errors import PlatformError
from serverless_mlperf.packages.archive import digest
from serverless_mlperf.platforms.aws.spec import PROJECT, FunctionSpec, StackSpec
from serverless_mlperf.platforms.base import FunctionConfig

DIGEST_CHARACTERS: Final = 16
"""Of a digest, in a key."""

ENVIRONMENTS: Final = 4
"""Per function: all 24 reserve 96 of an account's 1,000 executions, and a new account's 10 are enough for one."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """One zip on its way to the artefacts' bucket."""

    name: str
    """`function`, or a layer's with its architecture."""
    path: Path
    sha256: str

    @property
    def key(self) -> str:
        """It carries the digest, so that a template changes when, and only when, what it deploys does."""
        return f"{self.name}-{self.sha256[:DIGEST_CHARACTERS]}.zip"


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
class Request:
    """A stack and its zips."""

    spec: StackSpec
    artefacts: tuple[Artefact, ...]

    def with_spec(self, spec: StackSpec) -> "Request":
        """Another stack of the same zips: those that it does not name are left out."""
        keys = {spec.code_key, *(spec.layer_keys[f.layer, f.architecture] for f in spec.functions)}
        return Request(spec, tuple(artefact for artefact in self.artefacts if artefact.key in keys))


def request_of(functions: Sequence[FunctionConfig], options: Options) -> Request:
    """The stack of these functions; blocking: it reads their zips. Raises InputError, PlatformError."""
    digests = {path: _digest(path) for path in dict.fromkeys(_paths(functions))}
    codes = {
        function.code_zip: Artefact("function", function.code_zip, digests[function.code_zip]) for function in functions
    }
    layers = {
        (f.layer, f.architecture): Artefact(f"{f.layer}-{f.architecture}", f.layer_zip, digests[f.layer_zip])
        for f in functions
    }
    (code,) = codes.values()
    spec = StackSpec(
        functions=tuple(_function(function, reserve=options.reserve) for function in functions),
        code_key=code.key,
        layer_keys={point: artefact.key for point, artefact in layers.items()},
        project=options.project,
        runtime=options.runtime,
        log_retention_days=options.log_retention_days,
        function_url=options.function_url,
        snap_start=options.snap_start,
        provisioned=options.provisioned,
        permissions_boundary=options.permissions_boundary,
    )
    return Request(spec, (code, *layers.values()))


def _function(function: FunctionConfig, *, reserve: bool) -> FunctionSpec:
    return FunctionSpec(
        cell_name=function.cell_name,
        layer=function.layer,
        architecture=function.architecture,
        memory_mib=function.memory_mib,
        timeout_s=function.timeout_s,
        environment=function.environment,
        reserved=function.concurrency if reserve else None,
    )


def _paths(functions: Sequence[FunctionConfig]) -> Iterator[Path]:
    for function in functions:
        yield function.code_zip
        yield function.layer_zip


def _digest(path: Path) -> str:
    try:
        return digest(path)
    except OSError as error:
        raise PlatformError(f"aws: {path} cannot be read ({error.strerror}); was it removed?") from error
