"""`serverless-mlperf doctor`."""

import json
from typing import Annotated

import typer


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Say what this host can emulate and measure, and what it cannot; status 1 when no experiment can run."""
    from serverless_mlperf.doctor import as_text, as_values, can_run, examine

    findings = examine()
    typer.echo(json.dumps(as_values(findings), indent=2) if as_json else as_text(findings))
    raise typer.Exit(0 if can_run(findings) else 1)
