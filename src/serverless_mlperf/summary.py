"""One run's outcome as the row of the table: measured figures beside the predictions of share and quota."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, Final

from serverless_mlperf.accuracy import ClassificationAccuracy
from serverless_mlperf.mlperf.spec import DriverResult
from serverless_mlperf.mlperf.verdict import client_cpu_share
from serverless_mlperf.outcome import RunOutcome
from serverless_mlperf.percentiles import Quantile, percentiles
from serverless_mlperf.platforms.local.model import cpu_share
from serverless_mlperf.pricing.cost import Pricing, RunCost, run_cost
from serverless_mlperf.quota import demands_from_records, predict_forward_ms, predict_share_ms
from serverless_mlperf.records import Record
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.scoring import Score
from serverless_mlperf.stats import Summary, summarise

_AP_FIGURES: Final = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


def cell_result(
    outcome: RunOutcome, run: int, engine: dict[str, Any], step: int = 1, pricing: Pricing | None = None
) -> CellResult:
    """Compute the row from the records; nothing is measured here. Without prices it has no cost."""
    summary = _summary(outcome)
    latency, completion = summary.latency, summary.completion
    share_ms, quota_ms = _predictions(outcome, summary, engine)
    driver = outcome.driver
    return CellResult(
        task=outcome.cell.task,
        engine_and_format=outcome.cell.engine_and_format,
        memory_mib=outcome.cell.memory_mib,
        model_name=outcome.cell.model_name,
        run=run,
        p50_ms=latency.p50.value_ms if latency else None,
        p90_ms=latency.p90.value_ms if latency else None,
        mean_ms=latency.mean_ms if latency else None,
        stddev_ms=latency.stddev_ms if latency else None,
        qps_seed=summary.qps,
        qps_loadgen=_loadgen_rate(driver),
        completion_p50_ms=completion.p50.value_ms if completion else None,
        completion_p90_ms=completion.p90.value_ms if completion else None,
        files=driver.ok,
        time_difference_s=summary.span_s,
        cold=summary.cold,
        warm=summary.warm,
        environments=len(driver.environments),
        init_ms=summary.init_ms,
        share_predicted_ms=share_ms,
        quota_predicted_ms=quota_ms,
        function_cpu_ms=summary.cpu_ms,
        forward_cpu_ms=summary.forward_cpu_ms,
        platform_cpu_ms=_per_query(outcome.usage.cpu_ns, driver.issued),
        client_cpu_ms=_per_query(driver.client_cpu_ns, driver.issued),
        **_surroundings(outcome),
        lost=driver.timeouts + driver.send_errors + driver.unfinished,
        duplicates=driver.duplicates,
        errors=driver.errors,
        **_scores(outcome.score),
        valid=outcome.validity.valid,
        reasons=tuple(f"{r.code}: {r.evidence}; {r.next_step}" for r in outcome.validity.reasons),
        tries=outcome.validity.tries,
        calibration_before=outcome.before.delivered_share,
        calibration_after=outcome.after.delivered_share,
        billed_ms_mean=_mean([r.billed_ms for r in outcome.records if r.billed_ms is not None]),
        max_memory_mib=max((r.max_memory_mib for r in outcome.records if r.max_memory_mib is not None), default=None),
        phases_ms=dict(summary.phases_ms),
        engine=engine,
        step=step,
        # Where a bound makes queries wait in the client on purpose.
        flight=() if driver.max_in_flight is None else flight_percentiles(outcome.records),
        **_settings(driver),
        forward=latency.percentiles if latency else (),
        cold_forward=summary.cold_latency.percentiles if summary.cold_latency else (),
        latencies=summary.latencies,
        waterfall=summary.waterfall,
        cold_waterfall=summary.cold_waterfall,
        cost=_cost(outcome, pricing),
    )


def _surroundings(outcome: RunOutcome) -> dict[str, Any]:
    """What the function ran on, as far as the platform tells."""
    usage = outcome.usage
    return {
        "architecture": outcome.cell.architecture,
        "isolation": usage.isolation,
        "controller": usage.controller,
        "unreported": len(usage.unreported),
    }


def _cost(outcome: RunOutcome, pricing: Pricing | None) -> RunCost | None:
    if pricing is None:
        return None
    driver = outcome.driver
    transport, payload = driver.transport_name or "s3", driver.transport_options.get("payload")
    priced = replace(pricing, architecture=outcome.cell.architecture)
    return run_cost(outcome.records, outcome.cell.memory_mib, transport, payload, priced)


def flight_percentiles(records: Sequence[Record]) -> tuple[Quantile, ...]:
    """Sent -> completed, of warm queries; those without a good result count as later than all."""
    warm = [r for r in records if r.verdict == "ok" and not r.cold and r.begun_ns is not None]
    lost = sum(r.verdict != "ok" for r in records)
    return percentiles([(r.issued_ns + r.latency_ns - (r.begun_ns or 0)) / 1e6 for r in warm], censored=lost)


def _settings(driver: DriverResult) -> dict[str, Any]:
    """What kind of run it was, and what the client took for it."""
    return {
        "scenario": driver.scenario,
        "mode": driver.mode,
        "transport": driver.transport_name or "s3",
        "payload": driver.transport_options.get("payload"),
        "length": driver.length,
        "target_qps": driver.target_qps,
        "latency_bound_ms": driver.latency_bound_ms,
        "capacity_qps": driver.capacity_qps,
        "max_in_flight": driver.max_in_flight,
        "client_cpu_share": client_cpu_share(driver),
        "transport_counts": dict(driver.transport),
    }


def _loadgen_rate(driver: DriverResult) -> float | None:
    """Samples per second as LoadGen computes them in the scenario; None where it does not (MultiStream, accuracy)."""
    rates = {
        "SingleStream": "result_qps_with_loadgen_overhead",
        "Server": "result_completed_samples_per_sec",
        "Offline": "result_samples_per_second",
    }
    value = driver.loadgen.get(rates.get(driver.scenario, ""))
    return float(value) if value else None


def _summary(outcome: RunOutcome) -> Summary:
    driver = outcome.driver
    return summarise(
        outcome.records,
        outcome.warmup,
        driver.scenario,
        deadline_ms=None if driver.deadline_s is None else driver.deadline_s * 1000,
        target_latency_ns=driver.settings.get("target_latency_ns"),
    )


def _predictions(outcome: RunOutcome, summary: Summary, engine: dict[str, Any]) -> tuple[float | None, float | None]:
    """Mean forward as the share alone and as the 20 ms quota predict it from the measured CPU time.

    The engine's thread count is taken as the parallelism of forward, not a parallelism derived from the measured wall
    times: that would hide what the prediction is there to show.
    """
    demands = demands_from_records(outcome.records)
    if not demands or summary.forward_cpu_ms is None:
        return None, None
    share, parallelism = cpu_share(outcome.cell.memory_mib), float(engine.get("threads", 1))
    return (
        predict_share_ms(summary.forward_cpu_ms, share, parallelism),
        predict_forward_ms(demands, share, parallelism),
    )


def _per_query(cpu_ns: int | None, queries: int) -> float | None:
    return None if cpu_ns is None or not queries else cpu_ns / queries / 1e6


def _mean(values: Sequence[int]) -> float | None:
    return fmean(values) if values else None


def _scores(score: Score) -> dict[str, Any]:
    """Accuracy and reference as fields of the row; the figures of the other task stay None."""
    accuracy = score.accuracy
    figures: dict[str, Any] = (
        {"top1": accuracy.top1, "top5": accuracy.top5}
        if isinstance(accuracy, ClassificationAccuracy)
        else {name: getattr(accuracy, name) for name in _AP_FIGURES}
    )
    return {
        **figures,
        "accuracy_samples": accuracy.sample_count,
        "accuracy_source": score.source,
        "accuracy_reference": score.reference,
        "accuracy_ratio": score.ratio,
        "accuracy_target_ratio": score.target.ratio,
        "accuracy_reason": score.reason,
    }
