"""`serverless-mlperf report`."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    results: Annotated[list[Path], typer.Argument(metavar="RESULTS...", help="Results folders.")],
    output: Annotated[
        Path | None, typer.Option(help="The HTML file; default: report.html in the first folder.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Folder that gets the page's figures as PNG, SVG and PDF.")
    ] = None,
) -> None:
    """Write one self-contained page: verdicts, figures, and every figure's data as a table and CSV."""
    from serverless_mlperf.report.page.build import PAGE, read_page, write_page

    path, page = output or results[0] / PAGE, read_page(results)
    write_page(page, path)
    typer.echo(str(path))
    for note in page.notes:
        typer.echo(f"note: not shown: {note}", err=True)
    if figures:
        from serverless_mlperf.report.page.plates import draw_plates  # not at the top: only this needs matplotlib

        for plate in draw_plates(page.figures, figures):
            typer.echo(str(plate))
