"""results.csv: the seed's columns first, ours after them."""

from collections.abc import Sequence
import csv
import io
from pathlib import Path
from typing import Any, Final

from serverless_mlperf.files import write_whole
from serverless_mlperf.percentiles import LEVELS, level_name
from serverless_mlperf.pricing.cost import RunCost
from serverless_mlperf.report.results import CellResult

COST_PARTS: Final = ("_duration", "_request", "_storage", "_logs")
SEED_COLUMNS: Final = ("model_name", "latency", "qps", "latency_variance", "memory")
LEVEL_NAMES: Final = tuple(level_name(p).replace(".", "_") for p in LEVELS)
"""`p50` ... `p99_9`."""
OUR_COLUMNS: Final = (
    "latency_stddev",
    "task",
    "engine_and_format",
    "run",
    "p50_ms",
    "p90_ms",
    "mean_ms",
    "qps_loadgen",
    "completion_p50_ms",
    "completion_p90_ms",
    "files",
    "time_difference_s",
    "cold",
    "warm",
    "environments",
    "init_ms",
    "share_predicted_ms",
    "quota_predicted_ms",
    "function_cpu_ms",
    "forward_cpu_ms",
    "platform_cpu_ms",
    "client_cpu_ms",
    "billed_ms_mean",
    "max_memory_mib",
    "lost",
    "duplicates",
    "errors",
    "top1",
    "top5",
    "ap",
    "ap50",
    "accuracy_samples",
    "accuracy_source",
    "accuracy_reference",
    "accuracy_ratio",
    "accuracy_target_ratio",
    "tries",
    "calibration_before",
    "calibration_after",
    "valid",
    "reasons",
    "p50_low_ms",
    "p50_high_ms",
    "p90_low_ms",
    "p90_high_ms",
    "scenario",
    *(f"latency_{level}{part}_ms" for level in LEVEL_NAMES for part in ("", "_low", "_high")),
    *(f"loadgen_{level}_ms" for level in LEVEL_NAMES),
    "latency_censored",
    "early_stopping_estimate_ms",
    "early_stopping_met",
    "over_latency",
    "over_latency_allowed",
    "unattributed_ms",
    *(f"usd_per_million{part}" for part in ("", *COST_PARTS)),
    "price_region",
    "prices_as_of",
    "usd_per_million_queue",
)
"""New columns come last. Of a burst the latency columns are empty: its completion times are no latency."""


def write_results(path: Path, results: Sequence[CellResult]) -> None:
    """Write one row per run, whole or not at all; a figure without data is an empty field."""
    write_whole(path, results_csv(results))


def results_csv(results: Sequence[CellResult]) -> str:
    """What `write_results` writes."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, (*SEED_COLUMNS, *OUR_COLUMNS), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(_row(result) for result in results)
    return text.getvalue()


def _row(result: CellResult) -> dict[str, Any]:
    """The seed's `latency_variance` is in truth a standard deviation; it keeps its name for readers of such files."""
    return {
        **result.to_dict(),
        "latency": result.p50_ms,
        "qps": result.qps_seed,
        "latency_variance": result.stddev_ms,
        "memory": result.memory_mib,
        "latency_stddev": result.stddev_ms,
        "reasons": " | ".join(result.reasons),
        **_forward(result),
        **_latency(result),
        "unattributed_ms": result.waterfall.unattributed_ms if result.waterfall else None,
        **_cost(result.cost),
    }


def _cost(cost: RunCost | None) -> dict[str, Any]:
    """Of warm queries; empty where there were none."""
    if cost is None or cost.warm is None:
        return {}
    parts = {f"usd_per_million{part}": getattr(cost.warm, f"{part[1:]}_usd") * 1_000_000 for part in COST_PARTS}
    queue_usd = cost.warm.queue_usd
    totals = {
        "usd_per_million": cost.warm.per_million_usd,
        "usd_per_million_queue": None if queue_usd is None else queue_usd * 1_000_000,
    }
    return {**totals, **parts, "price_region": cost.region, "prices_as_of": cost.prices_as_of}


def _forward(result: CellResult) -> dict[str, float | None]:
    """The ends of the intervals of the seed's two percentiles."""
    both = zip(("p50", "p90"), result.forward, strict=False)
    return {f"{name}_{end}_ms": ms for name, q in both for end, ms in (("low", q.low_ms), ("high", q.high_ms))}


def _latency(result: CellResult) -> dict[str, Any]:
    """Empty where a value or an end of its interval is not known, or lies beyond the deadline."""
    found = result.latencies
    if found is None or result.scenario == "Offline":
        return {}
    row: dict[str, Any] = {"latency_censored": found.censored}
    for name, quantile in zip(LEVEL_NAMES, found.warm, strict=False):
        row[f"latency_{name}_ms"] = quantile.value_ms
        row[f"latency_{name}_low_ms"] = quantile.low_ms
        row[f"latency_{name}_high_ms"] = quantile.high_ms
    for name, value_ns in zip(LEVEL_NAMES, found.loadgen_ns.values(), strict=True):
        row[f"loadgen_{name}_ms"] = value_ns / 1e6
    if found.estimate is not None and found.estimate.value_ns is not None:
        row["early_stopping_estimate_ms"] = found.estimate.value_ns / 1e6
    if found.criterion is not None:
        rule = found.criterion
        row |= {"early_stopping_met": rule.met, "over_latency": rule.over, "over_latency_allowed": rule.allowed}
    return row
