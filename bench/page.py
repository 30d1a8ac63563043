"""The page of a large result: time, memory and size.

    python bench/page.py [RECORDS=1000000]

A results folder of the paper's 24 cells is made up, with so many records of the real schema in all; `report` then runs
as a user runs it, in a process of its own. Exit status 1 beyond 10 s (10,000,000 bytes, 1.5 GiB).
"""

from dataclasses import asdict
import json
from pathlib import Path
import resource
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "unit" / "report" / "page"))

from page_results import make_results

from serverless_mlperf.records import read_records
from serverless_mlperf.store import ResultsFolder

MOST_S, MOST_BYTES, MOST_GIB = 10.0, 10_000_000, 1.5
SAMPLE = 500


def fill(folder: ResultsFolder, records: int) -> int:
    """Repeat each run's records until all runs have so many together; bytes of all files."""
    each = records // len(folder.cells)
    total = 0
    for cell in folder.cells:
        path = folder.path / "cells" / cell / "run-1" / "records.jsonl"
        lines = [json.dumps(asdict(record), separators=(",", ":")) + "\n" for record in read_records(path)]
        with path.open("w") as file:
            for start in range(0, each, len(lines)):
                file.writelines(lines[: each - start])
        total += path.stat().st_size
    return total


def main() -> int:
    """Make, render, tell; the exit status."""
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = make_results(Path(name), queries=SAMPLE)
        size = fill(folder, records)
        command = [sys.executable, "-m", "serverless_mlperf", "report", str(folder.path)]
        begun_s = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        took_s = time.monotonic() - begun_s
        page_bytes = (folder.path / "report.html").stat().st_size
    gib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"{records} records in {len(folder.cells)} cells, {size / 1e6:.0f} MB of JSON lines")
    print(
        f"page written in {took_s:.1f} s (at most {MOST_S:g}), {gib:.2f} GiB resident (at most {MOST_GIB:g}), ", end=""
    )
    print(f"{page_bytes / 1e6:.1f} MB (at most {MOST_BYTES / 1e6:g})")
    return 0 if took_s <= MOST_S and gib <= MOST_GIB and page_bytes <= MOST_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
