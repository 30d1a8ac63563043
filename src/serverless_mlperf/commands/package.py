"""`serverless-mlperf package`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serverless_mlperf.commands.formats import AsCsv, AsJson, check_formats, echo_document, echo_rows
from serverless_mlperf.workloads import ENGINE_AND_FORMATS

if TYPE_CHECKING:
    from serverless_mlperf.packages import BuildTarget, Package


def package(
    engine_and_format: Annotated[
        list[str] | None,
        typer.Option(
            "--engine-and-format", "--engine_and_format", help="ie-ir, ocv-cf, ocv-tf; repeatable; default: all."
        ),
    ] = None,
    python: Annotated[
        str | None,
        typer.Option(help="3.12, 3.13: of Lambda, from wheels; default: this host's, or 3.13 with --architecture."),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(help="x86_64, arm64: of Lambda, from wheels; default: this host's, or x86_64 with --python."),
    ] = None,
    dockerfile: Annotated[
        bool, typer.Option("--dockerfile", help="Write a container's build context per engine instead of zips.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder that gets the zips and bom.json; default: packages, or packages/python3.13-arm64."),
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Write function.zip, the engines' layers and their bill of materials."""
    from serverless_mlperf.packages import BuildTarget
    from serverless_mlperf.packages.container import write_contexts
    from serverless_mlperf.packages.delivery import deliver_packages

    check_formats(as_json, as_csv)
    engines = engine_and_format or ENGINE_AND_FORMATS
    given = {"python": python, "architecture": architecture}
    options = {name: value for name, value in given.items() if value is not None}
    target = BuildTarget(**options) if options or dockerfile else None
    output = output or Path("packages", target.name if target else "")
    if dockerfile and target:
        for folder in write_contexts(engines, output, target):
            typer.echo(folder)
        return
    delivered = deliver_packages(engines, output, target)
    if as_json:
        echo_document([_row(each) for each in delivered])
    elif as_csv:
        echo_rows([_row(each) for each in delivered])
    else:
        _show(delivered)
    _note(delivered, target)


def _row(package: "Package") -> dict[str, object]:
    return {
        "name": package.path.name,
        "path": str(package.path),
        "zip_bytes": package.zip_bytes,
        "unzipped_bytes": package.unzipped_bytes,
        "members": package.members,
        "sha256": package.sha256,
    }


def _show(delivered: "Sequence[Package]") -> None:
    typer.echo(f"{'name':20} {'zip MiB':>8} {'unzipped MiB':>12} {'members':>7}  sha256")
    for each in delivered:
        sizes = f"{each.zip_bytes / 2**20:8.1f} {each.unzipped_bytes / 2**20:12.1f} {each.members:7}"
        typer.echo(f"{each.path.name:20} {sizes}  {each.sha256}")


def _note(delivered: "Sequence[Package]", target: "BuildTarget | None") -> None:
    for each in delivered:
        if each.must_go_by_s3:
            typer.echo(f"note: {each.path.name} is larger than 50 MiB: upload it by way of S3", err=True)
    if target and not all(each.bytecode for each in delivered):
        typer.echo(
            f"note: no {target.runtime} is on PATH here, so that nothing is compiled: every cold start does it anew",
            err=True,
        )
