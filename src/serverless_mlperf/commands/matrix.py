"""Options that say which functions there are to be."""

from pathlib import Path
from typing import Annotated

import typer

from serverless_mlperf.errors import InputError
from serverless_mlperf.workloads import MEMORY_MIB

Tasks = Annotated[
    list[str] | None, typer.Option("--cv-task", "--cv_task", help="classification, object_detection; repeatable.")
]
Engines = Annotated[
    list[str] | None,
    typer.Option("--engine-and-format", "--engine_and_format", help="ie-ir, ocv-cf, ocv-tf; repeatable."),
]
Sizes = Annotated[list[int] | None, typer.Option("--memory", help="Memory in MB; repeatable.")]
SizeTypes = Annotated[
    list[int] | None,
    typer.Option("--memory-type", "--memory_type", min=0, max=3, help="0..3 for 768, 1536, 2240, 3008 MB; repeatable."),
]
Architectures = Annotated[list[str] | None, typer.Option("--architecture", help="x86_64, arm64; repeatable.")]
Python = Annotated[str | None, typer.Option(help="Python of the functions (3.13).")]
Weights = Annotated[Path | None, typer.Option("--weights", help="Folder of trained .npz weights; default: embedded.")]
Concurrency = Annotated[int | None, typer.Option(help="Environments per function, reserved (4).")]
Threads = Annotated[int | None, typer.Option(help="Engine threads; default: the cores Lambda shows.")]
Timeout = Annotated[int | None, typer.Option(help="The functions' timeout in seconds.")]


def sizes_mib(memory: list[int] | None, memory_type: list[int] | None) -> list[int] | None:
    """The sizes in MB, however they were given; raises InputError when they were given twice."""
    if memory and memory_type:
        raise InputError("--memory and --memory_type say the same thing: give one of them")
    return ([MEMORY_MIB[i] for i in memory_type] if memory_type else memory) or None
