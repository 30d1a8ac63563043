"""Figures of a run that its summary alone computes."""

from serverless_mlperf.records import Record
from serverless_mlperf.summary import flight_percentiles


def record(number: int, sent_ms: int, done_ms: int, **changes: object) -> Record:
    """Handed over at 0, sent and completed later."""
    values: dict[str, object] = {
        "key": f"r-{number}", "sample_index": 0, "verdict": "ok", "latency_ns": done_ms * 10**6, "issued_ns": 0,
        "begun_ns": sent_ms * 10**6, "cold": False, "phases_ns": {},
    }  # fmt: skip
    return Record(**{**values, **changes})  # type: ignore[arg-type]


def test_time_in_flight_begins_with_the_sending() -> None:
    """The wait for a free place in the client is not in it, nor is a cold query."""
    records = [*(record(n, 100 * n, 100 * n + 20) for n in range(10)), record(10, 0, 900, cold=True)]
    assert [flight_percentiles(records)[0].value_ms, flight_percentiles(records)[0].count] == [20, 10]


def test_lost_query_is_later_than_all() -> None:
    """With half of the queries lost the 90th percentile is beyond the deadline, not that of the answered half."""
    lost = [record(n, 0, 50, verdict="timeout", phases_ns=None, cold=None) for n in range(10, 20)]
    found = flight_percentiles([*(record(n, 0, 20) for n in range(10)), *lost])
    assert (found[1].p, found[1].value_ms, found[1].count) == (0.9, None, 20)
