"""Faults at random: whatever happens to queries, none is lost from the account, and a run with a loss is never VALID.

One seed each time; all twenty with SERVERLESS_MLPERF_FAULT_SEEDS=20.
"""

import os
from pathlib import Path
from typing import Any

from mlperf_specs import fake_spec
import pytest

from serverless_mlperf.mlperf.launch import run_process
from serverless_mlperf.mlperf.verdict import verdict
from serverless_mlperf.records import read_records

SEEDS = range(int(os.environ.get("SERVERLESS_MLPERF_FAULT_SEEDS", "1")))
QUERIES = 300
FAULTS: dict[str, dict[str, Any]] = {
    "1 % lost": {"loss": 0.01},
    "50 % duplicated": {"duplicate": 0.5, "duplicate_delay_s": 0.01},
    "1 % beyond the deadline": {"late": 0.01, "late_delay_s": 0.8},
    "1 % defects of the client": {"defect": 0.01},
    "all of them": {"loss": 0.01, "duplicate": 0.5, "late": 0.01, "late_delay_s": 0.8, "defect": 0.01, "error": 0.01},
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_account_of_a_faulty_run_is_whole(tmp_path: Path, fault: str, seed: int) -> None:
    """Results, errors and passed deadlines are what was issued; VALID only if no query met a fault."""
    spec = fake_spec(tmp_path, fake={**FAULTS[fault], "seed": seed}, query_count=QUERIES, timeout_s=0.5, drain_s=0.5)
    result = run_process(spec, lambda _: None)
    records = list(read_records(tmp_path / "queries.jsonl"))
    assert result.ok + result.errors + result.send_errors + result.timeouts == result.issued == QUERIES
    assert len({record.key for record in records}) == QUERIES
    assert result.loadgen_errors == ()
    untouched = all(record.verdict == "ok" and not record.duplicates for record in records)
    assert result.ok == sum(record.verdict == "ok" for record in records)
    assert verdict(result).valid == untouched
    assert all("ZeroDivisionError" in str(record.error) for record in records if record.verdict == "send_error")
