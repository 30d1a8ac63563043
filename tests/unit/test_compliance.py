"""A compliance test beside its references: which runs are compared, and when what is measured again."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from test_store import RESULT

from serverless_mlperf.accuracy import ClassificationAccuracy
from serverless_mlperf.calibration import Calibration
from serverless_mlperf.compliance import compared, decide, score_differs
from serverless_mlperf.errors import RunError
from serverless_mlperf.mlperf.spec import DriverResult, Mode, dump_result
from serverless_mlperf.mlperf.verdict import Reason, Validity
from serverless_mlperf.outcome import RunOutcome
from serverless_mlperf.platforms.base import PlatformUsage
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.scoring import Score
from serverless_mlperf.tries import Try, begin_try
from serverless_mlperf.workloads import AccuracyTarget, Cell

NOT_SCORED = Score(ClassificationAccuracy(None, None, 0, "not asked"), "outputs", AccuracyTarget("Top-1", 0.98))
PASSED = replace(RESULT, mode="test04")
DIFFERS = replace(PASSED, valid=False, reasons=("test04_performance: 120 against 100",))
DRIFTS = replace(PASSED, valid=False, reasons=("test04_host_drift: 100 before, 130 after",))


def driver(qps: float, mode: Mode = "performance") -> DriverResult:
    """A run with a throughput."""
    return DriverResult("r", "Offline", mode, asked=1, loadgen={"result_samples_per_second": qps})


def run(folder: Path, number: int, qps: float, mode: Mode = "performance", *reasons: str) -> Try:
    """A whole run that lies in its folder."""
    path = folder / f"run-{number}"
    begin_try(path, 1)
    (path / "driver.json").write_bytes(dump_result(driver(qps, mode)))
    return replace(Try.read(path), result=replace(RESULT, mode=mode, reasons=reasons))


def outcome(folder: Path, qps: float, *reasons: Reason) -> RunOutcome:
    """A TEST04 run in a folder, with what was found against it so far."""
    idle = Calibration(2.0, 2)
    return RunOutcome(
        cell=Cell("classification", "ie-ir", 768), folder=folder, driver=driver(qps, "test04"), records=(), warmup=(),
        score=NOT_SCORED, before=idle, after=idle, usage=PlatformUsage(), validity=Validity(not reasons, reasons),
    )  # fmt: skip


def codes(judged: RunOutcome) -> list[str]:
    """Codes of the reasons against a run."""
    return [reason.code for reason in judged.validity.reasons]


def test_more_runs_on_either_side_take_a_failure_back(tmp_path: Path) -> None:
    """The means of all of them count; those that the host disturbed do not."""
    first, tested = run(tmp_path, 1, 100.0), run(tmp_path, 2, 112.0, "test04")
    failed = compared(outcome(tested.folder, 112.0), [first, tested])
    assert codes(failed) == ["test04_performance"]
    disturbed = run(tmp_path, 3, 50.0, "performance", "host_after: 70 % delivered; free the host")
    again = [first, tested, disturbed, run(tmp_path, 4, 106.0)]
    assert codes(compared(failed, again)) == []
    more = run(tmp_path, 5, 118.0, "test04", "test04_performance: differs; measure again")
    assert codes(compared(outcome(more.folder, 118.0), [*again, more])) == ["test04_performance"]


def test_run_that_the_host_disturbed_is_not_compared(tmp_path: Path) -> None:
    """Its score is the host's: it stays INVALID for that alone, and is measured again."""
    busy = Reason("host_after", "70 % delivered", "free the host", transient=True)
    lost = Reason("lost", "1 query", "read the log", transient=False)
    before = [run(tmp_path, 1, 100.0)]
    tested = run(tmp_path, 2, 150.0, "test04").folder
    assert codes(compared(outcome(tested, 150.0, busy), before)) == ["host_after"]
    assert codes(compared(outcome(tested, 150.0, busy, lost), before)) == ["host_after", "lost", "test04_performance"]


@pytest.mark.parametrize("mode", ["test01", "test04"])
def test_run_that_its_budget_has_stopped_is_not_compared(tmp_path: Path, mode: Mode) -> None:
    """It has neither a score nor LoadGen's log of answers: the bound stays the reason, and nothing fails."""
    stopped = Reason("budget", "--max-queries 9: 9 sent", "raise the bound", transient=False)
    tested = outcome(run(tmp_path, 2, 150.0, mode).folder, 150.0, stopped)
    tested = replace(tested, driver=replace(tested.driver, mode=mode, budget="--max-queries 9: 9 sent"))
    assert codes(compared(tested, [])) == ["budget"]


def test_run_without_a_reference_is_an_error(tmp_path: Path) -> None:
    """As TEST01 is without answers to compare."""
    tested = run(tmp_path, 1, 100.0, "test04")
    with pytest.raises(RunError, match="needs a run in performance mode before it"):
        compared(outcome(tested.folder, 100.0), [tested])


@pytest.mark.parametrize(
    ("judged", "measured", "retries", "expected", "calls"),
    [
        ([PASSED], [], 2, PASSED, "j"),
        ([DIFFERS], [PASSED], 2, PASSED, "jm"),
        ([DRIFTS, DIFFERS], [DIFFERS, PASSED], 2, PASSED, "jmjm"),
        ([DIFFERS, DIFFERS, DIFFERS], [DIFFERS, DIFFERS], 2, DIFFERS, "jmjmj"),
        ([DRIFTS, DRIFTS, DRIFTS], [DIFFERS, DIFFERS], 2, DRIFTS, "jmjmj"),
        ([DRIFTS], [], 0, DRIFTS, "j"),
    ],
    ids=["host", "one more test", "two more", "differs to the end", "drifts to the end", "no retries"],
)
def test_reference_and_test_take_turns_until_they_agree(
    judged: list[CellResult], measured: list[CellResult], retries: int, expected: CellResult, calls: str
) -> None:
    """So many times at most; what differs by more than the host does so to the end."""
    made: list[str] = []

    def next_of(results: Iterator[CellResult], name: str) -> CellResult:
        made.append(name)
        return next(results)

    judging, measuring = iter(judged), iter(measured)
    result = decide(lambda: next_of(judging, "j"), lambda: next_of(measuring, "m"), retries)
    assert (result, "".join(made), score_differs(result)) == (expected, calls, expected is DIFFERS)
