"""`serverless-mlperf reproduce`."""

from pathlib import Path
from typing import Annotated

from rich.console import Console
import typer

from serverless_mlperf.commands.formats import AsCsv, AsJson, check_formats, echo_document, echo_rows


def reproduce(
    results: Annotated[
        Path | None, typer.Argument(metavar="[RESULTS]", help="A results folder, or a results.csv; without: the paper.")
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Measure the paper's 24 cells first, as `run` does.")] = False,
    output: Annotated[Path, typer.Option(help="--run: folder that gets results/<id>.")] = Path("results"),
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Set our figures beside the paper's: the shape is compared, absolute times are context."""
    from serverless_mlperf.errors import InputError
    from serverless_mlperf.report.figures import read_bars
    from serverless_mlperf.reproduction.published import published_bars
    from serverless_mlperf.reproduction.report import document, lines, rows

    check_formats(as_json, as_csv)
    if run and results:
        raise InputError("--run measures anew, and RESULTS names what is measured already: give one of them")
    if run:
        results = _measured(output)
    file = results / "results.csv" if results and results.is_dir() else results
    ours = read_bars(file) if file else []
    if as_json:
        echo_document(document(published_bars(), ours))
        return
    if as_csv:
        echo_rows(list(rows(published_bars(), ours)))
        return
    for line in lines(published_bars(), ours):
        typer.echo(line)


def _measured(output: Path) -> Path:
    """The folder of a new experiment with the paper's cells."""
    from serverless_mlperf.config import load_config
    from serverless_mlperf.experiment import run_experiment
    from serverless_mlperf.store import ResultsFolder

    status = run_experiment(load_config(None, {"output": output}), Console(soft_wrap=True, stderr=True))
    if status:
        raise typer.Exit(status)
    return ResultsFolder.newest(output).path
