"""What stands, as its own template tells it: written into it as metadata, read back, joined to what is wanted. Pure.

CloudFormation does not take a change of metadata alone: all that is written here is in some resource as well.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from typing import Any, Final

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.aws.spec import FunctionSpec, StackSpec

KEY: Final = "MlperfStack"
"""Of the template's `Metadata`."""
_OPTIONS: Final[Mapping[str, str]] = {
    "provisioned": "--provisioned {}",
    "snap_start": "--snap-start",
    "function_url": "--function-url",
    "permissions_boundary": "--permissions-boundary",
    "log_retention_days": "logs kept for {} days",
    "tmp_mib": "{} MiB of temporary files",
}
"""Field of a stack -> how it is called. `run` cannot be asked for them: what stands has them, or nothing does."""


def written(spec: StackSpec) -> dict[str, Any]:
    """The stack's value as JSON; in what order its tables come makes no difference."""
    layers = [[layer, architecture, key] for (layer, architecture), key in sorted(spec.layer_keys.items())]
    functions = [
        _without_none(asdict(function)) | {"environment": dict(sorted(function.environment.items()))}
        for function in spec.functions
    ]
    return _without_none(asdict(spec)) | {"functions": functions, "layer_keys": layers}


def read(template: Mapping[str, Any], project: str) -> StackSpec:
    """The value that a standing stack was rendered from; raises InputError for a stack that has none."""
    try:
        found = dict(template["Metadata"][KEY])
        functions = tuple(FunctionSpec(**function) for function in found.pop("functions"))
        layers = {(layer, architecture): key for layer, architecture, key in found.pop("layer_keys")}
        return StackSpec(functions=functions, layer_keys=layers, **found)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"aws: stack {project} does not tell what it was deployed with: it is of another version, or not of this "
            "project; `serverless-mlperf deploy --platform aws` changes it, another --project leaves it alone"
        ) from error


def joined(wanted: StackSpec, standing: StackSpec) -> StackSpec:
    """What is wanted, with the options and the other functions of what stands; raises InputError.

    All functions share code and Python: the others get the newer code too.
    """
    others = tuple(f for f in standing.functions if f.cell_name not in {each.cell_name for each in wanted.functions})
    if others and standing.runtime != wanted.runtime:
        python = standing.runtime.removeprefix("python")
        raise InputError(
            f"aws: the {len(others)} other functions of stack {standing.project} are of Python {python}; give "
            f"--python {python}, `deploy` them anew, or choose another --project"
        )
    return replace(
        wanted,
        functions=(*wanted.functions, *others),
        layer_keys={**standing.layer_keys, **wanted.layer_keys},
        **{name: getattr(standing, name) for name in _OPTIONS},
    )


def kept(wanted: StackSpec, standing: StackSpec) -> str | None:
    """What `joined` has taken over, in a line; None when that is nothing."""
    named = {function.cell_name for function in wanted.functions}
    others = sum(function.cell_name not in named for function in standing.functions)
    found = [*_not_asked_for(wanted, standing), *([f"{others} other functions"] if others else [])]
    return f"stack {standing.project} keeps what it was deployed with: {', '.join(found)}" if found else None


def undone(wanted: StackSpec, standing: StackSpec) -> str | None:
    """Which options of what stands a deployment takes away, in a line; None when none."""
    found = list(_not_asked_for(wanted, standing))
    return f"stack {standing.project} loses, as it is not asked for: {', '.join(found)}" if found else None


def largest_mib(standing: StackSpec | None) -> int:
    """The largest memory that stands, which the account therefore allows; 0 when nothing stands."""
    return max((function.memory_mib for function in standing.functions), default=0) if standing else 0


def _without_none(value: Mapping[str, Any]) -> dict[str, Any]:
    """A template's metadata may not have null (cfn-lint: E4002), which is the default wherever it may stand."""
    return {name: each for name, each in value.items() if each is not None}


def _not_asked_for(wanted: StackSpec, standing: StackSpec) -> Iterator[str]:
    """Options that stand where nothing but the default is wanted; what is wanted otherwise was asked for."""
    for field in fields(StackSpec):
        value = getattr(standing, field.name)
        if field.name in _OPTIONS and value != field.default and getattr(wanted, field.name) == field.default:
            yield _OPTIONS[field.name].format(value)
