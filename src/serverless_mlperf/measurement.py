"""One run of one cell: calibrate, load through LoadGen, observe, merge, judge."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
import json
from pathlib import Path
from typing import Any
import uuid

from serverless_mlperf.accuracy import (
    ClassificationAccuracy,
    DetectionAccuracy,
    classification_accuracy,
    detection_accuracy,
)
from serverless_mlperf.calibration import Calibration, calibrate, wait_until_quiet
from serverless_mlperf.config import ExperimentConfig
from serverless_mlperf.datasets.base import Dataset
from serverless_mlperf.errors import RunError
from serverless_mlperf.mlperf.launch import run_process
from serverless_mlperf.mlperf.spec import DriverResult, RunSpec
from serverless_mlperf.mlperf.verdict import Validity, verdict
from serverless_mlperf.platforms.base import Platform, PlatformUsage, Report, Target
from serverless_mlperf.records import Record, read_records, write_records
from serverless_mlperf.workloads import WORKLOADS, Cell

SECONDS_PER_QUERY = 2.0
"""Upper bound of a query's service time in the backlog: the slowest cell measured takes a tenth of it."""

FAILURES = 2
"""So many failed invocations without a good one: the function cannot serve, waiting longer will not help."""

Accuracy = ClassificationAccuracy | DetectionAccuracy
OnEvent = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What one run came to; everything the summary is computed from."""

    cell: Cell
    folder: Path
    driver: DriverResult
    records: tuple[Record, ...]
    warmup: tuple[Record, ...]
    accuracy: Accuracy
    before: Calibration
    after: Calibration
    usage: PlatformUsage
    reports: tuple[Report, ...]
    """REPORT lines of the measured queries."""
    validity: Validity


def measure_run(
    config: ExperimentConfig,
    cell: Cell,
    dataset: Dataset,
    platform: Platform,
    target: Target,
    folder: Path,
    on_event: OnEvent,
) -> RunOutcome:
    """Measure one run of a deployed cell and leave its raw data in `folder`; raises RunError."""
    on_event({"event": "calibrate"})
    before = wait_until_quiet()
    driver = _run(_spec(config, cell, dataset, target, folder), platform, on_event)
    after = calibrate()
    reports, usage = platform.observe(target, *_window(tuple(read_records(folder / "queries.jsonl"))))
    by_request = {report.request_id: report for report in reports}
    records = _merged(folder / "queries.jsonl", by_request)
    warmup = _merged(folder / "warmup.jsonl", by_request)
    write_records(folder / "records.jsonl", records)
    write_records(folder / "warmup.jsonl", warmup)
    (folder / "queries.jsonl").unlink()
    return RunOutcome(
        cell=cell,
        folder=folder,
        driver=driver,
        records=records,
        warmup=warmup,
        accuracy=_accuracy(dataset, records, folder / "output"),
        before=before,
        after=after,
        usage=usage,
        reports=tuple(by_request[r.request_id] for r in records if r.request_id in by_request),
        validity=verdict(driver, before.delivered_share, after.delivered_share, usage, median_service_ns(records)),
    )


def _run(spec: RunSpec, platform: Platform, on_event: OnEvent) -> DriverResult:
    """Run LoadGen; a function that only fails ends the run at once, and its own words are in the RunError."""

    def check() -> None:
        if failure := _failure(platform, spec.target, FAILURES):
            raise RunError(failure)

    try:
        return run_process(spec, on_event, check)
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


def _spec(config: ExperimentConfig, cell: Cell, dataset: Dataset, target: Target, folder: Path) -> RunSpec:
    workload = WORKLOADS[cell.task]
    count = config.queries if config.mode == "performance" else len(dataset.samples)
    return RunSpec(
        run=uuid.uuid4().hex[:8],
        target=target,
        samples=tuple(sample.key for sample in dataset.samples),
        task=cell.task,
        loadgen_model=workload.loadgen_model,
        output=folder,
        # Offline: all samples wait in one backlog, so the last one's deadline covers all before it.
        timeout_s=config.timeout_s + count * SECONDS_PER_QUERY / target.concurrency,
        query_count=count,
        performance_sample_count=min(workload.performance_sample_count, len(dataset.samples)),
        mode=config.mode,
    )


def _window(records: Sequence[Record]) -> tuple[int, int]:
    """Wall clocks of the first hand-over and the last completion; (0, 0) without a query."""
    ends = [r.issued_ns + r.latency_ns for r in records]
    return min((r.issued_ns for r in records), default=0), max(ends, default=0)


def _merged(path: Path, reports: Mapping[str, Report]) -> tuple[Record, ...]:
    """Records of a file with what the platform says of the same invocations."""
    return tuple(_with_report(record, reports.get(record.request_id or "")) for record in read_records(path))


def _with_report(record: Record, report: Report | None) -> Record:
    if report is None:
        return record
    return replace(
        record, billed_ms=report.billed_ms, duration_ms=report.duration_ms, max_memory_mib=report.max_memory_mib
    )


def _accuracy(dataset: Dataset, records: Sequence[Record], output: Path) -> Accuracy:
    """Score the answers of the run; a sample that was sent several times counts once, one never answered as wrong."""
    answers = {r.sample_index: output / f"{r.key}.json" for r in records if r.verdict == "ok"}
    results = {r.sample_index: None for r in records} | {
        index: json.loads(path.read_text())["result"] for index, path in answers.items()
    }
    score = classification_accuracy if dataset.task == "classification" else detection_accuracy
    return score(dataset, results)


def first_engine(outcome: RunOutcome) -> dict[str, Any]:
    """Engine name, version, precision and threads as the function itself reports them; empty without any answer."""
    answered = (r for r in outcome.records if r.verdict == "ok")
    first = next(answered, None)
    if first is None:
        return {}
    body = json.loads((outcome.folder / "output" / f"{first.key}.json").read_text())
    return dict(body["sut"]["engine"])


def median_service_ns(records: Sequence[Record]) -> int | None:
    """Median time a query spent in the function."""
    spans = sorted(r.finish_ns - r.start_ns for r in records if r.finish_ns and r.start_ns)
    return spans[len(spans) // 2] if spans else None
