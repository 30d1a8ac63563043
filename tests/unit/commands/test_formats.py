"""Results for machines: each command that prints results takes --json and --csv, and not both."""

import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serverless_mlperf.cli import app
from serverless_mlperf.errors import InputError

PRINTS = (
    ["run"], ["status", "--platform", "aws"],
    ["compare", "a", "b"], ["history"], ["reproduce"], ["doctor"], ["package"], ["prices", "show"],
    ["prices", "paper"], ["prices", "estimate", "--memory", "768", "--billed-ms", "1"],
)  # fmt: skip


def output_of(*arguments: str) -> str:
    """What a command prints."""
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("command", PRINTS, ids=" ".join)
def test_both_formats_at_once_are_refused(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is measured or read."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, [*command, "--json", "--csv"])
    assert isinstance(done.exception, InputError)
    assert "--json and --csv exclude each other" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_reproduce_prints_the_papers_cells_as_csv() -> None:
    """24 rows of published figures; the sizes of a series share the shape that the JSON document gives."""
    rows = list(csv.DictReader(io.StringIO(output_of("reproduce", "--csv"))))
    shapes = json.loads(output_of("reproduce", "--json"))["published"]["vcpu_ms"]
    assert len(rows) == 24
    assert {row["source"] for row in rows} == {"published"}
    assert {f"{row['model']} {row['engine']}": float(row["vcpu_ms"]) for row in rows} == shapes


def test_doctor_prints_the_same_findings_in_both_formats() -> None:
    """A row per finding, with the same names and evidence as the document's."""
    rows = list(csv.DictReader(io.StringIO(CliRunner().invoke(app, ["doctor", "--csv"]).stdout)))
    document = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    assert [row["name"] for row in rows] == [finding["name"] for finding in document["findings"]]
    assert {row["state"] for row in rows} <= {"ok", "limited", "missing"}


def test_prices_are_listed_alike_in_every_format() -> None:
    """A CSV row per price with date and source; none is 0, and lines for people are at most 80 columns."""
    rows = list(csv.DictReader(io.StringIO(output_of("prices", "show", "--csv"))))
    table = json.loads(output_of("prices", "show", "--json"))["regions"]
    assert {row["region"] for row in rows} == set(table) == {"us-east-1", "eu-west-1"}
    assert 0.0 not in {float(row["usd"]) for row in rows if row["usd"]}
    first = next(row for row in rows if (row["region"], row["price"]) == ("us-east-1", "GB-second"))
    listed = table["us-east-1"]["function"]
    assert float(first["usd"]) == listed["gb_second_usd"][first["architecture"]][0][1]
    assert (first["as_of"], first["source"]) == (listed["as_of"], listed["source"])
    assert max(map(len, output_of("prices", "show").splitlines()[1:])) <= 80


def test_an_estimate_is_one_row_with_the_documents_parts() -> None:
    """What the CSV says of each part is what the JSON says."""
    command = ["prices", "estimate", "--memory", "768", "--billed-ms", "480"]
    (row,) = csv.DictReader(io.StringIO(output_of(*command, "--csv")))
    document = json.loads(output_of(*command, "--json"))
    assert float(row["total_usd"]) == document["total_usd"] > 0
    assert {name for name in document if document[name] is not None and name != "unknown"} <= set(row)
