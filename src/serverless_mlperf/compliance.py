"""MLPerf's compliance tests of a run, from its folder and those of the runs it is compared with."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from serverless_mlperf.errors import RunError
from serverless_mlperf.mlperf.compliance import (
    HOST_DRIFTS,
    SCORE_DIFFERS,
    compare_answers,
    reasons_of_test01,
    reasons_of_test04,
)
from serverless_mlperf.mlperf.logs import read_answers
from serverless_mlperf.mlperf.spec import DriverResult, Mode, load_result
from serverless_mlperf.mlperf.verdict import Reason
from serverless_mlperf.outcome import RunOutcome
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.tries import Try

COMPARABLE: Final = (
    *("min_duration", "min_query_count", "early_stopping", "latency_bound", "test01_", "test04_"),
    "accuracy_below_target",
)
"""Codes of reasons under which a run's score is still one: what else made a run INVALID may be in its score."""


def compared(outcome: RunOutcome, tries: Sequence[Try]) -> RunOutcome:
    """The outcome with the verdict of its compliance test; as it is for a run that is none.

    `tries` are the whole tries of this step and those before, in order; the outcome's own may be among them. A run that
    the host disturbed is held against no score, and no score against it. Raises RunError when a reference or a log is
    missing.
    """
    judged = tuple(reason for reason in outcome.validity.reasons if not reason.code.startswith(("test01_", "test04_")))
    validity = replace(outcome.validity, valid=not judged, reasons=judged)
    disturbed = validity.transient
    for reason in _reasons(outcome, tries):
        if not (disturbed and reason.code in SCORE_DIFFERS):
            validity = validity.with_reason(reason)
    return replace(outcome, validity=validity)


def score_differs(result: CellResult) -> bool:
    """Whether a compliance test failed by its score, of which one more reference will tell whose doing it was."""
    return _failed_by(result, SCORE_DIFFERS)


def decide(judge: Callable[[], CellResult], measure: Callable[[], CellResult], retries: int) -> CellResult:
    """What a compliance test whose score differs comes to.

    `judge` measures the reference once more, `measure` the test, both judge by all runs so far. They take turns, so
    many times at most, until the scores agree: a test that differs by more than its host does so to the end.
    """
    result = judge()
    for _ in range(retries):
        for act in (measure, judge):
            if not _failed_by(result, (*SCORE_DIFFERS, *HOST_DRIFTS)):
                return result
            result = act()
    return result


def _failed_by(result: CellResult, codes: tuple[str, ...]) -> bool:
    """Whether one of these is among the reasons, each of which begins with its code."""
    return any(reason.startswith(tuple(f"{code}:" for code in codes)) for reason in result.reasons)


def _reasons(outcome: RunOutcome, tries: Sequence[Try]) -> Iterator[Reason]:
    mode = outcome.driver.mode
    if mode not in ("test01", "test04") or outcome.driver.budget is not None:
        return  # one that its budget has stopped has neither a score nor a log
    performance = _drivers(tries, "performance")
    tested = [*_drivers([each for each in tries if each.folder != outcome.folder], mode), outcome.driver]
    if not performance:
        raise RunError("a compliance test needs a run in performance mode before it; measure the cell again")
    if mode == "test04":
        yield from reasons_of_test04(performance, tested)
        return
    accuracy = [each.folder for each in tries if _driver(each).mode == "accuracy"]
    if not accuracy:
        raise RunError("TEST01 needs a run in accuracy mode before it; measure the cell again")
    expected = dict(reversed(read_answers(accuracy[-1] / "loadgen")))
    answers = compare_answers(expected, read_answers(outcome.folder / "loadgen"))
    yield from reasons_of_test01(performance, tested, answers)


def _drivers(tries: Sequence[Try], mode: Mode) -> list[DriverResult]:
    """The runs of a mode whose scores can be compared; of those that all were disturbed, the last."""
    mine = [(each, driver) for each in tries if (driver := _driver(each)).mode == mode]
    clean = [driver for each, driver in mine if _comparable(each)]
    return clean or [driver for _, driver in mine[-1:] if mode == "performance"]


def _comparable(each: Try) -> bool:
    return each.result is not None and all(reason.startswith(COMPARABLE) for reason in each.result.reasons)


def _driver(each: Try) -> DriverResult:
    return load_result((each.folder / "driver.json").read_bytes())
