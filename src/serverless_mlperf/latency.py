"""What LoadGen calls latency, of one run: percentiles with intervals, and LoadGen's own figures beside them.

The unit is LoadGen's query: in MultiStream several samples (one record each), which is done when its last sample is.
Latency is LoadGen's, from the scheduled time on; without its trace, ours from the hand-over on. In Offline it is the
completion time in the burst, which is no latency and of which no interval is given: completions of one burst are one
draw, not many.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from serverless_mlperf.early_stopping import (
    MULTI_STREAM_LEVEL,
    SERVER_LEVEL,
    SINGLE_STREAM_LEVEL,
    Criterion,
    Estimate,
    criterion,
    estimate,
    loadgen_percentile,
)
from serverless_mlperf.mlperf.spec import Scenario
from serverless_mlperf.percentiles import LEVELS, Quantile, level_name, percentiles, without_interval
from serverless_mlperf.records import Record

ESTIMATED: Final[Mapping[str, float]] = {"SingleStream": SINGLE_STREAM_LEVEL, "MultiStream": MULTI_STREAM_LEVEL}
"""Scenarios whose result is an early-stopping estimate, and of which percentile."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One of LoadGen's queries."""

    latency_ns: int
    good: bool
    """All its samples were answered; else the query is censored: LoadGen's latency of it is our deadline."""
    cold: bool
    """One of its samples was served by an environment's first invocation."""


@dataclass(frozen=True, slots=True)
class Latencies:
    """Percentiles of one run. Warm and cold queries are apart; LoadGen's figures know no such difference."""

    scenario: Scenario
    begins: Literal["scheduled", "handed over"]
    """Where latency begins: with LoadGen's trace at the scheduled time, without it at the hand-over."""
    warm: tuple[Quantile, ...]
    """Of warm queries and of those without a result, which count as later than all others."""
    cold: tuple[Quantile, ...]
    censored: int
    """Queries without a good result."""
    cold_count: int
    samples_per_query: int
    """8 in MultiStream; 1 where a query is one sample, or each sample is taken by itself."""
    deadline_ms: float | None
    """What a percentile that reaches censored queries is later than."""
    loadgen_ns: Mapping[str, int]
    """As LoadGen computes them, of all queries alike: x[floor(n p)]."""
    estimate: Estimate | None = None
    """LoadGen's result of SingleStream and MultiStream."""
    criterion: Criterion | None = None
    """LoadGen's rule for Server."""


def latencies(
    records: Sequence[Record],
    scenario: Scenario,
    deadline_ms: float | None = None,
    target_latency_ns: int | None = None,
) -> Latencies | None:
    """Describe the latency of a run's records; None without any.

    `target_latency_ns` is the bound of Server; LoadGen's rule is left out without it.
    """
    observed = observations(records, scenario)
    if not observed:
        return None
    all_ns = sorted(each.latency_ns for each in observed)
    warm = [each for each in observed if not each.cold]
    cold = [each for each in observed if each.cold]
    traced = _has_trace(records)
    level = ESTIMATED.get(scenario) if traced else None
    return Latencies(
        scenario=scenario,
        begins="scheduled" if traced else "handed over",
        warm=_percentiles(warm, scenario),
        cold=_percentiles(cold, scenario),
        censored=sum(not each.good for each in observed),
        cold_count=len(cold),
        samples_per_query=round(len(records) / len(observed)),
        deadline_ms=deadline_ms,
        loadgen_ns={level_name(p): loadgen_percentile(all_ns, p) for p in LEVELS},
        estimate=None if level is None else estimate(all_ns, level),
        criterion=_criterion(all_ns, target_latency_ns) if scenario == "Server" else None,
    )


def _criterion(all_ns: Sequence[int], target_latency_ns: int | None) -> Criterion | None:
    return None if target_latency_ns is None else criterion(all_ns, target_latency_ns, SERVER_LEVEL)


def observations(records: Sequence[Record], scenario: Scenario) -> list[Observation]:
    """LoadGen's queries from the records of their samples.

    In MultiStream the trace tells which samples are one query; without it, and in Offline, where one query holds the
    whole burst, each sample is an observation by itself.
    """
    if scenario != "MultiStream" or not _has_trace(records):
        return [_observation([record]) for record in records]
    queries: defaultdict[int | None, list[Record]] = defaultdict(list)
    for record in records:
        queries[record.query_seq].append(record)
    return [_observation(samples) for samples in queries.values()]


def _observation(samples: Sequence[Record]) -> Observation:
    return Observation(
        latency_ns=max(_latency_ns(sample) for sample in samples),
        good=all(sample.verdict == "ok" for sample in samples),
        cold=any(bool(sample.cold) for sample in samples),
    )


def _latency_ns(record: Record) -> int:
    return record.latency_ns if record.loadgen_latency_ns is None else record.loadgen_latency_ns


def _has_trace(records: Sequence[Record]) -> bool:
    return all(record.loadgen_latency_ns is not None for record in records)


def _percentiles(observed: Sequence[Observation], scenario: Scenario) -> tuple[Quantile, ...]:
    good_ms = [each.latency_ns / 1e6 for each in observed if each.good]
    found = percentiles(good_ms, censored=len(observed) - len(good_ms))
    return found if scenario != "Offline" else tuple(without_interval(quantile) for quantile in found)
