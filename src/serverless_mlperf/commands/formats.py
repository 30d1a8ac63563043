"""What a command that prints results also prints for machines: JSON, or CSV."""

from collections.abc import Mapping, Sequence
import csv
import io
import json
from typing import Annotated, Any

import typer

from serverless_mlperf.errors import InputError

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="As CSV.")]


def check_formats(as_json: bool, as_csv: bool) -> None:
    """Raise InputError when both are asked for."""
    if as_json and as_csv:
        raise InputError("--json and --csv exclude each other: give one of them")


def echo_document(document: Any) -> None:
    """Print JSON on one line."""
    typer.echo(json.dumps(document))


def echo_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print CSV: the columns of all rows in the order in which they are met; what is not known is empty."""
    columns = dict.fromkeys(name for row in rows for name in row)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    typer.echo(text.getvalue().rstrip("\n"))
