"""Predictions of `forward` under a CPU quota."""

from statistics import median

import pytest

from serverless_mlperf.quota import (
    Demand,
    Segment,
    demands_from_records,
    forward_walls_ms,
    predict_forward_ms,
    predict_share_ms,
)
from serverless_mlperf.records import Record

SHARE_770 = 770 / 1769


def _record(number: int, forward_ms: float, fetch_wall_ms: float = 5, **changes: object) -> Record:
    start_ns = number * 100_000_000
    values: dict[str, object] = {
        "key": f"r-{number:08d}",
        "sample_index": 0,
        "verdict": "ok",
        "latency_ns": 1,
        "issued_ns": 0,
        "cold": False,
        "environment_id": "e",
        "start_ns": start_ns,
        "finish_ns": start_ns + 90_000_000,
        "phases_ns": {"fetch": int(fetch_wall_ms * 1e6), "forward": 50_000_000, "deliver": 4_000_000},
        "cpu_ns": {"fetch": 1_000_000, "forward": int(forward_ms * 1e6), "deliver": 500_000},
    }
    return Record(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [768 / 1769, 0.9])
def test_back_to_back_cpu_bound_load_takes_cpu_over_share(share: float) -> None:
    """Without idle time the quota averages out: CPU time / share, within 1 %."""
    predicted = predict_forward_ms([Demand(100.0)], share, parallelism=1)
    assert predicted == pytest.approx(100 / share, rel=0.01)


def test_two_threads_share_one_budget() -> None:
    """Twice the rate spends the same budget twice as fast: nothing is gained below the share."""
    predicted = predict_forward_ms([Demand(100.0)], 768 / 1769, parallelism=2)
    assert predicted == pytest.approx(100 / (768 / 1769), rel=0.01)


@pytest.mark.parametrize(("share", "parallelism"), [(1.7, 1.0), (2.0, 2.0)])
def test_share_of_all_that_is_asked_never_throttles(share: float, parallelism: float) -> None:
    """A share well above the parallelism, or of all cores, gives CPU time / parallelism exactly."""
    assert predict_forward_ms([Demand(37.0)], share, parallelism) == pytest.approx(37 / parallelism)


@pytest.mark.parametrize(("memory_mib", "least_ms", "most_ms"), [(514, 16, 36), (770, 0, 12), (1274, 0, 8)])
def test_isolated_job_follows_the_staircase(memory_mib: int, least_ms: int, most_ms: int) -> None:
    """A job is held from a tick to the end of a period: whole ticks of 4 ms in all."""
    walls = forward_walls_ms(Demand(17.4), memory_mib / 1769, 1, count=1000)
    assert {round(wall - 17.4, 1) for wall in walls} <= set(range(least_ms, most_ms + 1, 4))


def test_one_vcpu_is_hardly_held() -> None:
    """One thread at 1,769 MB is held for a tick at most, where an invocation begins late in a period."""
    walls = forward_walls_ms(Demand(60.0), 1.0, 1, count=500)
    assert {round(wall - 60, 1) for wall in walls} == {0, 4}


def test_isolated_job_beats_the_share_alone() -> None:
    """17.4 CPU-ms at 770 MB: 40 ms by the share alone, one short pause at most under a quota charged by ticks."""
    walls = forward_walls_ms(Demand(17.4), SHARE_770, 1, count=2000)
    assert predict_share_ms(17.4, SHARE_770, 1) == pytest.approx(39.97, abs=0.01)
    assert 17.4 <= min(walls) <= median(walls) <= max(walls) < 33


def test_cpu_outside_forward_spends_its_budget() -> None:
    """Decoding before `forward` leaves less budget for it; waiting refills it."""
    alone = predict_forward_ms([Demand(8.0, gap_ms=45.0)], SHARE_770, 1)
    after_decode = predict_forward_ms([Demand(8.0, before=(Segment(8.0),), gap_ms=45.0)], SHARE_770, 1)
    after_wait = predict_forward_ms([Demand(8.0, before=(Segment(8.0, 400.0),), gap_ms=45.0)], SHARE_770, 1)
    assert alone < after_wait < after_decode


def test_prediction_is_reproducible() -> None:
    """The same seed gives the same prediction."""
    queries = [Demand(float(n), gap_ms=3.0) for n in range(5, 25)]
    assert predict_forward_ms(queries, 0.434, 1, seed=3) == predict_forward_ms(queries, 0.434, 1, seed=3)


def test_demands_take_the_least_wait_of_all_queries() -> None:
    """Throttling inside a phase does not count as waiting for the object store."""
    demands = demands_from_records([_record(0, 30, 9), _record(1, 31, 4), _record(2, 32, 60)])
    assert [demand.forward_cpu_ms for demand in demands] == [30, 31, 32]
    fetch = demands[0].before[1]
    assert (fetch.cpu_ms, fetch.idle_ms) == (1.0, 3.0)
    assert demands[0].gap_ms == pytest.approx(6.0)


def test_environment_that_waits_for_a_query_idles() -> None:
    """What passes until the next query is sent is added to the least gap; the last query has no next one."""
    ended_ns = 94_000_000
    burst = [_record(0, 10), _record(1, 10)]
    paced = [_record(0, 10), _record(1, 10, issued_ns=ended_ns + 5_000_000)]
    assert [demand.gap_ms for demand in demands_from_records(burst)] == pytest.approx([6.0, 6.0])
    assert [demand.gap_ms for demand in demands_from_records(paced)] == pytest.approx([11.0, 6.0])


def test_demands_leave_out_what_is_cold_or_failed() -> None:
    """Only warm queries with the CPU time of `forward` tell of the warm demand."""
    records = [_record(0, 30, cold=True), _record(1, 31, verdict="timeout"), _record(2, 32, cpu_ns=None)]
    assert demands_from_records(records) == []


def test_no_demand_is_an_error() -> None:
    """Nothing is predicted from nothing."""
    with pytest.raises(ValueError, match="no demand"):
        predict_forward_ms([], 1.0, 1)
