"""Going on: only what is missing is measured, all of it is reported, and what differs is refused."""

from collections.abc import Iterator
import csv
from itertools import cycle
import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys

from kills import (
    MATRIX,
    MEASURING,
    alive,
    command_of,
    descendants,
    experiment,
    finish,
    read_until,
    table,
    wait_until_gone,
)
import pytest

from serverless_mlperf.outcome import first_engine, read_outcome
from serverless_mlperf.pricing.choice import pricing_of
from serverless_mlperf.store import ResultsFolder
from serverless_mlperf.summary import cell_result
from serverless_mlperf.tries import UNFINISHED, write_json
from serverless_mlperf.workloads import Cell

CELLS = (Cell("classification", "ie-ir", 3008), Cell("classification", "ie-ir", 1769))
ARGUMENTS = (*MATRIX, "--queries", "6", "--memory", "3008", "--memory", "1769", *MEASURING)
SIGNALS = ((signal.SIGTERM,), (signal.SIGINT, signal.SIGINT))
"""Of stages in turn: both at each would be the same ways twice."""
COMMAND = (sys.executable, "-m", "serverless_mlperf", "run")


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command to its end."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cells, the larger one first, of two runs each, all of them VALID: what the host delivers is not the point."""
    output = tmp_path_factory.mktemp("finished")
    with experiment(*ARGUMENTS, "--repeat", "2", "--output", str(output)) as process:
        read_until(process, "[1/", "queries answered")
        environments = {pid for pid in descendants(process.pid) if b"awslambdaric" in command_of(pid)}
        read_until(process, "[2/", "deploying")
        left = {pid for pid in environments if alive(pid)}
        printed = finish(process)
    assert process.returncode == 0, printed
    assert environments
    assert not left, "environments of the first cell lived on"
    (folder,) = output.iterdir()
    for verdict in folder.glob("cells/*/*/validity.json"):
        write_json(verdict, {**json.loads(verdict.read_text()), "verdict": "VALID", "valid": True, "reasons": []})
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy to do something to."""
    return Path(shutil.copytree(finished, tmp_path / "results" / finished.name))


def test_summaries_can_be_computed_again(finished: Path) -> None:
    """From records, LoadGen's account and observations of a run's folder follows its summary, figure by figure."""
    folder = ResultsFolder.open(finished)
    tries = [(cell, each) for cell in CELLS for each in folder.tries(cell.name)]
    assert len(tries) == 4
    for cell, each in tries:
        outcome = read_outcome(each.folder, cell)
        assert each.result is not None
        again = cell_result(outcome, each.result.run, first_engine(outcome), pricing=pricing_of(folder)).to_dict()
        summary = json.loads((each.folder / "summary.json").read_text())
        verdict = ("valid", "reasons")  # made VALID above
        assert json.loads(json.dumps({k: v for k, v in again.items() if k not in verdict})) == {
            k: v for k, v in summary.items() if k not in verdict
        }


def test_finished_experiment_is_only_reported(folder: Path) -> None:
    """Nothing is measured when nothing is missing; results.csv and figures are made again."""
    before = table(folder)
    (folder / "results.csv").unlink()
    shutil.rmtree(folder / "figures")
    done = run("--resume", "--output", str(folder.parent))
    assert done.returncode == 0, done.stderr
    assert "resumed: 2 of 2 cells are measured" in done.stdout
    assert "deploying" not in done.stdout
    assert table(folder) == before
    assert any((folder / "figures").iterdir())


def test_only_what_was_cut_off_is_measured(folder: Path) -> None:
    """One run of one cell is measured, its cut-off try is kept, counted and marked; the table is whole and in order."""
    before = table(folder)
    cut = folder / "cells" / CELLS[1].name / "run-2"
    (cut / "summary.json").unlink()
    (cut / "records.jsonl").write_bytes((cut / "records.jsonl").read_bytes()[:-20])
    kept = {path: path.read_bytes() for path in folder.glob("cells/*/*/summary.json")}
    assert len(kept) == 3
    done = run(str(folder), "--resume", "--retry-invalid", "0", "--wait-for-host", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resumed: 1 of 2 cells are measured" in done.stdout
    assert "[1/1] classification-ie-ir-1769: deploying" in done.stdout
    assert {path: path.read_bytes() for path in kept} == kept
    assert not json.loads((cut / UNFINISHED).read_text())["counts"]
    assert table(folder) == before
    rows = list(csv.DictReader((folder / "results.csv").read_text().splitlines()))
    assert [(row["memory"], row["run"], row["tries"]) for row in rows] == [
        ("3008", "1", "1"), ("3008", "2", "1"), ("1769", "1", "1"), ("1769", "2", "2"),
    ]  # fmt: skip


def test_invalid_runs_are_measured_again(folder: Path) -> None:
    """An INVALID run counts until a new try of it is whole, and is one of its tries."""
    verdict = folder / "cells" / CELLS[0].name / "run-1" / "validity.json"
    write_json(verdict, {**json.loads(verdict.read_text()), "verdict": "INVALID"})
    done = run("--resume", str(folder), "--retry-invalid", "0", "--wait-for-host", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    results = ResultsFolder.open(folder).results()
    assert [(r.memory_mib, r.run, r.tries) for r in results] == [(3008, 1, 2), (3008, 2, 1), (1769, 1, 1), (1769, 2, 1)]


@pytest.mark.parametrize(
    ("arguments", "change", "said"),
    [
        (["--queries", "7"], {}, "--queries was 6 and is 7 now"),
        (["--memory", "3008"], {}, "--memory was 3008, 1769 and is 3008 now"),
        ([], {"host": {"cpu_model": "Another CPU"}}, "host.cpu_model was Another CPU and is "),
        ([], {"code_sha256": "12ab"}, "code_sha256 was 12ab and is "),
        ([], {"packages": {"other.zip": "12ab"}}, "packages."),
        ([], {"models": {}}, "models."),
        (["--weights", "/nonexistent"], {}, "/nonexistent"),
    ],
)
def test_what_differs_is_refused(folder: Path, arguments: list[str], change: dict[str, object], said: str) -> None:
    """Other settings, another host, code, package or model: one line that names it, status 2, nothing touched."""
    (folder / "cells" / CELLS[0].name / "run-1" / "summary.json").unlink()
    file = folder / "experiment.json"
    content = json.loads(file.read_text())
    environment = content["environment"]
    for name, value in change.items():
        environment[name] = {**environment[name], **value} if value and isinstance(value, dict) else value
    write_json(file, content)
    before = sorted(folder.rglob("*"))
    done = run("--resume", str(folder), *arguments)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert "cut off" not in done.stdout
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("left", [None, "", "{"])
def test_no_results_folder_is_one_line(tmp_path: Path, left: str | None) -> None:
    """A folder that is none, or whose experiment.json was cut off, is refused in one line."""
    if left is not None:
        (tmp_path / "experiment.json").write_text(left)
    for arguments in (["--resume", str(tmp_path)], ["--resume", "--output", str(tmp_path)]):
        done = run(*arguments)
        assert done.returncode == 2
        assert str(tmp_path) in done.stderr
        assert done.stderr.count("\n") == 1


def test_second_experiment_is_refused(tmp_path: Path) -> None:
    """While one experiment runs, another is refused with the first one's id; it is not disturbed by that."""
    with experiment(*ARGUMENTS, "--output", str(tmp_path / "a")) as process:
        read_until(process, "results:")
        second = run(*ARGUMENTS, "--output", str(tmp_path / "b"))
        assert second.returncode == 1
        assert second.stderr == (
            f"error: an experiment is running on this host (pid {process.pid}); wait for it or end it\n"
        )
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        finish(process, 10)
    assert not (tmp_path / "b").exists()


