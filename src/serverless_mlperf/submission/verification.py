"""TEST01 and TEST04 held against the runs they belong to: verify_accuracy.txt and verify_performance.txt.

The verdicts are those of mlperf.compliance. The texts follow MLPerf's scripts (compliance/TEST01/verify_accuracy.py and
verify_performance.py), whose `TEST PASS` on a line of its own is what the checker looks for. As in those scripts, a run
that LoadGen calls INVALID passes no test.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from serverless_mlperf.errors import InputError, RunError
from serverless_mlperf.mlperf.compliance import compare_answers, reasons_of_test01, reasons_of_test04, score
from serverless_mlperf.mlperf.logs import read_answers
from serverless_mlperf.mlperf.spec import ComplianceTest
from serverless_mlperf.submission.choice import Entry
from serverless_mlperf.submission.measured import MeasuredRun

Answers = list[tuple[int, bytes]]
"""Sample index and response."""


@dataclass(frozen=True, slots=True)
class Verification:
    """One compliance test of one entry."""

    test: ComplianceTest
    texts: Mapping[str, str]
    """File name -> content."""
    faults: tuple[str, ...]
    """Why it failed."""


def verify(entry: Entry) -> list[Verification]:
    """The tests of an entry that have all the runs they need. Raises InputError where a log cannot be read."""
    runs = entry.runs
    found = []
    if {"performance", "accuracy", "test01"} <= runs.keys():
        found.append(_test01(runs["performance"], runs["accuracy"], runs["test01"]))
    if {"performance", "test04"} <= runs.keys():
        found.append(_test04(runs["performance"], runs["test04"]))
    return found


def _test01(performance: MeasuredRun, accuracy: MeasuredRun, tested: MeasuredRun) -> Verification:
    reference, logged = _answers(accuracy), _answers(tested)
    first: dict[int, bytes] = {}
    for index, data in reference:
        first.setdefault(index, data)
    answers = compare_answers(first, logged)
    reasons = list(reasons_of_test01((performance.driver,), (tested.driver,), answers))
    differ = [reason.evidence for reason in reasons if reason.code == "test01_answers"]
    slow = [reason.evidence for reason in reasons if reason.code != "test01_answers"]
    slow += _invalid(performance, tested)
    counts = {
        "num_acc_log_entries": len(reference),
        "num_acc_log_duplicate_keys": len(reference) - len(first),
        "num_perf_log_entries": len(logged),
        "num_perf_log_qsl_idx_match": answers.matching + answers.differing,
        "num_perf_log_data_mismatch": answers.differing,
        "num_missing_qsl_idxs": answers.unknown,
    }
    lines = ["Verifying accuracy: answers are compared as a whole.", *(f"{n} = {v}" for n, v in counts.items())]
    texts = {
        "verify_accuracy.txt": _text([*lines, *_verdict(differ)]),
        "verify_performance.txt": _text([*_scores(performance, tested), *_verdict(slow)]),
    }
    return Verification("test01", texts, (*differ, *slow))


def _test04(performance: MeasuredRun, tested: MeasuredRun) -> Verification:
    faults = [reason.evidence for reason in reasons_of_test04((performance.driver,), (tested.driver,))]
    faults += _invalid(performance, tested)
    texts = {"verify_performance.txt": _text([*_scores(performance, tested), *_verdict(faults)])}
    return Verification("test04", texts, tuple(faults))


def _scores(performance: MeasuredRun, tested: MeasuredRun) -> Iterator[str]:
    yield "Verifying performance."
    for name, run in (("Reference", performance), ("Test", tested)):
        found = score(run.driver)
        yield f"{name} score = {found.value} ({found.meaning}; greater is better)" if found else f"{name}: no score"


def _invalid(*runs: MeasuredRun) -> list[str]:
    return [f"Invalid results in {run.name}" for run in runs if run.driver.loadgen_validity != "VALID"]


def _verdict(faults: list[str]) -> list[str]:
    return [f"TEST FAIL: {fault}" for fault in faults] or ["TEST PASS"]


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def _answers(run: MeasuredRun) -> Answers:
    """The accuracy log of a run."""
    try:
        return read_answers(run.logs)
    except RunError as error:
        raise InputError(str(error)) from error
