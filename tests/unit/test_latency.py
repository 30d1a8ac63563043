"""Latency of LoadGen's queries."""

import pytest

from serverless_mlperf.latency import latencies, observations
from serverless_mlperf.records import Record

MS = 1_000_000


def record(number: int, latency_ms: int, query: int | None = None, **changes: object) -> Record:
    """One warm sample, by LoadGen's clock a millisecond later than by ours."""
    values: dict[str, object] = {
        "key": f"r-{number:08d}",
        "sample_index": number,
        "verdict": "ok",
        "latency_ns": (latency_ms - 1) * MS,
        "issued_ns": 0,
        "cold": False,
        "phases_ns": {},
        "loadgen_latency_ns": latency_ms * MS,
        "schedule_delay_ns": 0,
        "query_seq": number if query is None else query,
    }
    return Record(**{**values, **changes})  # type: ignore[arg-type]


def lost(number: int, query: int | None = None) -> Record:
    """A query that ended at its deadline."""
    return record(number, 1500, query, verdict="timeout", phases_ns=None, cold=None)


def test_latency_is_loadgens() -> None:
    """From the scheduled time on; without its trace from the hand-over on, and that is said."""
    found = latencies([record(n, n) for n in range(1, 11)], "SingleStream")
    assert found is not None
    assert (found.begins, found.warm[0].value_ms) == ("scheduled", 5)
    bare = latencies([record(n, n, loadgen_latency_ns=None) for n in range(1, 11)], "SingleStream")
    assert bare is not None
    assert (bare.begins, bare.warm[0].value_ms, bare.estimate) == ("handed over", 4, None)


def test_lost_queries_are_beyond_the_deadline() -> None:
    """They are neither dropped nor taken for 1500 ms in ours; LoadGen's own figures take them for that."""
    found = latencies([*(record(n, 10) for n in range(98)), lost(98), lost(99)], "Server", 1500.0, 1000 * MS)
    assert found is not None
    p99 = found.warm[4]
    assert (found.censored, p99.value_ms, p99.beyond, found.deadline_ms) == (2, None, ("value",), 1500.0)
    assert found.loadgen_ns["p99"] == 1500 * MS
    assert found.criterion is not None
    assert (found.criterion.over, found.criterion.met) == (2, False)


def test_cold_queries_are_in_no_warm_percentile() -> None:
    """They have percentiles of their own, and are in LoadGen's."""
    records = [*(record(n, 10) for n in range(20)), *(record(n, 900, cold=True) for n in range(20, 24))]
    found = latencies(records, "Server")
    assert found is not None
    assert (found.cold_count, found.cold[0].value_ms, found.cold[0].count) == (4, 900, 4)
    assert (found.warm[1].value_ms, found.warm[0].count) == (10, 20)
    assert found.loadgen_ns["p90"] == 900 * MS
    assert found.criterion is None


def test_multi_stream_counts_queries() -> None:
    """A query is done with its last sample, and is lost or cold if one of its samples is."""
    samples = [record(q * 8 + s, 10 + s, q) for q in range(3) for s in range(8)]
    samples[9] = lost(9, 1)
    samples[16] = record(16, 10, 2, cold=True)
    seen = observations(samples, "MultiStream")
    assert [(each.latency_ns // MS, each.good, each.cold) for each in seen] == [
        (17, True, False),
        (1500, False, False),
        (17, True, True),
    ]
    found = latencies(samples, "MultiStream")
    assert found is not None
    assert (found.samples_per_query, found.censored, found.cold_count) == (8, 1, 1)
    assert found.estimate is not None
    assert (found.estimate.queries, found.estimate.needs) == (3, 662)


def test_burst_has_no_intervals() -> None:
    """Offline is one query of all samples: each has its completion time, no interval and no early stopping."""
    found = latencies([record(n, n, 0) for n in range(1, 101)], "Offline")
    assert found is not None
    assert (found.warm[0].value_ms, found.warm[0].low_ms, found.warm[0].high_ms) == (50, None, None)
    assert (found.samples_per_query, found.estimate, found.criterion) == (1, None, None)


@pytest.mark.parametrize(("scenario", "p"), [("SingleStream", 0.9), ("MultiStream", 0.99)])
def test_estimate_is_of_the_scenarios_percentile(scenario: str, p: float) -> None:
    """p90 for SingleStream, p99 for MultiStream."""
    found = latencies([record(n, n) for n in range(1, 701)], scenario)  # type: ignore[arg-type]
    assert found is not None
    assert found.estimate is not None
    assert (found.estimate.p, found.estimate.queries) == (p, 700)


def test_nothing_is_none() -> None:
    """No record, no latency."""
    assert latencies([], "Server") is None
