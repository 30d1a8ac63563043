"""Tunings on the local platform: a recommendation whose every figure is in the folder, a cut, and none that meets."""

from collections.abc import Iterator
import json
import os
from pathlib import Path
import signal
import subprocess
import sys

from kills import descendants, finish, read_until, wait_until_gone
import pytest

from serverless_mlperf.store import ResultsFolder
from serverless_mlperf.tuning.method import TUNE

COMMAND = (sys.executable, "-m", "serverless_mlperf", "tune")
CELLS = ("classification-ie-ir-1769", "classification-ie-ir-3008")
MATRIX = (
    "--engine_and_format",
    "ie-ir",
    "--memory",
    "1769",
    "--memory",
    "3008",
    "--samples",
    "6",
    "--concurrency",
    "1",
)
# What the host delivers is not the point: a bound that any host keeps, and runs that count on a busy one.
ANY_HOST = ("--retry-invalid", "0", "--wait-for-host", "0", "--allow-invalid")
SHORT = ("--queries", "8", "--budget", "1")


def tune(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command to its end."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tuning that was interrupted in its second run; nothing of it runs any more."""
    output = tmp_path_factory.mktemp("cut")
    arguments = ("--slo", "p50=900s", "--slo", "accuracy>=0.01", *MATRIX, *SHORT, *ANY_HOST, "--output", str(output))
    pipe = subprocess.PIPE
    with subprocess.Popen([*COMMAND, *arguments], stdout=pipe, stderr=subprocess.STDOUT, text=True) as process:
        try:
            read_until(process, CELLS[1], "queries, 0 errors")
            family = descendants(process.pid)
            os.kill(process.pid, signal.SIGINT)
            printed = finish(process, 20)
        finally:
            process.kill()
    assert process.returncode == 130, printed
    assert "Traceback" not in printed
    (folder,) = output.iterdir()
    assert f"cut off: 1 runs of 2 candidates, 8 queries, are measured in {folder}" in printed
    wait_until_gone(family, 5)
    return folder


@pytest.fixture(scope="module")
def tuned(cut: Path) -> tuple[Path, dict[str, object], list[Path]]:
    """The same, gone on with to its end: folder, answer, and what had been measured before."""
    before = {path: path.read_bytes() for path in cut.glob("cells/*/*/summary.json")}
    assert len(before) == 1
    done = tune("--resume", str(cut), "--json", "--retry-invalid", "0", "--wait-for-host", "0")
    assert done.returncode == 0, done.stderr
    assert "resumed: 1 runs of 2 candidates, 8 queries" in done.stderr
    assert {path: path.read_bytes() for path in before} == before
    return cut, json.loads(done.stdout), list(before)


def test_recommendation_can_be_traced(tuned: tuple[Path, dict[str, object], list[Path]]) -> None:
    """The recommended cell met its objectives; its runs are in the folder, as long as planned, and nothing else is."""
    path, answer, _ = tuned
    folder = ResultsFolder.open(path)
    assert json.loads((path / TUNE).read_text()) == answer
    assert answer["recommended"] in CELLS
    candidates = answer["candidates"]
    assert isinstance(candidates, list)
    best = candidates[0]
    assert (best["name"], best["standing"]) == (answer["recommended"], "best")
    assert [each["state"] for each in best["objectives"]] == ["met", "met"]
    assert best["objectives"][0]["from"] == sum(best["runs"])
    assert best["cold_start_ms"]["from"] == len(best["runs"])
    for each in candidates:
        results = [folder.result(each["name"], run) for run in range(1, len(each["runs"]) + 1)]
        assert [result.warm for result in results if result] == each["runs"]
        assert answer["runs_queries"][: len(each["runs"])] == each["runs"]  # type: ignore[index]
        assert folder.result(each["name"], len(each["runs"]) + 1) is None
    assert answer["queries"] == sum(sum(each["runs"]) for each in candidates)


def test_report_reads_the_folder(tuned: tuple[Path, dict[str, object], list[Path]]) -> None:
    """A tuning's folder is a results folder: table, page and figures are written, and a report made again."""
    path, _, _ = tuned
    assert (path / "results.csv").read_text().count("\n") > 2
    assert (path / "report.html").is_file()
    again = path / "again.html"
    command = [*COMMAND[:-1], "report", str(path), "--output", str(again)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert again.is_file()


def test_finished_tuning_is_only_reported(tuned: tuple[Path, dict[str, object], list[Path]]) -> None:
    """Nothing is measured again; as CSV there is a row per candidate."""
    path, answer, _ = tuned
    done = tune("--resume", str(path), "--csv")
    assert done.returncode == 0, done.stderr
    assert "deploying" not in done.stderr
    assert [line.split(",")[0] for line in done.stdout.splitlines()] == [
        "name",
        *(each["name"] for each in answer["candidates"]),  # type: ignore[attr-defined]
    ]


def test_none_meets(tmp_path: Path) -> None:
    """Status 1, no candidate recommended, the nearest named; dropped after as few runs as that takes."""
    done = tune("--slo", "p50=0.1ms", *MATRIX, *SHORT, *ANY_HOST, "--output", str(tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the objectives at a confidence of 0.95." in done.stdout
    assert "nearest: classification-ie-ir-" in done.stdout
    (folder,) = tmp_path.iterdir()
    answer = json.loads((folder / TUNE).read_text())
    assert answer["recommended"] is None
    assert answer["queries"] < answer["grid_queries"]


@pytest.fixture(autouse=True)
def no_process_left() -> Iterator[None]:
    """Nothing that a test here starts outlives it."""
    before = descendants(os.getpid())
    yield
    wait_until_gone(descendants(os.getpid()) - before, 5)
