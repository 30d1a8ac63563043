"""What a search and a sweep come to, in words."""

from dataclasses import replace

from serverless_mlperf.percentiles import quantile
from serverless_mlperf.report.repeats import repeat_lines
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.report.steps import step_lines

BASE = CellResult(
    task="classification", engine_and_format="ie-ir", memory_mib=768, model_name="mobilenet_openvino", run=1,
    p50_ms=None, p90_ms=None, mean_ms=None, stddev_ms=None, qps_seed=None, qps_loadgen=50.0, completion_p50_ms=None,
    completion_p90_ms=None, files=1, time_difference_s=None, cold=0, warm=1, environments=1, init_ms=None,
    share_predicted_ms=None, quota_predicted_ms=None, function_cpu_ms=None, forward_cpu_ms=None, platform_cpu_ms=None,
    client_cpu_ms=None, lost=0, duplicates=0, errors=0, valid=True, tries=1,
)  # fmt: skip
SERVER = replace(BASE, scenario="Server", latency_bound_ms=1000.0)


def rates(*steps: tuple[float, bool]) -> list[CellResult]:
    """The steps of a search."""
    broken = ("latency_bound: p99 1,200 ms above 1,000 ms (lower the rate)",)
    return [
        replace(SERVER, step=n, target_qps=qps, valid=valid, reasons=() if valid else broken)
        for n, (qps, valid) in enumerate(steps, 1)
    ]


def test_capacity_is_the_highest_valid_rate() -> None:
    """With the bound, and the rate at which it broke, with the reason's code."""
    (line,) = step_lines(rates((10, True), (20, True), (30, False)))
    assert line == (
        "capacity of mobilenet_openvino 768 MB: 20 queries/s within 1000 ms at the 99th percentile; "
        "30 queries/s were INVALID (latency_bound)"
    )


def test_steps_are_no_repetitions() -> None:
    """The mean over rates of a search would be of nothing; the same step of several rounds is a repetition."""
    once, again = rates((10, True), (20, True)), [replace(step, run=2) for step in rates((10, True), (20, True))]
    assert repeat_lines(once) == ()
    titles = [line for line in repeat_lines([*once, *again]) if "over" in line]
    assert titles == [
        "mobilenet_openvino 768 MB, Server, over 2 runs (mean [95 % interval], median):",
        "mobilenet_openvino 768 MB, Server, step 2 (performance), over 2 runs (mean [95 % interval], median):",
    ]


def test_no_capacity_is_said_as_such() -> None:
    """Never the lowest rate tried, and never 0."""
    (line,) = step_lines(rates((10, False), (20, False)))
    assert "no rate was VALID" in line
    assert line.endswith("10 queries/s were INVALID (latency_bound)")


def test_end_of_the_ramp_is_no_limit() -> None:
    """All rates VALID: the capacity may be higher, and the line says that none was tried."""
    (line,) = step_lines(rates((10, True), (20, True)))
    assert line.endswith("no higher rate was tried")


def test_curve_has_a_line_per_point() -> None:
    """In flight, throughput, and the time without the wait for a place; an INVALID point is marked."""
    flight = (quantile([10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0], 0.5),)
    steps = [replace(BASE, step=n, max_in_flight=n, flight=flight, valid=n == 1) for n in (1, 2)]
    title, first, second = step_lines(steps)
    assert title.startswith("curve of mobilenet_openvino 768 MB")
    assert first == "  1: 50.0/s, p50 40.0 [10.0, 70.0]"
    assert second.endswith("(INVALID)")


def test_single_runs_and_compliance_tests_have_no_line() -> None:
    """One step is no search, and the references of a compliance test are no points of a curve."""
    assert step_lines([BASE]) == ()
    assert step_lines([BASE, replace(BASE, step=2, mode="accuracy"), replace(BASE, step=3, mode="test01")]) == ()
