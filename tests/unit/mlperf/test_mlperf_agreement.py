"""Our formulas against real LoadGen: every figure of its summary, recomputed from its trace, to the nanosecond."""

from dataclasses import replace
from pathlib import Path

import pytest
from real_loadgen import ENDLESS_NS, Played, play

from serverless_mlperf.early_stopping import MULTI_STREAM_LEVEL, SINGLE_STREAM_LEVEL, estimate
from serverless_mlperf.mlperf.agreement import disagreement, disagreements
from serverless_mlperf.mlperf.spec import DriverResult, Scenario


def differences(played: Played, target_latency_ns: int | None = None) -> tuple[str, ...]:
    """LoadGen's summary against the records."""
    return disagreements(played.records, played.scenario, played.values, target_latency_ns)


@pytest.mark.parametrize(
    ("scenario", "queries"),
    [("SingleStream", 527), ("SingleStream", 1500), ("MultiStream", 700), ("Offline", 333)],
)
def test_percentiles_and_estimates_equal_loadgens(tmp_path: Path, scenario: Scenario, queries: int) -> None:
    """Minimum, mean, maximum, six percentiles and early-stopping estimates are LoadGen's own, exactly."""
    played = play(tmp_path / "log", scenario, queries)
    assert differences(played) == ()
    assert played.values["result_query_count"] == (1 if scenario == "Offline" else queries)


@pytest.mark.parametrize(("queries", "given"), [(63, False), (64, True)])
def test_single_stream_estimate_begins_at_64_queries(tmp_path: Path, queries: int, given: bool) -> None:
    """Both sides of the boundary, in LoadGen and in ours."""
    played = play(tmp_path / "log", "SingleStream", queries)
    assert differences(played) == ()
    assert played.values["early_stopping_met"] is given
    assert bool(played.values["early_stopping_latency_ss"]) is given


@pytest.mark.parametrize(("queries", "given"), [(661, False), (662, True)])
def test_multi_stream_estimate_begins_at_662_queries(tmp_path: Path, queries: int, given: bool) -> None:
    """Queries, not samples, are counted."""
    played = play(tmp_path / "log", "MultiStream", queries)
    assert differences(played) == ()
    assert len(played.records) == 8 * queries
    assert bool(played.values["early_stopping_latency_ms"]) is given


@pytest.mark.parametrize(
    ("queries", "target_latency_ns", "met", "over"),
    [(458, ENDLESS_NS, False, 0), (459, ENDLESS_NS, True, 0), (700, 1, False, 700)],
)
def test_server_rule_equals_loadgens(
    tmp_path: Path, queries: int, target_latency_ns: int, met: bool, over: int
) -> None:
    """459 queries pass with none over latency, 458 do not; and all over latency is seen as that."""
    played = play(tmp_path / "log", "Server", queries, target_latency_ns=target_latency_ns)
    assert differences(played, target_latency_ns) == ()
    assert (played.values["early_stopping_met"], played.values["result_overlatency_query_count"]) == (met, over)


def test_loadgen_would_discard_what_we_do(tmp_path: Path) -> None:
    """Its own words on 527 queries: 35 for the p90."""
    played = play(tmp_path / "log", "SingleStream", 527)
    latencies = [sample.latency_ns for sample in played.trace.samples.values()]
    assert "Would discard 35 highest latency queries" in played.values["early_stopping_result"]
    assert estimate(latencies, SINGLE_STREAM_LEVEL).discarded == 35
    assert estimate(latencies, MULTI_STREAM_LEVEL).value_ns is None


def test_every_difference_is_told(tmp_path: Path) -> None:
    """A latency that is off by a nanosecond is seen, and the verdict names the figure."""
    played = play(tmp_path / "log", "SingleStream", 64)
    records = sorted(played.records, key=lambda record: record.loadgen_latency_ns or 0)
    records[-1] = replace(records[-1], loadgen_latency_ns=(records[-1].loadgen_latency_ns or 0) + 1)
    driver = DriverResult("r", "SingleStream", "performance", 64, loadgen=played.values)
    reason = disagreement(records, driver)
    assert reason is not None
    assert "result_max_latency_ns: LoadGen" in reason.evidence
    assert disagreement(played.records, driver) is None


def test_records_without_loadgens_times_cannot_agree(tmp_path: Path) -> None:
    """A comparison that did not take place is said to be none."""
    played = play(tmp_path / "log", "SingleStream", 64)
    records = [replace(record, loadgen_latency_ns=None) for record in played.records]
    assert disagreements(records, "SingleStream", played.values) == (
        "64 of 64 records are without LoadGen's latency: its summary cannot be checked",
    )


def test_accuracy_mode_has_nothing_to_compare(tmp_path: Path) -> None:
    """LoadGen gives no figures there."""
    assert differences(play(tmp_path / "log", "SingleStream", 10, "AccuracyOnly")) == ()
