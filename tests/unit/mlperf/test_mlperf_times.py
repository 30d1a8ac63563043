"""LoadGen's times in the records of whole runs, through driver, transport and account."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

from mlperf_specs import fake_spec
import pytest

from serverless_mlperf.mlperf.agreement import checked, disagreements
from serverless_mlperf.mlperf.launch import run_process
from serverless_mlperf.mlperf.spec import DriverResult, RunSpec, Scenario
from serverless_mlperf.mlperf.verdict import verdict
from serverless_mlperf.records import Record, read_records
from serverless_mlperf.waterfall import phases_of

QUERIES = {"SingleStream": 70, "MultiStream": 12, "Server": 60, "Offline": 100}


def measure(spec: RunSpec) -> tuple[DriverResult, list[Record]]:
    """Run and read back."""
    return run_process(spec, lambda _: None), list(read_records(spec.output / "queries.jsonl"))


def differences(driver: DriverResult, records: list[Record]) -> tuple[str, ...]:
    """LoadGen's summary against the records."""
    return disagreements(records, driver.scenario, driver.loadgen, driver.settings["target_latency_ns"])


@pytest.mark.parametrize("scenario", get_args(Scenario))
def test_records_equal_loadgens_summary(tmp_path: Path, scenario: Scenario) -> None:
    """In every scenario all figures recomputed from our records are LoadGen's, and every query's phases add up."""
    driver, records = measure(fake_spec(tmp_path, scenario=scenario, query_count=QUERIES[scenario]))
    assert len(records) == driver.issued > 0
    assert driver.loadgen["result_50.00_percentile_latency_ns"] > 0
    assert differences(driver, records) == ()
    assert all(sum(phases_of(record).values()) == record.loadgen_latency_ns for record in records)
    assert (driver.trace_fault, driver.deadline_s) == (None, 1.5)


def test_lost_queries_have_loadgens_times_too(tmp_path: Path) -> None:
    """LoadGen saw them complete at their deadline, and its summary counts them."""
    driver, records = measure(fake_spec(tmp_path, scenario="Server", target_qps=200.0, fake={"loss": 0.1}))
    assert driver.timeouts > 0
    assert all(record.loadgen_latency_ns is not None for record in records)
    assert differences(driver, records) == ()


def test_accuracy_mode_has_times_of_all_loaded_sets(tmp_path: Path) -> None:
    """Hand-over and trace match over the rounds in which LoadGen loads samples."""
    driver, records = measure(fake_spec(tmp_path, mode="accuracy", performance_sample_count=7))
    assert all(record.loadgen_latency_ns is not None for record in records)
    assert {record.query_seq for record in records} == {0, 1, 2}
    assert driver.trace_fault is None


def test_records_that_differ_make_the_run_invalid(tmp_path: Path) -> None:
    """A verdict is not VALID with figures that LoadGen did not see, nor with latency that no phase explains."""
    driver, records = measure(fake_spec(tmp_path, scenario="SingleStream", query_count=70))
    longest = max(records, key=lambda record: record.loadgen_latency_ns or 0)
    # Two seconds more on both sides of the same query: LoadGen did not see them, and no phase has them.
    slow = replace(
        longest,
        loadgen_latency_ns=(longest.loadgen_latency_ns or 0) + 2_000_000_000,
        latency_ns=longest.latency_ns + 2_000_000_000,
    )
    changed = [slow if record is longest else record for record in records]
    found = checked(verdict(driver), changed, driver)
    assert {"disagreement", "unattributed"} <= {reason.code for reason in found.reasons}
    assert not found.valid
    assert checked(verdict(driver), records, driver).reasons[: len(verdict(driver).reasons)] == verdict(driver).reasons


def test_missing_trace_is_a_reason() -> None:
    """The queries were measured, but their latencies cannot be LoadGen's."""
    driver = DriverResult("r", "Server", "accuracy", 1, 1, 1, trace_fault="line 7 is no event")
    assert [(reason.code, reason.evidence) for reason in verdict(driver).reasons] == [("trace", "line 7 is no event")]
