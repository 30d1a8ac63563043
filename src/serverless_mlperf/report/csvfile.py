"""results.csv: the seed's columns first, ours after them."""

from collections.abc import Sequence
import csv
import io
from pathlib import Path
from typing import Any, Final

from serverless_mlperf.files import write_whole
from serverless_mlperf.report.results import CellResult

SEED_COLUMNS: Final = ("model_name", "latency", "qps", "latency_variance", "memory")
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
    "tries",
    "calibration_before",
    "calibration_after",
    "valid",
    "reasons",
)


def write_results(path: Path, results: Sequence[CellResult]) -> None:
    """Write one row per run, whole or not at all; a figure without data is an empty field."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, (*SEED_COLUMNS, *OUR_COLUMNS), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(_row(result) for result in results)
    write_whole(path, text.getvalue())


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
    }
