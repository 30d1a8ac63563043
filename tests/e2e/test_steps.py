"""Several runs of one cell as a user calls them: a sweep over the queries in flight, and its curve."""

import csv
import json
from pathlib import Path
import re
import subprocess
import sys

from kills import MATRIX, MEASURING


def test_sweep_gives_a_curve(tmp_path: Path) -> None:
    """One run per bound, never more in flight than that, a row each, and the curve below the table."""
    command = [sys.executable, "-m", "serverless_mlperf", "run", *MATRIX, *MEASURING, "--memory", "3008"]
    sweep = ["--sweep", "1", "--sweep", "2", "--output", str(tmp_path)]
    done = subprocess.run([*command, *sweep], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = tmp_path.iterdir()
    rows = list(csv.DictReader((folder / "results.csv").read_text().splitlines()))
    peaks = [json.loads(path.read_text())["peak_in_flight"] for path in sorted(folder.glob("cells/*/*/driver.json"))]
    assert [row["files"] for row in rows] == ["6", "6"]
    assert peaks == [1, 2]
    points = re.findall(r"^  (\d): [0-9.]+/s, p50 ", done.stdout, re.M)
    assert points == ["1", "2"], done.stdout
