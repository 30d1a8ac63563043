"""One run of one cell: calibrate, load through LoadGen, observe, merge, judge."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
import uuid

from serverless_mlperf.budget import Allowance
from serverless_mlperf.calibration import Calibration, calibrate, wait_until_quiet
from serverless_mlperf.config import ExperimentConfig
from serverless_mlperf.datasets.base import Dataset
from serverless_mlperf.errors import RunError
from serverless_mlperf.mlperf.agreement import checked
from serverless_mlperf.mlperf.launch import check_lifeline, run_process
from serverless_mlperf.mlperf.length import Length
from serverless_mlperf.mlperf.single import ask_once
from serverless_mlperf.mlperf.spec import LOAD_SHARE, SAMPLES_PER_QUERY, DriverResult, RunSpec, Scenario
from serverless_mlperf.mlperf.verdict import Reason, accuracy_below_target, verdict
from serverless_mlperf.outcome import RunOutcome
from serverless_mlperf.plan import RunPlan
from serverless_mlperf.platforms.base import Platform, PlatformUsage, Report, Target
from serverless_mlperf.preparation import Preparation
from serverless_mlperf.records import Record, read_records, write_records
from serverless_mlperf.scoring import Score, score_run
from serverless_mlperf.workloads import WORKLOADS, Cell

SECONDS_PER_QUERY = 2.0
"""Upper bound of a query's service time in the backlog: the slowest cell measured takes a tenth of it."""

FAILURES = 2
"""So many failed invocations without a good one: the function cannot serve, waiting longer will not help."""

OnEvent = Callable[[Mapping[str, Any]], None]


def measure_run(  # noqa: PLR0913 - everything that a run needs
    config: ExperimentConfig,
    cell: Cell,
    plan: RunPlan,
    preparation: Preparation,
    platform: Platform,
    target: Target,
    folder: Path,
    on_event: OnEvent,
    allowance: Allowance | None = None,
) -> RunOutcome:
    """Measure one run of a deployed cell and leave its raw data in `folder`; raises RunError, CutOffError.

    A run that its allowance has stopped is kept, INVALID, with what it measured.
    An accuracy run is held against the reference of its data set.
    """
    dataset, reference = preparation.datasets[cell.task], preparation.references.get(cell.task)
    on_event({"event": "calibrate"})
    before = wait_until_quiet(config.wait_for_host_s, measure=_watched_calibration(platform.lifeline))
    spec = replace(_spec(config, cell, plan, dataset, target, folder), allowance=allowance)
    driver = _run(spec, platform, on_event)
    after = calibrate()
    records, warmup, usage = _observed(platform, target, folder)
    # LoadGen has no log of a test that it was left in the middle of: what was answered is in the outputs.
    scored_as = plan.mode if driver.budget is None else "performance"
    score = score_run(scored_as, dataset, records, folder, reference.accuracy if reference else None)
    validity = verdict(driver, before.delivered_share, after.delivered_share, usage, median_service_ns(records))
    return RunOutcome(
        cell=cell,
        folder=folder,
        driver=driver,
        records=records,
        warmup=warmup,
        score=score,
        before=before,
        after=after,
        usage=usage,
        validity=checked(validity, records, driver).with_reason(
            _accuracy_fault(score) if plan.mode == "accuracy" else None
        ),
    )


def _observed(
    platform: Platform, target: Target, folder: Path
) -> tuple[tuple[Record, ...], tuple[Record, ...], PlatformUsage]:
    """Records and warm-up records with what the platform reported of their invocations, written; and what it used."""
    reports, usage = platform.observe(target, *_window(tuple(read_records(folder / "queries.jsonl"))))
    by_request = {report.request_id: report for report in reports}
    records = _merged(folder / "queries.jsonl", by_request)
    warmup = _merged(folder / "warmup.jsonl", by_request)
    write_records(folder / "records.jsonl", records)
    write_records(folder / "warmup.jsonl", warmup)
    (folder / "queries.jsonl").unlink()
    return records, warmup, usage


def measure_cold_start(
    config: ExperimentConfig, cell: Cell, preparation: Preparation, platform: Platform, target: Target, folder: Path
) -> Record:
    """The first invocation of a function that has just been deployed; raises RunError."""
    plan = RunPlan("performance")
    record = ask_once(_spec(config, cell, plan, preparation.datasets[cell.task], target, folder))
    if not record.cold:
        raise RunError(f"cold start of {target.function_name}: its first invocation found it warm; measure again")
    reports, _ = platform.observe(target, 0, 0)
    return _with_report(record, {report.request_id: report for report in reports}.get(record.request_id or ""))


