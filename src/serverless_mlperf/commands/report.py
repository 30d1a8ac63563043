"""`serverless-mlperf report`."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    results: Annotated[list[Path], typer.Argument(metavar="RESULTS...", help="Results folders.")],
    output: Annotated[
        Path | None, typer.Option(help="The HTML file; default: report.html in the first folder.")
    ] = None,
) -> None:
    """Write one self-contained page: verdicts, figures, and every figure's data as a table and CSV."""
    from serverless_mlperf.report.page.build import PAGE, write_page

    path = output or results[0] / PAGE
    write_page(results, path)
    typer.echo(str(path))
