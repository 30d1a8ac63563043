"""Stacks for the tests: the 24 cells of the default experiment, on either architecture, with every option."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from serverless_mlperf.packages.contents import LAYER_OF
from serverless_mlperf.platforms.aws.spec import FunctionSpec, StackSpec
from serverless_mlperf.workloads import ENGINE_AND_FORMATS, MEMORY_MIB, TASKS, Architecture, Cell

Template = Mapping[str, Any]
DIGEST: Final = "0123456789abcdef"


def function(cell: Cell, architecture: Architecture = "x86_64") -> FunctionSpec:
    """A cell's function with the environment that cells.py gives it."""
    return FunctionSpec(
        cell_name=cell.name,
        layer=LAYER_OF[cell.engine_and_format],
        architecture=architecture,
        memory_mib=cell.memory_mib,
        timeout_s=60,
        environment={
            "MODELS_PATH": "models/",
            "ENGINE_AND_FORMAT": cell.engine_and_format,
            "CV_TASK": cell.task,
            "SUT_THREADS": "2",
            "SUT_PRECISION": "f32",
            "SUT_MODEL_SHA256": ",".join(["0" * 64, "1" * 64]),
        },
    )


def whole(architecture: Architecture = "x86_64", **options: Any) -> StackSpec:
    """The default experiment: 2 tasks, 3 engines and formats, 4 sizes."""
    cells = [Cell(t, e, m) for t in TASKS for e in ENGINE_AND_FORMATS for m in MEMORY_MIB]
    return StackSpec(
        functions=tuple(function(cell, architecture) for cell in cells),
        code_key=f"function-{DIGEST}.zip",
        layer_keys={
            (name, arch): f"layer-{name}-{arch}-{DIGEST}.zip"
            for name in ("openvino", "opencv")
            for arch in ("x86_64", "arm64")
        },
        **options,
    )


def single(**options: Any) -> StackSpec:
    """One cell: `classification-ie-ir-1536`."""
    return replace(whole(**options), functions=(function(Cell("classification", "ie-ir", 1536)),))


def both_architectures() -> StackSpec:
    """The default cells on x86_64 and, under names of their own, on arm64."""
    spec, arm = whole(), whole("arm64")
    named = tuple(replace(each, cell_name=f"{each.cell_name}-arm64") for each in arm.functions)
    return replace(spec, functions=spec.functions + named)


def reserved(count: int) -> StackSpec:
    """The default cells, each with reserved concurrency."""
    spec = whole()
    return replace(spec, functions=tuple(replace(each, reserved=count) for each in spec.functions))


VARIANTS: Final[Mapping[str, Callable[[], StackSpec]]] = {
    "default": whole,
    "arm64": lambda: whole("arm64"),
    "both architectures": both_architectures,
    "url": lambda: whole(function_url=True),
    "snap start": lambda: whole(snap_start=True),
    "provisioned": lambda: whole(provisioned=2),
    "reserved": lambda: reserved(5),
    "boundary": lambda: whole(permissions_boundary="arn:aws:iam::123456789012:policy/edge"),
    "all that goes together": lambda: replace(reserved(5), function_url=True, provisioned=2, tmp_mib=1024),
}
"""Every option of a stack, and the ones that go together, together."""


def of_type(template: Template, kind: str) -> dict[str, Any]:
    """Properties of the resources of a type, by logical id."""
    return {
        name: resource["Properties"] for name, resource in template["Resources"].items() if resource["Type"] == kind
    }
