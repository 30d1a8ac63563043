"""`serverless-mlperf submission`."""

from pathlib import Path
from typing import Annotated

import typer


def submission(
    results: Annotated[list[Path], typer.Argument(metavar="RESULTS", help="Results folders of `run`.")],
    output: Annotated[Path, typer.Option(help="Folder that gets open/ORG.")],
    org: Annotated[str | None, typer.Option("--org", "--submitter", help="Who submits; a folder's name.")] = None,
    system: Annotated[str | None, typer.Option(help="First part of the systems' names; default: the platform.")] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A key of the descriptions that the results do not say; repeatable."),
    ] = None,
    allow_incomplete: Annotated[
        bool, typer.Option("--allow-incomplete", help="Write what is there; README.md lists what is missing.")
    ] = False,
    allow_invalid: Annotated[
        bool, typer.Option("--allow-invalid", help="Write INVALID runs too; README.md says so.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace OUTPUT/open/ORG.")] = False,
) -> None:
    """Write results as an MLPerf submission: round v6.1, open division; never an official result."""
    from serverless_mlperf.submission.command import Request, write_submission

    request = Request(tuple(results), output, org, system, tuple(field or ()), allow_incomplete, allow_invalid, force)
    written = write_submission(request)
    typer.echo(f"written: {written.folder}: {len(written.systems)} systems, {written.results} results")
    for note in written.notes:
        typer.echo(f"note: {note}")