def _watched_calibration(lifeline: int | None) -> Callable[[float], Calibration]:
    """Calibrate as long as there is something to measure: a busy host is waited for."""

    def measure(seconds: float) -> Calibration:
        check_lifeline(lifeline)
        return calibrate(seconds)

    return measure


def _run(spec: RunSpec, platform: Platform, on_event: OnEvent) -> DriverResult:
    """Run LoadGen; a function that only fails ends the run at once, and its own words are in the RunError."""

    def check() -> None:
        if failure := _failure(platform, spec.target, FAILURES):
            raise RunError(failure)

    try:
        return run_process(spec, on_event, platform.lifeline, check)
    except RunError as error:
        failure = _failure(platform, spec.target, 1)
        raise RunError(f"{error}; {failure}" if failure and failure != str(error) else str(error)) from error


def _failure(platform: Platform, target: Target, at_least: int) -> str | None:
    """What a function's last invocation failed with, if so many have failed and none has ever succeeded."""
    reports, _ = platform.observe(target, 0, 0)
    if len(reports) < at_least or any(report.status == "ok" for report in reports):
        return None
    last = reports[-1]
    return f"function {target.function_name} fails: {last.error_type}: {last.error_message}"


def _spec(
    config: ExperimentConfig, cell: Cell, plan: RunPlan, dataset: Dataset, target: Target, folder: Path
) -> RunSpec:
    workload = WORKLOADS[cell.task]
    scenario, length = config.loadgen_scenario, config.run_length
    return RunSpec(
        run=uuid.uuid4().hex[:8],
        target=target,
        samples=tuple(sample.key for sample in dataset.samples),
        task=cell.task,
        loadgen_model=workload.loadgen_model,
        output=folder,
        sample_paths=tuple(sample.path for sample in dataset.samples),
        timeout_s=config.timeout_s + _backlog(scenario, plan, length, dataset) * SECONDS_PER_QUERY / target.concurrency,
        query_count=length.queries,
        min_duration_s=0.0 if plan.mode == "accuracy" else length.min_duration_s,
        performance_sample_count=min(workload.performance_sample_count, len(dataset.samples)),
        scenario=scenario,
        mode=plan.mode,
        target_qps=plan.target_qps,
        load_share=plan.load_share or LOAD_SHARE,
        latency_bound_ms=config.latency_bound_ms,
        transport=config.transport,
        transport_options={"payload": config.payload} if config.transport == "invoke" else {},
        max_in_flight=_in_flight(config, plan, target),
        length=config.length,
    )


def _backlog(scenario: Scenario, plan: RunPlan, length: Length, dataset: Dataset) -> int:
    """Queries that may wait before one: a deadline covers all of them."""
    match scenario:
        case "SingleStream":
            return 1
        case "MultiStream":
            return SAMPLES_PER_QUERY
    return len(dataset.samples) if plan.mode == "accuracy" else length.queries


def _in_flight(config: ExperimentConfig, plan: RunPlan, target: Target) -> int | None:
    """An invocation above the function's concurrency would be refused: it waits in the client instead, and is timed."""
    limits = [plan.max_in_flight, target.concurrency if config.transport == "invoke" else None]
    return min((limit for limit in limits if limit is not None), default=None)


def _window(records: Sequence[Record]) -> tuple[int, int]:
    """Wall clocks of the first hand-over and the last completion; (0, 0) without a query."""
    ends = [r.issued_ns + r.latency_ns for r in records]
    return min((r.issued_ns for r in records), default=0), max(ends, default=0)


def _merged(path: Path, reports: Mapping[str, Report]) -> tuple[Record, ...]:
    """Records of a file with what the platform says of the same invocations."""
    return tuple(_with_report(record, reports.get(record.request_id or "")) for record in read_records(path))


def _with_report(record: Record, report: Report | None) -> Record:
    """Fill in what the record does not have from its own result: a synchronous response carries the same line."""
    if report is None:
        return record
    record = replace(record, spawn_asked_ns=report.spawn_asked_ns, spawned_ns=report.spawned_ns)
    if record.billed_ms is not None:
        return record
    return replace(
        record,
        billed_ms=report.billed_ms,
        duration_ms=report.duration_ms,
        max_memory_mib=report.max_memory_mib,
        init_ms=report.init_ms,
    )


def _accuracy_fault(score: Score) -> Reason | None:
    target = score.target
    return accuracy_below_target(target.metric, score.accuracy.value, score.reference, target.ratio, score.reason)


def median_service_ns(records: Sequence[Record]) -> int | None:
    """Median time a query spent in the function."""
    spans = sorted(r.finish_ns - r.start_ns for r in records if r.finish_ns and r.start_ns)
    return spans[len(spans) // 2] if spans else None
