"""What the platform says of an invocation, beside what came with its result."""

from dataclasses import replace

import pytest

from serverless_mlperf.config import load_config
from serverless_mlperf.measurement import _in_flight, _unbilled, _with_report
from serverless_mlperf.plan import RunPlan
from serverless_mlperf.platforms.base import Report, Target
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


def test_only_what_did_not_come_with_the_result_is_asked_for() -> None:
    """A record with its bill, or of no invocation at all, is not waited for."""
    records = [RECORD, replace(RECORD, request_id="told", billed_ms=3), replace(RECORD, request_id=None)]
    assert _unbilled(records) == ["q"]


@pytest.mark.parametrize(
    ("transport", "absorbs", "asked", "bound"),
    [
        ("s3", True, None, None),
        ("s3", False, None, 2),
        ("invoke", True, None, 2),
        ("s3", False, 1, 1),
        ("s3", True, 5, 5),
    ],
)
def test_queries_in_flight_are_bounded_where_more_would_be_throttled(
    transport: str, absorbs: bool, asked: int | None, bound: int | None
) -> None:
    """By the environments, or by what a sweep asks for if that is less."""
    config = load_config(None, {"transport": transport})
    target = Target("p", "r", "u", "u", "u", "b", "f", "i/", "o/", "c/", "q", 2, absorbs_bursts=absorbs)
    assert _in_flight(config, RunPlan("performance", max_in_flight=asked), target) == bound
