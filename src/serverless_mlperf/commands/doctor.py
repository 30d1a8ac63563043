"""`serverless-mlperf doctor`."""

import typer

from serverless_mlperf.commands.formats import AsCsv, AsJson, check_formats, echo_document, echo_rows


def doctor(as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """Say what this host can emulate and measure, and what it cannot; status 1 when no experiment can run."""
    from serverless_mlperf.doctor import as_text, as_values, can_run, examine

    check_formats(as_json, as_csv)
    findings = examine()
    if as_json:
        echo_document(as_values(findings))
    elif as_csv:
        echo_rows(as_values(findings)["findings"])
    else:
        typer.echo(as_text(findings))
    raise typer.Exit(0 if can_run(findings) else 1)
