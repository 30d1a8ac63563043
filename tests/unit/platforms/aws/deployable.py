"""Functions with small zips, to be deployed in tests."""

from collections.abc import Iterable
from pathlib import Path

from serverless_mlperf.packages.contents import LAYER_OF
from serverless_mlperf.platforms.aws.request import Options, Request, request_of
from serverless_mlperf.platforms.aws.waiting import Patience
from serverless_mlperf.platforms.base import FunctionConfig
from serverless_mlperf.workloads import ENGINE_AND_FORMATS, MEMORY_MIB, TASKS, Cell

QUICK = Patience(pause_s=0.1, stack_s=120, settle_s=120)
"""What the double does takes moments."""
ONE = (Cell("classification", "ie-ir", 1536),)
TWO = (*ONE, Cell("object_detection", "ocv-tf", 768))
WHOLE = tuple(Cell(t, e, m) for t in TASKS for e in ENGINE_AND_FORMATS for m in MEMORY_MIB)


def request(folder: Path, cells: Iterable[Cell] = ONE, code: str = "a = 1", **options: object) -> Request:
    """The stack of some cells; other code is another package."""
    functions = [
        FunctionConfig(
            name=f"serverless-mlperf-{cell.name}",
            cell_name=cell.name,
            memory_mib=cell.memory_mib,
            timeout_s=60,
            concurrency=4,
            environment={"ENGINE_AND_FORMAT": cell.engine_and_format, "CV_TASK": cell.task},
            code_zip=_zip(folder, "function", code),
            layer_zip=_zip(folder, LAYER_OF[cell.engine_and_format], "b = 2"),
            layer=LAYER_OF[cell.engine_and_format],
            architecture=cell.architecture,
        )
        for cell in cells
    ]
    return request_of(functions, Options(**options))  # type: ignore[arg-type]


def _zip(folder: Path, name: str, content: str) -> Path:
    from serverless_mlperf.packages.archive import write_zip

    source = folder / f"{name}.py"
    source.write_text(content)
    return write_zip(name, {source.name: source}, folder / f"{name}-{len(content)}.zip", {}).path