STAGES = ("packages:", "deploying", "checking", "warming up", "queries answered", "benchmarked unit")


@pytest.mark.parametrize(("stage", "signals"), list(zip(STAGES, cycle(SIGNALS), strict=False)))
def test_interrupted_experiment_says_what_is_done(
    tmp_path: Path, stage: str, signals: tuple[signal.Signals, ...]
) -> None:
    """At any stage, once or twice, Ctrl-C or SIGTERM ends with 130 and one line; the folder can be gone on from."""
    with experiment(*ARGUMENTS, "--output", str(tmp_path)) as process:
        read_until(process, stage)
        family = descendants(process.pid)
        for number in signals:
            os.kill(process.pid, number)
        printed = finish(process, 10)
    assert process.returncode == 130, printed
    assert "Traceback" not in printed
    lines = [line for line in printed.splitlines() if line.startswith("cut off: ")]
    wait_until_gone(family, 5)
    if stage == "packages:":
        assert lines == ["cut off: nothing is measured yet"]
        return
    (path,) = tmp_path.iterdir()
    folder = ResultsFolder.open(path)
    done = sum(folder.state(cell) in {"valid", "invalid"} for cell in folder.cells)
    assert len(lines) == 1
    assert lines[0].startswith(f"cut off: {done} of 2 cells are measured in {path}")
    assert (done > 0) == (stage == "benchmarked unit")
    unfinished = [each for cell in folder.cells for each in folder.tries(cell) if each.result is None]
    assert all((each.folder / UNFINISHED).is_file() for each in unfinished)


def test_interrupted_report_is_made_by_resuming(folder: Path) -> None:
    """Interrupted while it reports, the experiment is measured; reporting again gives the whole report."""
    (folder / "results.csv").unlink()
    with experiment("--resume", str(folder)) as process:
        read_until(process, "resumed:")
        os.kill(process.pid, signal.SIGINT)
        printed = finish(process, 10)
    assert process.returncode == 130, printed
    assert "cut off: 2 of 2 cells are measured" in printed
    assert run("--resume", str(folder)).returncode == 0
    assert len(table(folder)) == 4


@pytest.fixture(autouse=True)
def no_process_left() -> Iterator[None]:
    """Nothing that a test here starts outlives it."""
    before = descendants(os.getpid())
    yield
    wait_until_gone(descendants(os.getpid()) - before, 5)
