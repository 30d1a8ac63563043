"""Verdicts of the compliance tests, on runs made up for them."""

from typing import Any

import pytest

from serverless_mlperf.mlperf.compliance import (
    Comparison,
    compare_answers,
    reasons_of_test01,
    reasons_of_test04,
    score,
    tolerance,
)
from serverless_mlperf.mlperf.spec import DriverResult, Scenario

SAME = Comparison(matching=64, differing=0, unknown=0)


def run(value: float, scenario: Scenario = "Offline", key: str = "result_samples_per_second") -> DriverResult:
    """A run with one figure of LoadGen's."""
    return DriverResult("r", scenario, "performance", asked=1, loadgen={key: value})


@pytest.mark.parametrize(
    ("scenario", "key", "value", "expected"),
    [
        ("Offline", "result_samples_per_second", 50.0, 50.0),
        ("Server", "result_completed_samples_per_sec", 20.0, 20.0),
        ("SingleStream", "early_stopping_latency_ss", 20e6, 50.0),
        ("MultiStream", "early_stopping_latency_ms", 40e6, 25.0),
        ("SingleStream", "result_90.00_percentile_latency_ns", 20e6, 50.0),
        ("MultiStream", "result_99.00_percentile_per_query_latency_ns", 40e6, 25.0),
    ],
)
def test_score_is_that_of_the_scenario(scenario: Scenario, key: str, value: float, expected: float) -> None:
    """Greater is better: rates as they are, latencies turned into rates."""
    made = score(run(value, scenario, key))
    assert made is not None
    assert made.value == pytest.approx(expected)


def test_early_stopping_of_a_short_run_is_no_score() -> None:
    """LoadGen writes 0 where it could not estimate: the percentile is taken instead, and named."""
    values = {"early_stopping_latency_ss": 0, "result_90.00_percentile_latency_ns": 10e6}
    made = score(DriverResult("r", "SingleStream", "performance", asked=1, loadgen=values))
    assert made is not None
    assert (made.value, made.meaning) == (100.0, "result_90.00_percentile_latency_ns")


def test_largest_latency_is_no_score() -> None:
    """With 70 queries LoadGen's estimate discards none: one slow query would decide."""
    values = {"early_stopping_latency_ss": 30e6, "result_90.00_percentile_latency_ns": 10e6}
    most = {"result_max_latency_ns": 30e6}
    names = [
        made.meaning
        for found in (values, {**values, **most})
        if (made := score(DriverResult("r", "SingleStream", "performance", asked=1, loadgen=found)))
    ]
    assert names == ["early_stopping_latency_ss", "result_90.00_percentile_latency_ns"]


def test_failed_test_is_not_measured_again_until_it_passes() -> None:
    """Neither a score nor an answer that differs is known to be the host's doing."""
    [slower], [faster], [differing] = (
        reasons_of_test01([run(100.0)], [run(80.0)], SAME),
        reasons_of_test04([run(100.0)], [run(120.0)]),
        reasons_of_test01([run(1.0)], [run(1.0)], Comparison(63, 1, 0)),
    )
    assert [reason.transient for reason in (slower, faster, differing)] == [False] * 3


@pytest.mark.parametrize(
    ("after", "failed01", "failed04"), [(100.0, 0, 0), (109.9, 0, 0), (110.1, 1, 1), (90.1, 0, 0), (89.9, 1, 0)]
)
def test_scores_may_differ_by_a_tenth(after: float, failed01: int, failed04: int) -> None:
    """TEST01 both ways, TEST04 only towards faster."""
    assert len(list(reasons_of_test01([run(100.0)], [run(after)], SAME))) == failed01
    assert len(list(reasons_of_test04([run(100.0)], [run(after)]))) == failed04


@pytest.mark.parametrize(
    ("before", "tested", "after", "codes"),
    [
        (100.0, 88.0, 92.0, []),
        (100.0, 85.0, 99.0, ["test01_performance"]),
        (100.0, 85.0, 91.0, ["test01_performance"]),
        (100.0, 85.0, 89.0, ["test01_host_drift"]),
        (100.0, 112.0, 111.0, []),
        (100.0, 125.0, 111.0, ["test01_host_drift"]),
    ],
    ids=["drift", "slower", "slower than the drift", "unknown", "faster host", "unknown of a faster host"],
)
def test_second_reference_tells_the_host_from_the_test(
    before: float, tested: float, after: float, codes: list[str]
) -> None:
    """The mean of references up to a tenth apart is what counts; further apart they decide nothing but that."""
    reasons = list(reasons_of_test01([run(before), run(after)], [run(tested)], SAME))
    assert [reason.code for reason in reasons] == codes
    assert all(reason.transient == ("drift" in reason.code) for reason in reasons)


def test_scores_are_means_over_the_runs_of_both_sides() -> None:
    """One slow test among three weighs a third."""
    references, slow = [run(100.0), run(98.0), run(102.0)], run(85.0)
    assert list(reasons_of_test01(references, [slow, run(97.0), run(96.0)], SAME)) == []
    [reason] = reasons_of_test01(references, [slow, run(86.0), run(87.0)], SAME)
    assert "86 against 100 in performance mode, -14.0%" in reason.evidence
    assert "3 runs against 3, which are 4.1% apart" in reason.evidence


@pytest.mark.parametrize(("latency_ns", "allowed"), [(200_000, 0.2), (200_001, 0.1)])
def test_very_short_latencies_may_differ_more(latency_ns: float, allowed: float) -> None:
    """Up to 200 us in SingleStream a fifth is allowed."""
    assert tolerance(run(latency_ns, "SingleStream", "early_stopping_latency_ss")) == allowed


@pytest.mark.parametrize(
    "answers", [Comparison(63, 1, 0), Comparison(63, 0, 1), Comparison(0, 0, 0)], ids=["differs", "unknown", "none"]
)
def test_answers_must_be_those_of_accuracy_mode(answers: Comparison) -> None:
    """One that differs, one of a sample that accuracy mode did not have, or none at all fails TEST01."""
    [reason] = reasons_of_test01([run(1.0)], [run(1.0)], answers)
    assert reason.code == "test01_answers"


def test_missing_score_fails() -> None:
    """No figure to compare is no success."""
    empty: dict[str, Any] = {"loadgen": {}}
    nothing = DriverResult("r", "Offline", "performance", asked=1, **empty)
    assert [reason.code for reason in reasons_of_test04([nothing], [run(1.0)])] == ["test04_no_score"]


def test_answers_are_compared_as_a_whole() -> None:
    """By sample index; one index may have been asked for several times."""
    reference = {0: b"aa", 1: b"bb"}
    assert compare_answers(reference, [(0, b"aa"), (0, b"aa"), (1, b"bc"), (2, b"aa")]) == Comparison(2, 1, 1)
