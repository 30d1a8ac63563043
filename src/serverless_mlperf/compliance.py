"""MLPerf's compliance tests of a run, from its folder and those of the runs it is compared with."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from serverless_mlperf.errors import RunError
from serverless_mlperf.mlperf.compliance import compare_answers, reasons_of_test01, reasons_of_test04
from serverless_mlperf.mlperf.logs import read_answers
from serverless_mlperf.mlperf.spec import DriverResult, load_result
from serverless_mlperf.mlperf.verdict import Reason
from serverless_mlperf.outcome import RunOutcome


def compliance_reasons(outcome: RunOutcome, references: Sequence[Path]) -> Iterator[Reason]:
    """Why a compliance test failed; nothing for a run that is none. `references` are the folders of the steps before.

    Raises RunError when a reference or a log is missing.
    """
    mode = outcome.driver.mode
    if mode == "test01":
        performance, accuracy = _of_mode(references, "performance"), _of_mode(references, "accuracy")
        expected = dict(reversed(read_answers(accuracy[0] / "loadgen")))
        answers = compare_answers(expected, read_answers(outcome.folder / "loadgen"))
        yield from reasons_of_test01(performance[1], outcome.driver, answers)
    elif mode == "test04":
        yield from reasons_of_test04(_of_mode(references, "performance")[1], outcome.driver)


def _of_mode(references: Sequence[Path], mode: str) -> tuple[Path, DriverResult]:
    for folder in references:
        driver = load_result((folder / "driver.json").read_bytes())
        if driver.mode == mode:
            return folder, driver
    raise RunError(f"a compliance test needs a run in {mode} mode before it, and there is none; measure the cell again")
