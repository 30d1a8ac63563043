"""A budget stops a real experiment in order, and raising it lets it be finished."""

import json
from pathlib import Path
import re
import subprocess
import sys
from typing import Any

import pytest

from serverless_mlperf.pricing.cost import LOG_BYTES
from serverless_mlperf.records import read_records
from serverless_mlperf.spending import LEDGER, Ledger
from serverless_mlperf.store import ResultsFolder

CELL = "classification-ie-ir-1769"
COMMAND = (sys.executable, "-m", "serverless_mlperf", "run")
SMALL = (
    *("--cv_task", "classification", "--engine_and_format", "ie-ir", "--memory", "1769", "--samples", "6"),
    *("--concurrency", "1", "--retry-invalid", "0", "--wait-for-host", "0"),
)


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command to its end."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=300)


def reasons(folder: ResultsFolder) -> dict[str, str]:
    """Code -> evidence, of the verdict on the cell's last whole try."""
    counted = folder.counted_try(CELL, 1)
    assert counted is not None
    document: dict[str, Any] = json.loads((counted.folder / "validity.json").read_text())
    assert document["verdict"] == "INVALID"
    return {reason["code"]: reason["evidence"] for reason in document["reasons"]}


def stopped(done: "subprocess.CompletedProcess[str]", output: Path) -> ResultsFolder:
    """The folder of an experiment that ended in order at its budget: reported, status 1, one line that says why."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    (path,) = output.iterdir()
    told = [
        line for line in done.stdout.splitlines() if line.startswith(f"not measured: {CELL}: stopped by the budget")
    ]
    assert len(told) == 1
    assert told[0].endswith("raise it and go on with run --resume")
    assert (path / "results.csv").is_file()
    return ResultsFolder.open(path)


def test_queries_stop_at_their_bound_and_a_higher_one_lets_the_run_be_finished(tmp_path: Path) -> None:
    """53 are the least (50 and three to warm up), the warm-up takes one more: the 54th is not sent.

    What was measured is kept and counts as INVALID; going on without a higher bound is refused before anything begins.
    """
    done = run(*SMALL, "--quick", "--max-queries", "53", "--output", str(tmp_path))
    assert done.stdout.startswith("estimate (modelled): 53 to ")
    folder = stopped(done, tmp_path)
    (tried,) = folder.tries(CELL)
    sent = [*read_records(tried.folder / "records.jsonl"), *read_records(tried.folder / "warmup.jsonl")]
    assert len(sent) == 53 == Ledger(folder.path / LEDGER).total().queries
    assert reasons(folder)["budget"].startswith("--max-queries 53: 53 sent, 1 more asked; ")
    assert folder.state(CELL) == "invalid"

    refused = run("--resume", str(folder.path))
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "--max-queries 53: 53 sent, 53 more asked at least (modelled)" in refused.stderr

    finished = run("--resume", str(folder.path), "--max-queries", "200")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    (result,) = folder.results()
    assert (result.files, result.tries) == (50, 2)
    assert not any(reason.startswith("budget:") for reason in result.reasons)
    assert Ledger(folder.path / LEDGER).total().queries == 53 + 50 + _warmed(folder)


def _warmed(folder: ResultsFolder) -> int:
    counted = folder.counted_try(CELL, 1)
    assert counted is not None
    return len(list(read_records(counted.folder / "warmup.jsonl")))


def test_an_accuracy_run_that_is_stopped_is_kept(tmp_path: Path) -> None:
    """LoadGen has no log of it: what was answered is scored from the outputs, and held against no target."""
    done = run(*SMALL, "--mode", "accuracy", "--max-queries", "9", "--output", str(tmp_path))
    folder = stopped(done, tmp_path)
    (result,) = folder.results()
    assert (result.mode, result.accuracy_source, result.accuracy_ratio) == ("accuracy", "outputs", None)
    assert result.accuracy_samples < 6
    assert set(reasons(folder)) == {"budget", "accuracy_unknown"}


def test_a_run_that_cannot_be_paid_is_not_begun(tmp_path: Path) -> None:
    """Of two cells the first takes at least 54 of 106 queries: the second needs 53, and has no try; both are told."""
    done = run(*SMALL, "--memory", "3008", "--quick", "--max-queries", "106", "--output", str(tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    (path,) = tmp_path.iterdir()
    folder = ResultsFolder.open(path)
    assert [len(folder.tries(cell)) for cell in folder.cells] == [1, 0]
    assert [result.files for result in folder.results()] == [50]
    (told,) = [line for line in done.stdout.splitlines() if line.startswith("not measured: ")]
    assert re.fullmatch(
        r"not measured: classification-ie-ir-3008: stopped by the budget: --max-queries 106: 5\d sent, 53 more asked "
        r"for classification-ie-ir-3008, a run \(estimated\); raise it and go on with run --resume",
        told,
    )


def test_money_is_counted_by_what_is_billed(tmp_path: Path) -> None:
    """Invocations bring what they are billed for: they stop when the next one may not fit any more.

    A query costs 2e-7 for its request, its logs, and 1769 / 1024 GB x 1.66667e-5 a second: of 400 not even the least
    leaves much of 0.000225 USD, and they take more. Only the last one could cost more than was taken for granted.
    """
    usd = 0.000225
    done = run(*SMALL, "--transport", "invoke", "--queries", "400", "--max-usd", f"{usd:f}", "--output", str(tmp_path))
    folder = stopped(done, tmp_path)
    spent = Ledger(folder.path / LEDGER).total()
    (tried,) = folder.tries(CELL)
    records = [*read_records(tried.folder / "records.jsonl"), *read_records(tried.folder / "warmup.jsonl")]
    assert 0 < len(records) == spent.queries < 403
    billed_ms = [record.billed_ms for record in records if record.billed_ms is not None]
    assert len(billed_ms) == len(records)
    fixed_usd = 2e-7 + LOG_BYTES * 0.5e-9
    by_hand = len(records) * fixed_usd + sum(billed_ms) / 1000 * 1769 / 1024 * 1.66667e-5
    assert spent.usd == pytest.approx(by_hand)
    assert spent.usd <= usd + max(billed_ms) / 1000 * 1769 / 1024 * 1.66667e-5
    assert reasons(folder)["budget"].startswith(f"--max-usd {usd:g}: 0.00")


def test_a_budget_below_the_least_is_refused_before_anything_begins(tmp_path: Path) -> None:
    """One line, status 2, nothing made; by queries, money and minutes."""
    for option, value in (("--max-queries", "52"), ("--max-usd", "0.0000001"), ("--max-minutes", "0.0001")):
        done = run(*SMALL, "--quick", option, value, "--output", str(tmp_path / "results"))
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
        assert done.stderr.startswith(f"error: {option} ")
        assert "at least (modelled); raise it, or measure less" in done.stderr
    assert list(tmp_path.iterdir()) == []
