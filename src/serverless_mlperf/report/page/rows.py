"""Rows of the page's figures, from what results folders hold: pure but for the records that are read."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
import math
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from serverless_mlperf.report.page.drawn import Drawn, Query
from serverless_mlperf.report.page.model import CellFacts, Row
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.waterfall import UNATTRIBUTED

ECDF_POINTS: Final = (24, 160)
"""Of a curve of one run, at least and at most; more cannot be told apart on a screen."""
CONFIDENCE: Final = 0.95
PREDICTIONS: Final = (("measured", "mean_ms"), ("share", "share_predicted_ms"), ("20 ms quota", "quota_predicted_ms"))
"""What stands beside each other in the figure of memory sizes."""
ECDF_ROWS: Final = 30_000
"""Of all curves together: many runs share what the page may weigh."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run on the page."""

    result: CellResult
    source: str
    """Its results folder's name."""
    folder: Path
    """Its own, with records.jsonl."""
    drawn: Drawn | None = None
    """Of a performance run whose records can be read."""

    @property
    def cell(self) -> str:
        """By which the page filters."""
        return cell_id(self.result)

    @property
    def series(self) -> str:
        """Model and engine; with the source where several results are shown."""
        return self.result.model_name.replace("_", " ")


def cell_id(result: CellResult) -> str:
    """Of a cell, the same in all results."""
    return f"{result.model_name} {result.memory_mib}"


def facts_of(runs: Iterable[Measured]) -> list[CellFacts]:
    """The cells of all runs, each once."""
    found = {
        run.cell: CellFacts(run.cell, run.result.task, run.result.engine_and_format, run.result.memory_mib)
        for run in runs
    }
    return [found[name] for name in sorted(found, key=lambda n: (found[n].task, found[n].engine, found[n].memory_mib))]


def verdict_rows(runs: Iterable[Measured]) -> list[Row]:
    """The first table: what is VALID, and why the rest is not."""
    return [
        {
            **{name: value for name, value in _names(run).items() if name != "source"},
            "scenario": run.result.scenario,
            "mode": run.result.mode,
            "transport": run.result.transport,
            "run": run.result.run,
            "p50_ms": _rounded(run.result.p50_ms),
            "p90_ms": _rounded(run.result.p90_ms),
            "rate_per_s": _rounded(run.result.qps_loadgen),
            "usd_per_million": _rounded(_usd(run.result)),
            "lost": run.result.lost,
            "tries": run.result.tries,
            "reasons": " | ".join(run.result.reasons),
            "source": run.source,
        }
        for run in runs
    ]


def bar_rows(runs: Iterable[Measured], figure: str) -> list[Row]:
    """Latency (median of forward, with its interval) or rate, by memory size."""
    rows = []
    for run in _performance(runs):
        low, high = (
            (run.result.forward[0].low_ms, run.result.forward[0].high_ms) if run.result.forward else (None, None)
        )
        value = run.result.p50_ms if figure == "p50_ms" else run.result.qps_seed
        ends = {"low_ms": _rounded(low), "high_ms": _rounded(high)} if figure == "p50_ms" else {}
        rows.append({**_names(run), figure: _rounded(value), **ends})
    return rows


def prediction_rows(runs: Iterable[Measured]) -> list[Row]:
    """Mean forward as measured, and as share and quota predict it from the CPU time."""
    return [
        {**_names(run), "kind": f"{run.series}, {name}", "ms": _rounded(value), "modelled": name != "measured"}
        for run in _performance(runs)
        for name, column in PREDICTIONS
        if (value := getattr(run.result, column)) is not None
    ]


def phase_rows(runs: Iterable[Measured]) -> list[Row]:
    """Mean of every phase of warm queries."""
    rows = []
    for run in _performance(runs):
        found = run.result.waterfall
        for name, span in (found.phases if found else {}).items():
            # What no phase explains may be negative, where phases overlap; a bar cannot be.
            value = max(0.0, span.mean_ms) if name == UNATTRIBUTED else span.mean_ms
            rows.append({**_names(run), "label": _label(run), "phase": name, "ms": _rounded(value)})
    return rows


def cold_rows(runs: Iterable[Measured]) -> list[Row]:
    """Init phase and forward of cold queries beside forward of warm ones, medians."""
    rows = []
    for run in _performance(runs):
        cold = run.result.cold_forward[0].value_ms if run.result.cold_forward else None
        values = {"init phase": run.result.init_ms, "forward, cold": cold, "forward, warm": run.result.p50_ms}
        rows += [
            {**_names(run), "label": _label(run), "kind": kind, "ms": _rounded(value)}
            for kind, value in values.items()
            if value is not None
        ]
    return rows


