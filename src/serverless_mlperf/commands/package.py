"""`serverless-mlperf package`."""

from pathlib import Path
from typing import Annotated

import typer

from serverless_mlperf.workloads import ENGINE_AND_FORMATS


def package(
    engine_and_format: Annotated[
        list[str] | None,
        typer.Option(
            "--engine-and-format", "--engine_and_format", help="ie-ir, ocv-cf, ocv-tf; repeatable; default: all."
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder that gets the zips and bom.json.")] = Path("packages"),
) -> None:
    """Write function.zip, the engines' layers and their bill of materials."""
    from serverless_mlperf.packages.delivery import deliver_packages

    delivered = deliver_packages(engine_and_format or ENGINE_AND_FORMATS, output)
    typer.echo(f"{'name':20} {'zip MiB':>8} {'unzipped MiB':>12} {'members':>7}  sha256")
    for each in delivered:
        sizes = f"{each.zip_bytes / 2**20:8.1f} {each.unzipped_bytes / 2**20:12.1f} {each.members:7}"
        typer.echo(f"{each.path.name:20} {sizes}  {each.sha256}")
    for each in delivered:
        if each.must_go_by_s3:
            typer.echo(f"note: {each.path.name} is larger than 50 MiB: upload it by way of S3", err=True)
