"""What makes a run INVALID."""

from dataclasses import replace
import json
from pathlib import Path
from typing import Any

import pytest

from serverless_mlperf.mlperf.spec import DriverResult, Scenario
from serverless_mlperf.mlperf.verdict import (
    accuracy_below_target,
    lag_limit_ns,
    late_limit_ns,
    verdict,
    write_validity,
)
from serverless_mlperf.platforms.base import PlatformUsage

CLEAN = DriverResult("r", "Offline", "performance", asked=100, issued=100, ok=100, loadgen_validity="VALID")


def test_clean_run_is_valid() -> None:
    """No reason, no INVALID; calibrations that do not exist are not held against it."""
    assert verdict(CLEAN).valid
    assert verdict(CLEAN, 1.0, 0.95, PlatformUsage(loop_lag_p99_ns=5_000_000), 100_000_000).valid


@pytest.mark.parametrize("mode", ["performance", "accuracy"])
def test_run_with_faults_on_demand_is_never_valid(mode: Any) -> None:
    """Whatever they did to it, the verdict names what was asked for and injected."""
    [reason] = verdict(
        replace(CLEAN, mode=mode), usage=PlatformUsage(faults="lose=0.01,seed=7; injected: none")
    ).reasons
    assert (reason.code, reason.transient) == ("faults", False)
    assert reason.evidence == "faults on demand: lose=0.01,seed=7; injected: none"


@pytest.mark.parametrize(
    ("changes", "code", "transient"),
    [
        ({"loadgen_validity": "INVALID"}, "loadgen_invalid", False),
        ({"loadgen_validity": None}, "loadgen_invalid", False),
        ({"loadgen_errors": ("twice",)}, "loadgen_errors", False),
        ({"timeouts": 1}, "lost", False),
        ({"errors": 1}, "errors", False),
        ({"send_errors": 1}, "send_errors", False),
        ({"duplicates": 1}, "duplicates", False),
        ({"unfinished": 1}, "unfinished", False),
        ({"issued": 99}, "query_count", False),
        ({"cold": 1}, "cold_in_window", True),
        ({"strays": 1}, "strays", True),
        ({"scenario": "SingleStream", "handover_p99_ns": 2_000_001}, "late_client", True),
        ({"scenario": "MultiStream", "send_wait_p99_ns": 2_000_001}, "late_client", True),
        ({"scenario": "Server", "latency_bound_ms": 100.0, "handover_p99_ns": 5_000_001}, "late_client", True),
        ({"scenario": "Server", "latency_bound_ms": 10.0, "send_wait_p99_ns": 2_000_001}, "late_client", True),
        ({"loadgen_validity": "INVALID", "loadgen": {"result_min_duration_met": False}}, "min_duration", False),
        ({"loadgen_validity": "INVALID", "loadgen": {"result_min_queries_met": False}}, "min_query_count", False),
        ({"loadgen_validity": "INVALID", "loadgen": {"early_stopping_met": False}}, "early_stopping", False),
        ({"aborted": "SIGINT", "loadgen_validity": None, "issued": 0}, "aborted", False),
    ],
)
def test_each_flaw_of_the_run_invalidates(changes: dict[str, Any], code: str, transient: bool) -> None:
    """One flaw, one reason, with evidence and a next step."""
    validity = verdict(replace(CLEAN, **changes))
    [reason] = validity.reasons
    assert (reason.code, reason.transient, validity.valid) == (code, transient, False)
    assert reason.evidence
    assert reason.next_step
    assert validity.transient is transient


@pytest.mark.parametrize(
    ("scenario", "bound_ms", "limit_ns"),
    [("Offline", None, None), ("SingleStream", None, 2_000_000), ("Server", 10.0, 2_000_000), ("Server", 1e3, 5e7)],
)
def test_client_may_be_as_late_as_the_scenario_allows(
    scenario: Scenario, bound_ms: float | None, limit_ns: float | None
) -> None:
    """A burst waits for its turn; in Server 5 % of the bound or 2 ms; where one query follows another, 2 ms."""
    assert late_limit_ns(replace(CLEAN, scenario=scenario, latency_bound_ms=bound_ms)) == limit_ns


