"""What one environment more costs: mean forward over the quota's prediction, at the default number and one above.

    python bench/environments.py [rounds]

Both numbers of environments in turn, per memory size and engine, 100 queries each; prints medians. A quotient of 1.0
says that the function's own quota decided; above it, environments waited for the host's cores.
"""

import csv
import io
from pathlib import Path
from statistics import median
import subprocess
import sys
import tempfile

from serverless_mlperf.host import host_cores
from serverless_mlperf.platforms.local.host import most_at_once, undisturbed_at_once

SIZES = (768, 1536)
ENGINES = ("ie-ir", "ocv-tf")
RUN = ("--cv_task", "classification", "--queries", "100", "--retry-invalid", "0")
DEADLINE_S = 300


def quotient(memory_mib: int, engine: str, environments: int) -> float:
    """One experiment of its own; mean forward over the quota's prediction."""
    cell = ("--engine_and_format", engine, "--memory", str(memory_mib), "--concurrency", str(environments))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "serverless_mlperf", "run", *RUN, *cell, "--output", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
        tables = list(Path(folder).glob("*/results.csv"))
        if len(tables) != 1:
            raise SystemExit(f"{' '.join(command)}: no table\n{done.stdout}{done.stderr}")
        (row,) = csv.DictReader(io.StringIO(tables[0].read_text()))
    return float(row["mean_ms"]) / float(row["quota_predicted_ms"])


def main() -> None:
    """Print a line per size and engine."""
    rounds, cores = int(sys.argv[1]) if len(sys.argv) > 1 else 3, host_cores()
    print(f"{cores} cores; mean forward / the 20 ms quota's prediction, median of {rounds} [least, most]")
    for memory_mib in SIZES:
        counts = (undisturbed_at_once(memory_mib, cores), most_at_once(memory_mib, cores))
        for engine in ENGINES:
            found = [[quotient(memory_mib, engine, count) for count in counts] for _ in range(rounds)]
            texts = [
                f"{count} environments {median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"
                for count, values in zip(counts, zip(*found, strict=True), strict=True)
            ]
            print(f"{memory_mib:5} MB {engine:7} {', '.join(texts)}", flush=True)


if __name__ == "__main__":
    main()
