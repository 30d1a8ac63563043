"""Statistics of one run, computed from its raw records: no I/O, no clock.

Percentiles and their intervals are those of `percentiles`. Cold and warm queries never share one. What has no data is
None, and `Summary.missing` says why.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from serverless_mlperf.latency import Latencies, latencies
from serverless_mlperf.mlperf.spec import Scenario
from serverless_mlperf.percentiles import Quantile, percentiles, quantile
from serverless_mlperf.records import PHASES, Record
from serverless_mlperf.waterfall import Waterfall, waterfall


@dataclass(frozen=True, slots=True)
class Distribution:
    """Some durations."""

    count: int
    mean_ms: float
    stddev_ms: float
    """Of the population (`np.std`), as in the seed's results.csv."""
    min_ms: float
    max_ms: float
    p50: Quantile
    """Of any sample, as in the seed's block; of few values the p90 is the largest one."""
    p90: Quantile
    percentiles: tuple[Quantile, ...]
    """p50 to p99.9; without a value where that would be the largest one."""


@dataclass(frozen=True, slots=True)
class Summary:
    """summary.json: everything said about a cell, recomputable from its records."""

    queries: int
    verdicts: Mapping[str, int]
    duplicates: int
    cold: int
    """Cold queries in the measured window."""
    warm: int
    latency: Distribution | None
    """The seed's latency: `forward` in the function, warm queries."""
    cold_latency: Distribution | None
    """`forward` of cold queries, those of the warm-up included."""
    completion: Distribution | None
    """Hand-over -> result in hand. In Offline: completion time in the burst, not a latency."""
    qps: float | None
    """The seed's: files / (last finish - first start), by the function's clock."""
    span_s: float | None
    """The seed's time difference: last finish - first start."""
    loadgen_qps: float | None
    """LoadGen's Offline figure: queries / completion time of the last one."""
    phases_ms: Mapping[str, float]
    """Median wall time per phase, warm queries."""
    cpu_ms: float | None
    """Mean CPU time of the function per warm query, all phases it measures."""
    forward_cpu_ms: float | None
    """Mean CPU time of `forward` alone."""
    init_ms: float | None
    """Median length of the init phases seen (imports to first inference), warm-up included."""
    init_phases_ms: Mapping[str, float]
    missing: Mapping[str, str]
    """Field -> why it is None."""
    latencies: Latencies | None
    """Latency (in Offline: completion time in the burst) of LoadGen's queries, and LoadGen's own figures."""
    waterfall: Waterfall | None
    """Of warm queries."""
    cold_waterfall: Waterfall | None
    """Of cold queries in the measured window."""


def summarise(
    records: Sequence[Record],
    warmup: Sequence[Record] = (),
    scenario: Scenario = "Offline",
    deadline_ms: float | None = None,
    target_latency_ns: int | None = None,
) -> Summary:
    """Summarise the measured queries; those of the warm-up only tell of cold starts.

    `deadline_ms` is after how long a query counts as lost; `target_latency_ns` is the bound of Server.
    """
    good = [record for record in records if record.verdict == "ok"]
    warm = [record for record in good if not record.cold]
    cold = [record for record in [*good, *warmup] if record.cold and record.verdict == "ok"]
    inits = [record.init_phases_ns for record in [*records, *warmup] if record.init_phases_ns]
    span_s = seed_span_s(good)
    made = Summary(
        queries=len(records),
        verdicts=dict(Counter(record.verdict for record in records)),
        duplicates=sum(record.duplicates for record in records),
        cold=len(good) - len(warm),
        warm=len(warm),
        latency=distribution(_of_phase(warm, "forward")),
        cold_latency=distribution(_of_phase(cold, "forward")),
        completion=distribution([record.latency_ns for record in good]),
        qps=len(good) / span_s if span_s else None,
        span_s=span_s,
        loadgen_qps=loadgen_qps(good),
        phases_ms=_medians_ms([record.phases_ns or {} for record in warm], PHASES),
        cpu_ms=_mean_ms([sum(record.cpu_ns.values()) for record in warm if record.cpu_ns]),
        forward_cpu_ms=_mean_ms([r.cpu_ns["forward"] for r in warm if r.cpu_ns and "forward" in r.cpu_ns]),
        init_ms=_median_ms([sum(init.values()) for init in inits]),
        init_phases_ms=_medians_ms(inits, tuple(dict.fromkeys(name for init in inits for name in init))),
        missing={},
        latencies=latencies(records, scenario, deadline_ms, target_latency_ns),
        waterfall=waterfall(records),
        cold_waterfall=waterfall(records, cold=True),
    )
    return _with_reasons(made, records)


def distribution(values_ns: Sequence[int]) -> Distribution | None:
    """Describe durations; None when there are none."""
    if not values_ns:
        return None
    values = np.asarray(values_ns, dtype=float) / 1e6
    return Distribution(
        count=len(values),
        mean_ms=float(values.mean()),
        stddev_ms=float(values.std()),
        min_ms=float(values.min()),
        max_ms=float(values.max()),
        p50=quantile(values, 0.5),
        p90=quantile(values, 0.9),
        percentiles=percentiles(values),
    )


def seed_span_s(records: Sequence[Record]) -> float | None:
    """Last finish - first start, as the seed's `time difference`; None without two stamps apart."""
    starts = [record.start_ns for record in records if record.start_ns is not None]
    finishes = [record.finish_ns for record in records if record.finish_ns is not None]
    if not starts or not finishes or max(finishes) <= min(starts):
        return None
    return (max(finishes) - min(starts)) / 1e9


def loadgen_qps(records: Sequence[Record]) -> float | None:
    """LoadGen's samples per second in Offline: count / longest completion time."""
    longest_ns = max((record.latency_ns for record in records), default=0)
    return len(records) / longest_ns * 1e9 if longest_ns else None


def _with_reasons(summary: Summary, records: Sequence[Record]) -> Summary:
    """Fill `missing`."""
    none_ok = "no query was measured" if not records else f"none of {len(records)} queries ended well"
    why = {
        "latency": "no warm query with a `forward` phase" if summary.queries else none_ok,
        "cold_latency": "no cold start was seen",
        "completion": none_ok,
        "qps": none_ok if summary.completion is None else "start and finish stamps are missing",
        "span_s": none_ok if summary.completion is None else "start and finish stamps are missing",
        "loadgen_qps": none_ok,
        "cpu_ms": "no warm query with CPU times",
        "forward_cpu_ms": "no warm query with the CPU time of `forward`",
        "init_ms": "no init phase was seen",
        "latencies": "no query was measured",
        "waterfall": "no warm query ended well",
        "cold_waterfall": "no cold start in the measured window",
    }
    missing = {name: reason for name, reason in why.items() if getattr(summary, name) is None}
    return replace(summary, missing=missing)


def _of_phase(records: Sequence[Record], phase: str) -> list[int]:
    return [record.phases_ns[phase] for record in records if record.phases_ns and phase in record.phases_ns]


def _medians_ms(rows: Sequence[Mapping[str, int]], names: Sequence[str]) -> dict[str, float]:
    medians = {name: _median_ms([row[name] for row in rows if name in row]) for name in names}
    return {name: median for name, median in medians.items() if median is not None}


def _median_ms(values_ns: Sequence[int]) -> float | None:
    return float(np.quantile(values_ns, 0.5, method="inverted_cdf")) / 1e6 if values_ns else None


def _mean_ms(values_ns: Sequence[int]) -> float | None:
    return float(np.mean(values_ns)) / 1e6 if values_ns else None