@pytest.mark.parametrize(("before", "after", "code"), [(0.94, 1.0, "host_before"), (1.0, 0.94, "host_after")])
def test_slow_host_invalidates_for_now(before: float, after: float, code: str) -> None:
    """A host that delivered less than 95 % of its cores: try again."""
    validity = verdict(CLEAN, before, after)
    assert [reason.code for reason in validity.reasons] == [code]
    assert validity.transient


def test_accuracy_mode_is_not_judged_by_time() -> None:
    """A slow host, a late client or a cold start change no answer; a lost query does."""
    slow = replace(CLEAN, mode="accuracy", loadgen_validity=None, cold=1, handover_p99_ns=10**9)
    assert verdict(slow, 0.2, 0.2, PlatformUsage(loop_lag_p99_ns=10**9)).valid
    assert [reason.code for reason in verdict(replace(slow, timeouts=1)).reasons] == ["lost"]


def test_lag_is_judged_by_the_service_time() -> None:
    """5 ms, or 5 % of the median service time where that is more."""
    assert lag_limit_ns(None) == lag_limit_ns(100_000_000) == 5_000_000
    assert lag_limit_ns(400_000_000) == 20_000_000
    usage = PlatformUsage(loop_lag_p99_ns=12_000_000)
    assert [reason.code for reason in verdict(CLEAN, usage=usage, median_service_ns=1).reasons] == ["platform_lag"]
    assert verdict(CLEAN, usage=usage, median_service_ns=400_000_000).valid


def test_one_lasting_reason_makes_another_try_useless() -> None:
    """Transient means that all of the reasons are the host's."""
    assert not verdict(replace(CLEAN, cold=1, errors=1)).transient


def test_accuracy_run_needs_no_loadgen_verdict() -> None:
    """LoadGen gives none in accuracy mode."""
    assert verdict(replace(CLEAN, mode="accuracy", loadgen_validity=None)).valid


@pytest.mark.parametrize(
    ("value", "reference", "target_ratio"),
    [(0.7024640, 0.7168, 0.98), (343 / 380, 350 / 380, 0.98), (0.99 * 0.247, 0.247, 0.99), (0.9, 0.8, 0.98)],
)
def test_target_is_met_when_it_is_reached(value: float, reference: float, target_ratio: float) -> None:
    """98 % of 71.68 % is enough, as is 343 of 350 whatever rounding makes of it, and more than the reference."""
    assert accuracy_below_target("Top-1", value, reference, target_ratio) is None


@pytest.mark.parametrize(("value", "target_ratio"), [(342 / 380, 0.98), (0.0, 0.98), (346 / 380, 0.99)])
def test_missed_target_invalidates(value: float, target_ratio: float) -> None:
    """One image too few of 350 makes the run INVALID, for good: another try would answer the same."""
    reason = accuracy_below_target("Top-1", value, 350 / 380, target_ratio)
    validity = verdict(CLEAN).with_reason(reason)
    assert not validity.valid
    assert not validity.transient
    assert [each.code for each in validity.reasons] == ["accuracy_below_target"]
    assert "Top-1" in validity.reasons[0].evidence
    assert f"target {target_ratio:.0%}" in validity.reasons[0].evidence


@pytest.mark.parametrize(("value", "reference"), [(None, 0.5), (0.5, None), (0.5, 0.0), (None, None)])
def test_unknown_accuracy_is_not_valid(value: float | None, reference: float | None) -> None:
    """Where one of the two figures is missing, the target is not met; the reason is the one given."""
    reason = accuracy_below_target("AP", value, reference, 0.99, "none of the samples has an object")
    assert reason is not None
    assert (reason.code, reason.evidence) == ("accuracy_unknown", "none of the samples has an object")


def test_no_reason_changes_nothing() -> None:
    """A verdict without a further reason is the same verdict."""
    assert verdict(CLEAN).with_reason(None) == verdict(CLEAN)


def test_validity_file_reads_as_words(tmp_path: Path) -> None:
    """The verdict is spelled out, reasons keep all their fields."""
    write_validity(tmp_path / "validity.json", verdict(replace(CLEAN, errors=2), tries=3))
    document = json.loads((tmp_path / "validity.json").read_text())
    assert (document["verdict"], document["tries"]) == ("INVALID", 3)
    assert set(document["reasons"][0]) == {"code", "evidence", "next_step", "transient"}
    assert not list(tmp_path.glob("*.partial"))
