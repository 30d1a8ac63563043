"""`serverless-mlperf inputs`."""

from pathlib import Path
from typing import Annotated

import typer


def inputs(
    num: Annotated[int, typer.Option(min=1, help="Number of input files: one image each.")],
    input_dataset: Annotated[
        Path, typer.Option("--input-dataset", "--input_dataset", help="Folder of the data set's images.")
    ],
    dataset_name: Annotated[str, typer.Option("--dataset-name", "--dataset_name", help="coco, imagenet")],
    output: Annotated[Path, typer.Option(help="Folder that gets the files; must be new or empty.")] = Path("input"),
    completed_path: Annotated[
        str | None,
        typer.Option("--completed-path", "--completed_path", help="Default: completed/<data set>."),
    ] = None,
    output_path: Annotated[
        str | None, typer.Option("--output-path", "--output_path", help="Default: output/<data set>.")
    ] = None,
) -> None:
    """Write the seed's input JSON files, to be copied below `input/` of the bucket."""
    from serverless_mlperf.inputs import write_inputs

    written = write_inputs(
        num,
        input_dataset,
        dataset_name,
        output,
        completed_path=completed_path or f"completed/{dataset_name}",
        output_path=output_path or f"output/{dataset_name}",
    )
    typer.echo(f"{output}: {len(written)} input files, {written[0]} to {written[-1]}")
