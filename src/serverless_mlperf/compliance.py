"""MLPerf's compliance tests of a run, from its folder and those of the runs it is compared with."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

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


def compared(outcome: RunOutcome, references: Sequence[Try]) -> RunOutcome:
    """The outcome with the verdict of its compliance test; as it is for a run that is none.

    `references` are the whole tries of the steps before, in order; those after the run count as well. A run that the
    host disturbed is not held against another's score. Raises RunError when a reference or a log is missing.
    """
    judged = tuple(reason for reason in outcome.validity.reasons if not reason.code.startswith(("test01_", "test04_")))
    validity = replace(outcome.validity, valid=not judged, reasons=judged)
    disturbed = validity.transient
    for reason in _reasons(outcome, references):
        if not (disturbed and reason.code in SCORE_DIFFERS):
            validity = validity.with_reason(reason)
    return replace(outcome, validity=validity)


def score_differs(result: CellResult) -> bool:
    """Whether a compliance test failed by its score, of which one more reference will tell whose doing it was."""
    return _failed_by(result, SCORE_DIFFERS)


def decide(judge: Callable[[], CellResult], measure: Callable[[], CellResult], retries: int) -> CellResult:
    """What a compliance test whose score differs comes to.

    `judge` measures the reference once more and judges the test by both, `measure` measures the test anew. Only a host
    that is shown to drift, by references that differ, lets the test be measured again, so many times at most.
    """
    result = judge()
    for _ in range(retries):
        if not _failed_by(result, HOST_DRIFTS):
            break
        result = measure()
        if score_differs(result):
            result = judge()
    return result


def _failed_by(result: CellResult, codes: tuple[str, ...]) -> bool:
    """Whether one of these is among the reasons, each of which begins with its code."""
    return any(reason.startswith(tuple(f"{code}:" for code in codes)) for reason in result.reasons)


def _reasons(outcome: RunOutcome, references: Sequence[Try]) -> Iterator[Reason]:
    mode = outcome.driver.mode
    if mode not in ("test01", "test04"):
        return
    performance = [driver for _, driver in _beside(outcome.folder, references, "performance")]
    if mode == "test04":
        yield from reasons_of_test04(performance, outcome.driver)
        return
    accuracy, _ = _beside(outcome.folder, references, "accuracy")[0]
    expected = dict(reversed(read_answers(accuracy / "loadgen")))
    answers = compare_answers(expected, read_answers(outcome.folder / "loadgen"))
    yield from reasons_of_test01(performance, outcome.driver, answers)


def _beside(tested: Path, references: Sequence[Try], mode: Mode) -> list[tuple[Path, DriverResult]]:
    """The last run of a mode before the one that is tested, and the first after it, if there is one."""
    number = Try.read(tested).number
    runs = [(each.number, each.folder, load_result((each.folder / "driver.json").read_bytes())) for each in references]
    before = [(folder, driver) for n, folder, driver in runs if driver.mode == mode and n < number]
    after = [(folder, driver) for n, folder, driver in runs if driver.mode == mode and n > number]
    if not before:
        raise RunError(
            f"a compliance test needs a run in {mode} mode before it, and there is none; measure the cell again"
        )
    return [before[-1], *after[:1]]
