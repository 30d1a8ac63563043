"""What the platform says of an invocation, beside what came with its result."""

from serverless_mlperf.measurement import _with_report
from serverless_mlperf.platforms.base import Report
from serverless_mlperf.records import Record

RECORD = Record("r-00000001", 0, "error", 1, 0, request_id="q")
REPORT = Report("q", 12.3, 13, 300.5, 512, 80)


def test_report_fills_what_the_result_did_not_tell() -> None:
    """Through events the platform alone knows; without a report the record stays as it is."""
    filled = _with_report(RECORD, REPORT)
    assert (filled.duration_ms, filled.billed_ms, filled.init_ms, filled.max_memory_mib) == (12.3, 13, 300.5, 80)
    assert _with_report(RECORD, None) is RECORD


def test_what_came_with_the_result_stays() -> None:
    """The response of a synchronous invocation carried the same line already."""
    told = _with_report(RECORD, Report("q", 1.0, 2, None, 512, 3))
    assert _with_report(told, REPORT) == told
