"""The command with faults on demand: what they struck is accounted for, and the run is no measurement."""

from collections import Counter
import json
from pathlib import Path
import subprocess
import sys

import pytest

QUERIES = 12
VERDICTS = {"lost": "timeout", "errors": "error"}
"""What the summary counts, and how a record says it."""
SMALL = (
    "--cv_task", "classification", "--engine_and_format", "ie-ir", "--memory", "1536", "--samples", "8",
    "--concurrency", "1", "--queries", str(QUERIES), "--retry-invalid", "2", "--wait-for-host", "0", "--timeout", "15",
)  # fmt: skip


@pytest.mark.parametrize(
    ("faults", "transport", "count"),
    [
        pytest.param("lose=0.1,seed=338", "s3", "lost", marks=pytest.mark.long),
        ("kill-handler=0.2,seed=1", "invoke", "errors"),
    ],
)
def test_struck_queries_are_counted_and_named(tmp_path: Path, faults: str, transport: str, count: str) -> None:
    """INVALID with the faults as a reason that no further try removes; each query ends once; exit status 1.

    With these seeds the warm-up, eight events or four invocations, is spared.
    """
    command = [sys.executable, "-m", "serverless_mlperf", "run", *SMALL, "--transport", transport]
    command += ["--faults", faults, "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 1, done.stderr + done.stdout
    assert "1 runs measured, 0 VALID, 1 INVALID" in done.stdout
    (run,) = tmp_path.glob("*/cells/*/run-*")
    records = [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]
    kind, _, _ = faults.partition("=")
    ends = Counter(record["verdict"] for record in records)
    assert len(records) == QUERIES
    assert ends[VERDICTS[count]] > 0
    verdict = json.loads((run / "validity.json").read_text())
    reasons = {reason["code"]: reason for reason in verdict["reasons"]}
    assert (verdict["verdict"], verdict["tries"]) == ("INVALID", 1)
    assert reasons["faults"]["evidence"].startswith(f"faults on demand: {faults}; injected: {kind} ")
    assert not reasons["faults"]["transient"]
    summary = json.loads((run / "summary.json").read_text())
    for name, end in VERDICTS.items():  # a busy host may lose what a new environment comes too late for
        assert summary[name] == ends[end]
        assert (name in reasons) == (ends[end] > 0)
        assert not ends[end] or reasons[name]["evidence"].startswith(f"{ends[end]} of {QUERIES} queries: ")
