"""Cold starts: the split of one, and the summary of several."""

from dataclasses import replace

import pytest

from serverless_mlperf.calibration import Calibration
from serverless_mlperf.coldstart import PHASES, cold_phases_ns, cold_starts
from serverless_mlperf.records import Record
from serverless_mlperf.report.coldstarts import cold_lines

MS = 1_000_000
COLD = Record(
    key="r-0",
    sample_index=0,
    verdict="ok",
    latency_ns=500 * MS,
    issued_ns=1_000 * MS,
    cold=True,
    start_ns=1_400 * MS,
    finish_ns=1_450 * MS,
    phases_ns={"forward": 20 * MS},
    init_begun_ns=1_080 * MS,
    spawn_asked_ns=1_030 * MS,
    spawned_ns=1_035 * MS,
    init_phases_ns={"imports": 150 * MS, "fetch_model": 20 * MS, "load_model": 30 * MS, "compile": 60 * MS},
)


def test_parts_add_up_to_the_latency() -> None:
    """What no stamp tells is in `rest`, so that nothing is missing and nothing is counted twice."""
    spans = cold_phases_ns(COLD)
    assert sum(spans.values()) == COLD.latency_ns
    assert {name: ns // MS for name, ns in spans.items()} == {
        "request": 30,
        "process_start": 5,
        "runtime": 45,
        "imports": 150,
        "fetch_model": 20,
        "load_model": 30,
        "compile": 60,
        "query": 50,
        "rest": 110,
    }
    assert list(spans) == [name for name in PHASES if name in spans]


def test_without_the_platforms_stamps_runtime_is_what_it_calls_init_less_the_functions_part() -> None:
    """On a platform that does not tell when a process began, process start and runtime are one figure."""
    record = replace(COLD, spawn_asked_ns=None, spawned_ns=None, init_ms=330.0)
    spans = cold_phases_ns(record)
    assert "process_start" not in spans
    assert spans["runtime"] == 70 * MS
    assert sum(spans.values()) == COLD.latency_ns


QUIET, BUSY = Calibration(2.0, 2), Calibration(1.0, 2)


def test_summary_has_medians_and_an_interval_from_ten_on() -> None:
    """Ten cold starts give a finite 95 % interval of the median."""
    records = [replace(COLD, key=f"r-{n}", latency_ns=(500 + n) * MS) for n in range(10)]
    found = cold_starts(records, QUIET, QUIET)
    assert (found.count, found.spawns_known, found.valid) == (10, 10, True)
    assert found.client.low_ms is not None
    assert found.client.low_ms < (found.client.value_ms or 0)
    assert found.phases_ms["imports"] == 150


@pytest.mark.parametrize("other", [replace(COLD, cold=False), replace(COLD, verdict="error")])
def test_warm_and_failed_queries_are_no_cold_starts(other: Record) -> None:
    """They are refused rather than averaged in."""
    with pytest.raises(ValueError, match="no cold starts"):
        cold_starts([COLD, other], QUIET, QUIET)


def test_stamps_that_overlap_are_seen_in_the_rest() -> None:
    """Parts that are longer than the whole leave a negative rest, instead of a sum that is wrong unseen."""
    spans = cold_phases_ns(replace(COLD, latency_ns=300 * MS))
    assert sum(spans.values()) == 300 * MS
    assert spans["rest"] == -90 * MS


@pytest.mark.parametrize(("before", "after"), [(BUSY, QUIET), (QUIET, BUSY)])
def test_cold_starts_of_a_busy_host_are_invalid(before: Calibration, after: Calibration) -> None:
    """As runs are, and the printed line says so."""
    found = cold_starts([COLD] * 10, before, after)
    assert not found.valid
    assert "INVALID" in cold_lines("cell", found)[-1]
