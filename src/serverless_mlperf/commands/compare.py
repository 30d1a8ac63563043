"""`serverless-mlperf compare`."""

from pathlib import Path
from typing import Annotated

from rich.console import Console
import typer

from serverless_mlperf.commands.formats import AsCsv, AsJson, check_formats


def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="A results folder.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The results folder that is held against it.")],
    same_within: Annotated[
        float, typer.Option("--same-within", min=0.1, max=100, help="Percent that a change may have to be none.")
    ] = 5.0,
    fail_over: Annotated[
        float | None, typer.Option("--fail-over", min=0, help="Exit status 1 when something is slower by more percent.")
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Hold two results against each other, run by run: faster, slower, the same, or not to be told."""
    from serverless_mlperf.comparison import report
    from serverless_mlperf.comparison.folders import compare_folders

    check_formats(as_json, as_csv)
    found = compare_folders(base, new, same_within / 100)
    for shortfall in found.shortfalls:
        typer.echo(f"note: {shortfall}", err=True)
    if as_json or as_csv:
        typer.echo((report.as_json if as_json else report.as_csv)(found).rstrip("\n"))
    else:
        console = Console(soft_wrap=True, highlight=False)
        for line in report.lines(found):
            console.print(line)
    if fail_over is not None and (slower := found.regressions(fail_over / 100)):
        names = ", ".join(f"{key.cell} {key.figure}" for key in slower)
        typer.echo(f"slower by more than {fail_over:g} %: {names}", err=True)
        raise typer.Exit(1)
