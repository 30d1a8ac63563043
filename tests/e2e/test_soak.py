"""A short soak: what bench/soak.py does to 200,000 events, done to as many as a test may."""

import os
from pathlib import Path
import subprocess
import sys

SOAK = Path(__file__).parents[2] / "bench" / "soak.py"
EVENTS = os.environ.get("SERVERLESS_MLPERF_SOAK_EVENTS", "300")


def test_every_event_is_accounted_for_and_nothing_leaks() -> None:
    """With all kinds of faults at once, each object has a result, an error record or a counted loss."""
    command = [sys.executable, str(SOAK), "--events", EVENTS, "--rate", "0.02", "--environment-rate", "0.003"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("holds\n")
