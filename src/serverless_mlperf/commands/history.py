"""`serverless-mlperf history`."""

from pathlib import Path
from typing import Annotated

import typer

from serverless_mlperf.commands.formats import AsCsv, AsJson, check_formats, echo_document, echo_rows
from serverless_mlperf.errors import InputError


def history(
    output: Annotated[Path, typer.Argument(metavar="[DIR]", help="The folder that experiments write to.")] = Path(
        "results"
    ),
    cell: Annotated[str, typer.Option(help="Only cells whose name has this part.")] = "",
    figure: Annotated[str, typer.Option(help="Only figures whose name has this part.")] = "forward p50",
    same_within: Annotated[
        float, typer.Option("--same-within", min=0.1, max=100, help="Percent that a change may have to be none.")
    ] = 5.0,
    plot: Annotated[Path | None, typer.Option(help="A PNG, SVG or PDF file that gets the figures over time.")] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show a cell's figures from experiment to experiment, each against the one before."""
    from serverless_mlperf.comparison.history import read_history, rows
    from serverless_mlperf.report.history import draw_history, history_lines

    check_formats(as_json, as_csv)
    found = read_history(output, same_within / 100, cell, figure)
    if not found.entries:
        raise InputError(f"{output}: no VALID performance run of such a cell and figure; see `history --figure ''`")
    for line in found.damaged:
        typer.echo(f"note: {line}", err=True)
    if plot:
        draw_history(found, plot)
    if as_json:
        echo_document(list(rows(found)))
    elif as_csv:
        echo_rows(list(rows(found)))
    else:
        for line in history_lines(found):
            typer.echo(line)
