"""Statistics of a run's records."""

from hypothesis import given
from hypothesis import strategies as st
import pytest

from serverless_mlperf.records import Record
from serverless_mlperf.stats import distribution, seed_span_s, summarise

MS = 1_000_000


def _record(number: int, forward_ms: int = 20, cold: bool | None = False, **changes: object) -> Record:
    values: dict[str, object] = {
        "key": f"r-{number:08d}",
        "sample_index": number,
        "verdict": "ok",
        "latency_ns": (number + 1) * 100 * MS,
        "issued_ns": 0,
        "cold": cold,
        "environment_id": "e",
        "start_ns": 1000 * MS + number * 100 * MS,
        "finish_ns": 1050 * MS + number * 100 * MS,
        "phases_ns": {"fetch": 3 * MS, "forward": forward_ms * MS},
        "cpu_ns": {"fetch": MS, "forward": forward_ms * MS},
        "init_phases_ns": {"imports": 300 * MS, "load_model": 200 * MS} if cold else None,
    }
    return Record(**{**values, **changes})  # type: ignore[arg-type]


@given(st.lists(st.integers(1, 10**10), min_size=1, max_size=60))
def test_distribution_is_in_order(values: list[int]) -> None:
    """Minimum, p50, p90 and maximum never cross, and intervals hold their value."""
    made = distribution(values)
    assert made is not None
    p50_ms, p90_ms = made.p50.value_ms, made.p90.value_ms
    assert p50_ms is not None
    assert p90_ms is not None
    assert made.min_ms <= p50_ms <= p90_ms <= made.max_ms
    for each, value_ms in ((made.p50, p50_ms), (made.p90, p90_ms)):
        assert each.low_ms is None or each.low_ms <= value_ms
        assert each.high_ms is None or each.high_ms >= value_ms


def test_seeds_percentiles_are_given_of_any_sample() -> None:
    """The seed's p90 of three values is the largest; among the six levels it is not given."""
    made = distribution([1 * MS, 2 * MS, 3 * MS])
    assert made is not None
    assert (made.p90.value_ms, made.percentiles[1].value_ms, made.percentiles[0].value_ms) == (3, None, 2)


def test_nothing_is_none_with_a_reason() -> None:
    """No data is never 0."""
    made = summarise([])
    assert (made.latency, made.qps, made.loadgen_qps, made.cpu_ms, made.init_ms) == (None,) * 5
    assert set(made.missing) >= {"latency", "completion", "qps", "loadgen_qps", "cpu_ms", "init_ms", "latencies"}
    assert made.missing["completion"] == "no query was measured"


def test_cold_and_warm_are_kept_apart() -> None:
    """A cold query is in no warm percentile, and warm-up only tells of cold starts."""
    made = summarise([_record(0, 900, cold=True), _record(1, 20), _record(2, 22)], warmup=[_record(9, 800, cold=True)])
    assert made.latency is not None
    assert made.cold_latency is not None
    assert (made.cold, made.warm, made.latency.count, made.latency.max_ms) == (1, 2, 2, 22)
    assert made.cold_latency.count == 2
    assert (made.init_ms, made.init_phases_ms) == (500, {"imports": 300, "load_model": 200})


def test_both_definitions_of_qps() -> None:
    """The seed divides by the function's span, LoadGen by the longest completion time."""
    records = [_record(n) for n in range(10)]
    made = summarise(records)
    assert made.span_s == pytest.approx(0.95)
    assert made.qps == pytest.approx(10 / 0.95)
    assert made.loadgen_qps == pytest.approx(10 / 1.0)
    assert (made.cpu_ms, made.forward_cpu_ms, made.phases_ms) == (21, 20, {"fetch": 3, "forward": 20})


def test_failed_queries_are_counted_not_averaged() -> None:
    """A lost query has a verdict and no latency."""
    lost = _record(1, verdict="timeout", phases_ns=None, cold=None, start_ns=None, finish_ns=None, cpu_ns=None)
    made = summarise([_record(0), lost])
    assert made.verdicts == {"ok": 1, "timeout": 1}
    assert made.completion is not None
    assert made.completion.count == 1


def test_span_needs_stamps() -> None:
    """Without stamps there is no span, and without a span no QPS."""
    record = _record(0, start_ns=None, finish_ns=None)
    assert seed_span_s([record]) is None
    assert summarise([record]).missing["qps"] == "start and finish stamps are missing"
