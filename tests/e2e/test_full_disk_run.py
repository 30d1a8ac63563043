"""The command on a disk that fills up while a cell is measured: one line, status 1, and the cell before it intact."""

import json
from pathlib import Path
import subprocess
import sys
import time

from full_disk import fill, large_disk

COMMAND = [sys.executable, "-m", "serverless_mlperf", "run"]
SMALL = ["--cv_task", "classification", "--engine_and_format", "ie-ir", "--samples", "4", "--queries", "4"]
ONCE = ["--memory", "1536", "--memory", "3008", "--concurrency", "1", "--retry-invalid", "0", "--wait-for-host", "0"]
FIRST, SECOND = "classification-ie-ir-1536", "classification-ie-ir-3008"


def wait_for_folder(results: Path, pattern: str, process: subprocess.Popen[str]) -> None:
    """Wait until a folder is there; fail when the command ends before."""
    give_up = time.monotonic() + 240
    while not any(results.glob(pattern)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < give_up, "the second cell did not begin in time"
        time.sleep(0.02)  # a folder tells nobody that it has come


def test_disk_that_fills_up_in_a_run(tmp_path: Path) -> None:
    """The second cell is told not measured and why, the first one's figures are printed and its files are whole."""
    with large_disk(tmp_path / "disk", tmp_path / "image", 2300 << 20) as disk:
        results = disk / "results"
        process = subprocess.Popen(
            [*COMMAND, *SMALL, *ONCE, "--output", str(results)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_for_folder(results, f"*/cells/{SECOND}/run-1", process)
            fill(disk)
            printed, said = process.communicate(timeout=240)
        finally:
            process.kill()
        assert process.returncode == 1
        (line,) = [line for line in printed.splitlines() if line.startswith(f"cell {SECOND} failed: ")]
        assert "No space left on device" in line
        assert "benchmark mobilenet_openvino\nmemory 1536\n" in printed
        assert said.splitlines()[-1].startswith("error: ")
        assert "No space left on device" in said.splitlines()[-1]
        assert "Traceback" not in said + printed
        (run,) = results.glob(f"*/cells/{FIRST}/run-1")
        records = [json.loads(record) for record in (run / "records.jsonl").read_text().splitlines()]
        assert len(records) == len(list((run / "output").iterdir())) == 4
        assert json.loads((run / "summary.json").read_text())["files"] == 4
        assert json.loads((run / "validity.json").read_text())["verdict"] in {"VALID", "INVALID"}
        assert not any(results.glob(f"*/cells/{SECOND}/run-1/summary.json"))