def accuracy_rows(runs: Iterable[Measured]) -> list[Row]:
    """Score over the FP32 reference's, with MLPerf's target."""
    return [
        {
            **_names(run),
            "series": run.series,
            "mode": run.result.mode,
            "ratio": _rounded(run.result.accuracy_ratio, 5),
            "target": run.result.accuracy_target_ratio,
        }
        for run in runs
        if run.result.accuracy_ratio is not None
    ]


def cost_rows(runs: Iterable[Measured]) -> list[Row]:
    """USD of a million warm queries against the median of forward; `front`: none of its task is better in both."""
    rows: list[Row] = [
        {**_names(run), "series": run.series, "p50_ms": _rounded(run.result.p50_ms), "usd_per_million": _rounded(usd),
         "modelled": bool(run.result.cost and run.result.cost.modelled)}
        for run in _performance(runs)
        if (usd := _usd(run.result)) is not None and run.result.p50_ms is not None
    ]  # fmt: skip
    for row in rows:
        row["front"] = not any(_better(other, row) for other in rows if other["task"] == row["task"])
    return rows


def curve_rows(runs: Iterable[Measured]) -> list[Row]:
    """Latency over throughput: the points of sweeps, and the rates of Server runs."""
    rows = []
    for run in _performance(runs):
        found = run.result.flight if run.result.max_in_flight is not None else _warm(run.result)
        paced = run.result.max_in_flight is not None or run.result.scenario == "Server"
        for quantile in found if paced else ():
            if quantile.p in (0.5, 0.99) and quantile.value_ms is not None and run.result.qps_loadgen:
                rows.append(
                    {**_names(run), "kind": f"{run.series} {run.result.memory_mib} MB, {quantile.name}",
                     "rate_per_s": _rounded(run.result.qps_loadgen), "ms": _rounded(quantile.value_ms),
                     "in_flight": run.result.max_in_flight}
                )  # fmt: skip
    return rows


def points_of(curves: int) -> int:
    """Points of each of so many curves."""
    least, most = ECDF_POINTS
    return max(least, min(most, ECDF_ROWS // max(1, curves)))


def ecdf_rows(run: Measured, forward_ms: NDArray[np.float64], points: int = ECDF_POINTS[1]) -> Iterator[Row]:
    """The distribution of forward, with a band that holds all of it with 95 % (Dvoretzky-Kiefer-Wolfowitz, Massart)."""
    ordered = np.sort(forward_ms)
    count = len(ordered)
    if not count:
        return
    band = math.sqrt(math.log(2 / (1 - CONFIDENCE)) / (2 * count))
    places = np.unique(np.linspace(0, count - 1, min(count, points)).round().astype(int))
    for place in places:
        share = (int(place) + 1) / count
        yield {
            "cell": run.cell,
            "series": f"{run.series} {run.result.memory_mib} MB, run {run.result.run}",
            "ms": _rounded(float(ordered[place])),
            "share": round(share, 4),
            "low": round(max(0.0, share - band), 4),
            "high": round(min(1.0, share + band), 4),
        }


def timeline_rows(run: Measured, queries: Sequence[Query]) -> list[Row]:
    """Queries of one run: when each was handed over, and when its environment computed."""
    begun = min((query.issued_ns for query in queries), default=0)
    lanes = {name: n for n, name in enumerate(dict.fromkeys(query.environment_id for query in queries), 1)}
    return [
        {
            "cell": run.cell,
            "environment": f"environment {lanes[query.environment_id]}",
            "kind": "cold" if query.cold else "warm",
            "arrived_s": _seconds(query.issued_ns, begun),
            "start_s": _seconds(query.start_ns, begun),
            "finish_s": _seconds(query.finish_ns, begun),
        }
        for query in queries
    ]


def _seconds(stamp_ns: int | None, begun_ns: int) -> float | None:
    return None if stamp_ns is None else round((stamp_ns - begun_ns) / 1e9, 4)


def _performance(runs: Iterable[Measured]) -> Iterator[Measured]:
    return (run for run in runs if run.result.mode == "performance")


def _names(run: Measured) -> Row:
    result = run.result
    return {
        "verdict": "VALID" if result.valid else "INVALID",
        "cell": run.cell,
        "source": run.source,
        "task": result.task,
        "engine": result.engine_and_format,
        "memory_mib": result.memory_mib,
        "series": run.series,
    }


def _label(run: Measured) -> str:
    return f"{run.series} {run.result.memory_mib}"


def _usd(result: CellResult) -> float | None:
    return result.cost.warm.per_million_usd if result.cost and result.cost.warm else None


def _warm(result: CellResult) -> Sequence[Any]:
    return result.latencies.warm if result.latencies else ()


def _better(other: Row, row: Row) -> bool:
    """At least as good in both, and better in one."""
    pairs = [(other[name], row[name]) for name in ("p50_ms", "usd_per_million")]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)
