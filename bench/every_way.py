"""Every scenario x transport x mode for both tasks, each a quick run: what holds, and what the others fail.

    python bench/every_way.py [memory size in MB [scenario ...]]

Prints a line per run. On a healthy host a quick run is VALID, or fails by nothing but its shortness: duration, number
of queries, early stopping, and as a compliance test what follows from those. Exit status 1 if anything else failed.
"""

from itertools import product
from pathlib import Path
import subprocess
import sys
import tempfile

from serverless_mlperf.config import SCENARIOS
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.store import ResultsFolder
from serverless_mlperf.workloads import TASKS

SHORT = {"min_duration", "min_query_count", "early_stopping"}
"""What a quick run may fail by."""
COMPARED = {"test01_performance", "test04_performance"}
"""The same, where one of SHORT says that the score compared is of too few queries to be one."""
TRANSPORTS = ("s3", "invoke")
MODES = ("test01", "test04")
"""They bring performance and accuracy runs along (plan.py)."""
DEADLINE_S = 900


def measured(folder: Path, memory: str, task: str, scenario: str, transport: str, mode: str) -> list[CellResult]:
    """The runs of one experiment of its own."""
    cell = ("--cv_task", task, "--engine_and_format", "ie-ir", "--memory", memory)
    way = ("--scenario", scenario, "--transport", transport, "--mode", mode)
    command = [sys.executable, "-m", "serverless_mlperf", "run", *cell, *way, "--quick", "--output", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    results = [result for path in folder.iterdir() for result in ResultsFolder.open(path).results()]
    if done.returncode or not results:
        raise SystemExit(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return results


def report(way: str, result: CellResult) -> bool:
    """Print a run's line; whether it fails by more than its shortness."""
    codes = [reason.partition(":")[0] for reason in result.reasons]
    verdict = "VALID" if result.valid else "INVALID"
    print(f"{way} {result.mode:11} {verdict:7} tries {result.tries} {', '.join(codes)}", flush=True)
    return bool(set(codes) - SHORT - (COMPARED if set(codes) & SHORT else set()))


def main() -> None:
    """Print a line per run and what they come to."""
    memory = sys.argv[1] if len(sys.argv) > 1 else "3008"
    failed = []
    for task, scenario, transport, mode in product(TASKS, sys.argv[2:] or SCENARIOS, TRANSPORTS, MODES):
        with tempfile.TemporaryDirectory() as folder:
            results = measured(Path(folder), memory, task, scenario, transport, mode)
        failed += [report(f"{task:16} {scenario:13} {transport:6}", result) for result in results]
    print(f"{len(failed)} runs, {sum(failed)} fail by more than their shortness")
    sys.exit(any(failed))


if __name__ == "__main__":
    main()
