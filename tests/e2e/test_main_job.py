"""The command as a user calls it: one small cell, end to end, with real engines, LoadGen and awslambdaric."""

import csv
import json
from pathlib import Path
import signal
import subprocess
import sys
import time

from kills import descendants, wait_until_gone
import pytest

from serverless_mlperf.host import host_cores
from serverless_mlperf.platforms.local.host import undisturbed_at_once

COMMAND = [sys.executable, "-m", "serverless_mlperf"]
SMALL = ["--cv_task", "classification", "--engine_and_format", "ie-ir", "--memory", "768", "--samples", "8"]


def run(*arguments: str, timeout_s: float = 180) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=timeout_s, check=False)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The results folder of one measured cell, and what the command printed."""
    output = tmp_path_factory.mktemp("results")
    done = run(
        "run", *SMALL, "--queries", "12", "--retry-invalid", "0", "--wait-for-host", "0", "--output", str(output)
    )
    assert done.returncode == 0, done.stderr + done.stdout
    (folder,) = output.iterdir()
    return folder, done.stdout


def test_prints_the_seeds_block(measured: tuple[Path, str]) -> None:
    """The seed's block names the benchmark, its memory and the number of files."""
    _, printed = measured
    assert (
        "**********benchmarked unit***********\nbenchmark mobilenet_openvino\nmemory 768\nlatencyes 50% -> " in printed
    )
    assert "number of files: 12\n" in printed


def test_results_folder_is_complete(measured: tuple[Path, str]) -> None:
    """Settings, records, summary, verdict, outputs, LoadGen's logs and figures are there and agree on the count."""
    folder, _ = measured
    (run_folder,) = (folder / "cells" / "classification-ie-ir-768").iterdir()
    records = [json.loads(line) for line in (run_folder / "records.jsonl").read_text().splitlines()]
    assert len(records) == len(list((run_folder / "output").iterdir())) == 12
    assert all(r["verdict"] == "ok" and not r["cold"] and r["billed_ms"] for r in records)
    assert json.loads((run_folder / "validity.json").read_text())["verdict"] in {"VALID", "INVALID"}
    assert "Samples per second" in (run_folder / "loadgen" / "mlperf_log_summary.txt").read_text()
    assert json.loads((folder / "experiment.json").read_text())["settings"]["queries"] == 12
    assert {p.suffix for p in (folder / "figures").iterdir()} == {".png", ".pdf"}


def test_results_csv_has_the_seeds_columns(measured: tuple[Path, str]) -> None:
    """The row of the cell carries the seed's columns with the numbers of the records."""
    folder, _ = measured
    (row,) = list(csv.DictReader((folder / "results.csv").read_text().splitlines()))
    (run_folder,) = (folder / "cells" / "classification-ie-ir-768").iterdir()
    records = [json.loads(line) for line in (run_folder / "records.jsonl").read_text().splitlines()]
    forwards = sorted(r["phases_ns"]["forward"] / 1e6 for r in records)
    assert (row["model_name"], row["memory"]) == ("mobilenet_openvino", "768")
    assert float(row["latency"]) == pytest.approx(forwards[5])
    span_s = (max(r["finish_ns"] for r in records) - min(r["start_ns"] for r in records)) / 1e9
    assert float(row["qps"]) == pytest.approx(12 / span_s)


def test_every_environment_was_warm(measured: tuple[Path, str]) -> None:
    """As many as run undisturbed (three on two cores), each cold once, in the warm-up, and each having served three."""
    folder, _ = measured
    (run_folder,) = (folder / "cells" / "classification-ie-ir-768").iterdir()
    warmup = [json.loads(line) for line in (run_folder / "warmup.jsonl").read_text().splitlines()]
    served = {e: [w["cold"] for w in warmup if w["environment_id"] == e] for e in {w["environment_id"] for w in warmup}}
    assert len(served) == undisturbed_at_once(768, host_cores())
    assert all(len(cold) >= 3 and cold.count(True) == 1 for cold in served.values())


def test_synthetic_answers_are_mostly_right(measured: tuple[Path, str]) -> None:
    """The embedded weights know the synthetic images: the score is far above chance (1 in 20)."""
    folder, _ = measured
    (summary,) = (folder / "cells").glob("*/*/summary.json")
    assert json.loads(summary.read_text())["top1"] >= 0.9


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_ends_everything(tmp_path: Path, presses: int) -> None:
    """Ctrl-C, once or twice, ends with status 130 and says what is done; no process is left."""
    command = [
        *COMMAND,
        "run",
        *SMALL,
        "--queries",
        "2000",
        "--wait-for-host",
        "0",
        "--output",
        str(tmp_path / "results"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(lambda: any(tmp_path.glob("results/*/cells/*/run-1/loadgen/*")), 90)
    family = descendants(process.pid)
    assert family
    for _ in range(presses):
        process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=10)
    assert process.returncode == 130, printed
    assert "0 of 1 cells are measured" in printed
    wait_until_gone(family, 5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--queries", "none"], "--queries"),
        (["run", "--cv_task", "segmentation"], "tasks"),
        (["run", "--memory_type", "4"], "memory"),
        (["run", "--weights", "/nonexistent", "--cv_task", "classification"], "/nonexistent"),
        (["run", "--dataset", "coco", "--weights", ".", "--input_dataset", "/nonexistent"], "--weights"),
        (["figures", "/nonexistent.csv"], "/nonexistent.csv"),
        (["models", "verify", "/nonexistent"], "/nonexistent"),
        (["nonsense"], "nonsense"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path: Path, arguments: list[str], said: str) -> None:
    """Bad input gives one clear line on stderr, status 2 (1 for models that fail verification), never a traceback."""
    extra = ["--output", str(tmp_path)] if arguments[0] == "run" else []
    done = run(*arguments, *extra)
    message = done.stderr + (done.stdout if arguments[0] == "models" else "")
    assert done.returncode == (1 if arguments[0] == "models" else 2)
    assert said in message
    assert "Traceback" not in message
    assert list(tmp_path.iterdir()) == []


def wait_for(condition: object, deadline_s: float) -> None:
    """Wait until a condition holds; fail after the deadline."""
    assert callable(condition)
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        signal.sigtimedwait([], 0.05)


def test_results_are_printed_for_machines_alone(measured: tuple[Path, str]) -> None:
    """With --json or --csv stdout holds the runs and nothing else; what people read goes to stderr."""
    folder, _ = measured
    as_json, as_csv = (run("run", "--resume", str(folder), option) for option in ("--json", "--csv"))
    document = json.loads(as_json.stdout)
    assert document["folder"] == str(folder)
    assert [each["memory_mib"] for each in document["runs"]] == [768]
    assert as_csv.stdout == (folder / "results.csv").read_text()
    assert "1 runs measured" in as_json.stderr
