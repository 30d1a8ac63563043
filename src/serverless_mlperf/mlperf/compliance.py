"""Verdicts of MLPerf's compliance tests, from the runs beside the one that is tested.

TEST01 (compliance/TEST01): answers logged in a performance run are those of the accuracy run, and the logging has not
changed the score by more than a tenth. TEST04: a run that asks for one sample over and over is not more than a tenth
faster, or something caches inputs or answers. Scores and thresholds are those of the official verify_performance.py;
answers are compared as a whole, where verify_accuracy.py looks at the first number alone.

A score that differs is either the test's doing or the time's: a host changes by more than a tenth within minutes. So
the performance run is then measured once more, after the test, and if need be the test and it again, in turn. What is
compared are the means of all these runs on both sides: a drift that goes one way cancels, and nothing is left out that
did not pass. Where the performance runs themselves are further apart than the test may be, that is the verdict.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from serverless_mlperf.mlperf.spec import DriverResult, Scenario
from serverless_mlperf.mlperf.verdict import Reason

TOLERANCE: Final = 0.10
WIDE_TOLERANCE: Final = 0.20
"""For latencies so short that the operating system's noise is a part of them."""
SHORT_NS: Final = {"SingleStream": 200_000, "MultiStream": 1_600_000}
SCORES: Final[Mapping[Scenario, tuple[str, ...]]] = {
    "SingleStream": ("early_stopping_latency_ss", "result_90.00_percentile_latency_ns"),
    "MultiStream": ("early_stopping_latency_ms", "result_99.00_percentile_per_query_latency_ns"),
    "Server": ("result_completed_samples_per_sec",),
    "Offline": ("result_samples_per_second",),
}
"""Keys of LoadGen's log, the one that counts first."""
SCORE_DIFFERS: Final = ("test01_performance", "test04_performance")
"""Reasons that more runs, in turn, confirm, take back or turn into the next ones."""
HOST_DRIFTS: Final = ("test01_host_drift", "test04_host_drift")


@dataclass(frozen=True, slots=True)
class Score:
    """What a scenario is judged by; greater is better."""

    value: float
    meaning: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """TEST01's answers against those of the accuracy run, by sample index."""

    matching: int
    differing: int
    unknown: int
    """Answers to samples that the accuracy run does not have."""


def score(driver: DriverResult) -> Score | None:
    """The score of a run; None when LoadGen computed none.

    A run too short for LoadGen's early-stopping estimate (quick) is judged by the percentile itself: also where the
    estimate is the largest latency, which says nothing of a percentile.
    """
    values, longest_ns = driver.loadgen, driver.loadgen.get("result_max_latency_ns")
    known = [(name, float(values[name])) for name in SCORES[driver.scenario] if values.get(name)]
    found = next((each for each in known if each[1] != longest_ns or not each[0].startswith("early_stopping")), None)
    if found is None:
        return None
    name, value = found
    return Score(1e9 / value if driver.scenario.endswith("Stream") else value, name)


def tolerance(driver: DriverResult) -> float:
    """How far two scores may be apart."""
    judged = score(driver)
    limit_ns = SHORT_NS.get(driver.scenario)
    short = limit_ns is not None and judged is not None and 1e9 / judged.value <= limit_ns
    return WIDE_TOLERANCE if short else TOLERANCE


def compare_answers(reference: Mapping[int, bytes], tested: Sequence[tuple[int, bytes]]) -> Comparison:
    """Hold logged answers (sample index, response) against those of the accuracy run."""
    known = [(reference[index], data) for index, data in tested if index in reference]
    matching = sum(expected == data for expected, data in known)
    return Comparison(matching, len(known) - matching, len(tested) - len(known))


def reasons_of_test01(
    performance: Sequence[DriverResult], tested: Sequence[DriverResult], answers: Comparison
) -> Iterator[Reason]:
    """Why TEST01 failed; nothing when it passed. Scores are means over runs, `answers` those of the last test."""
    if answers.differing or answers.unknown or not answers.matching:
        evidence = (
            f"TEST01: {answers.differing} of {answers.matching + answers.differing} answers differ from accuracy mode, "
            f"{answers.unknown} are of unknown samples"
        )
        yield Reason(
            "test01_answers", evidence, "look for state that outlives a query in the function", transient=False
        )
    yield from _performance_reasons("test01", performance, tested, both_ways=True)


def reasons_of_test04(performance: Sequence[DriverResult], tested: Sequence[DriverResult]) -> Iterator[Reason]:
    """Why TEST04 failed; nothing when it passed. Scores are means over runs."""
    yield from _performance_reasons("test04", performance, tested, both_ways=False)


def _performance_reasons(
    test: str, performance: Sequence[DriverResult], tested: Sequence[DriverResult], *, both_ways: bool
) -> Iterator[Reason]:
    known = [found for found in map(score, performance) if found is not None]
    after = [found.value for found in map(score, tested) if found is not None]
    name, limit = test.upper(), tolerance(performance[0])
    if len(after) < len(tested) or len(known) < len(performance):
        yield Reason(f"{test}_no_score", f"{name}: LoadGen gave no score to compare", "measure again", transient=False)
        return
    values = [found.value for found in known]
    expected, drift = fmean(values), max(values) / min(values) - 1
    change = fmean(after) / expected - 1
    if not (change > limit or (both_ways and change < -limit)):
        return
    if drift > limit:
        yield _drift_reason(test, values, limit)
        return
    apart = "" if len(values) == 1 else f" ({len(after)} runs against {len(values)}, which are {drift:.1%} apart)"
    evidence = (
        f"{name}: score {fmean(after):.4g} against {expected:.4g} in performance mode, {change:+.1%}, "
        f"allowed {'+-' if both_ways else '+'}{limit:.0%}{apart} ({known[0].meaning})"
    )
    what = "caches of inputs or answers" if test == "test04" else "what logging the answers costs"
    yield Reason(f"{test}_performance", evidence, f"look for {what}; measure again (--resume)", transient=False)


def _drift_reason(test: str, values: Sequence[float], limit: float) -> Reason:
    """The same run, before and after the test, differs by more than the test may."""
    evidence = (
        f"{test.upper()}: the performance run itself scored from {min(values):.4g} to {max(values):.4g} in turn with "
        f"it, further apart than the {limit:.0%} that a test may differ by"
    )
    return Reason(f"{test}_host_drift", evidence, "free the host of other load and measure again", transient=True)
