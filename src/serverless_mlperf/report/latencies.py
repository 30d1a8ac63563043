"""Latency in words: every percentile with its interval, or with what it would need; LoadGen's own result beside it."""

from collections.abc import Sequence
from typing import Final

from serverless_mlperf.early_stopping import Criterion, Estimate
from serverless_mlperf.latency import Latencies
from serverless_mlperf.percentiles import Part, Quantile, level_name

PER_LINE: Final = 3
CLOSED_LOOP: Final = ("SingleStream", "MultiStream")
"""Scenarios that send the next query when the last one is done: a stall is seen by one query, not by all that would
have come meanwhile, so their high percentiles are no service tail."""


def latency_lines(found: Latencies) -> tuple[str, ...]:
    """Lines for the block of one run that is no burst."""
    loop = "; closed loop" if found.scenario in CLOSED_LOOP else ""
    count = found.warm[0].count if found.warm else 0
    lost = f", {found.censored} of them without a result" if found.censored else ""
    samples = f" of {found.samples_per_query} samples" if found.samples_per_query > 1 else ""
    kind = f"{found.scenario}, {found.begins} -> completion{loop}"
    return (
        f"  latency of {count} warm queries{samples}{lost} ({kind}), 95 % intervals",
        *percentile_lines("  ", found.warm, found.deadline_ms),
        *percentile_lines(f"  {found.cold_count} cold: ", found.cold, found.deadline_ms),
        *(f"    LoadGen's {text}" for text in _loadgen(found)),
    )


def percentile_lines(name: str, quantiles: Sequence[Quantile], deadline_ms: float | None = None) -> list[str]:
    """All levels with their intervals, three to a line; [] of an empty sample."""
    texts = [_quantile(quantile, deadline_ms) for quantile in quantiles]
    rows = [", ".join(texts[first : first + PER_LINE]) for first in range(0, len(texts), PER_LINE)]
    return [f"  {name}{row}" for row in rows]


def value_text(quantile: Quantile, deadline_ms: float | None = None) -> str:
    """The value in ms, `> deadline`, or what it needs."""
    if "value" in quantile.beyond:
        return beyond_text(deadline_ms)
    if quantile.value_ms is None:
        return f"n/a (needs n >= {quantile.value_needs})"
    return f"{quantile.value_ms:.1f}"


def interval_text(quantile: Quantile, deadline_ms: float | None = None) -> str:
    """`[low, high]` in ms, or what a finite interval needs."""
    ends = [_end(quantile, part, deadline_ms) for part in ("low", "high")]
    if None in ends:
        return f"n/a (needs n >= {quantile.interval_needs})"
    return f"[{ends[0]}, {ends[1]}]"


def two_lines(quantile: Quantile, deadline_ms: float | None = None) -> str:
    """For a table: the value, and below it its interval or the number of queries that it needs."""
    texts = (value_text(quantile, deadline_ms), interval_text(quantile, deadline_ms))
    above, below = (text.removeprefix("n/a (needs ").removesuffix(")") for text in texts)
    return f"n/a\n{above}" if texts[0].startswith("n/a") else f"{above}\n{below}"


def beyond_text(deadline_ms: float | None) -> str:
    """What a percentile that reaches queries without a result is later than."""
    return "> deadline" if deadline_ms is None else f"> {deadline_ms:.0f}"


def estimate_text(estimate: Estimate) -> str:
    """LoadGen's early-stopping estimate, or what it needs."""
    name = level_name(estimate.p)
    if estimate.value_ns is None:
        return f"early-stopping estimate of the {name} n/a (needs n >= {estimate.needs}, has {estimate.queries})"
    return (
        f"early-stopping estimate of the {name} {estimate.value_ns / 1e6:.1f} ms "
        f"({estimate.discarded} of {estimate.queries} discarded)"
    )


def criterion_text(criterion: Criterion) -> str:
    """LoadGen's rule for Server, with the numbers that decide it."""
    allowed = "at so few none is enough" if criterion.allowed is None else f"{criterion.allowed} allowed"
    met = "met" if criterion.met else f"NOT met (needs n >= {criterion.needs})"
    return (
        f"early-stopping rule {met}: {criterion.over} of {criterion.queries} queries over "
        f"{criterion.target_ns / 1e6:g} ms, {allowed}"
    )


def _quantile(quantile: Quantile, deadline_ms: float | None) -> str:
    value, interval = value_text(quantile, deadline_ms), interval_text(quantile, deadline_ms)
    if value.startswith("n/a"):
        return f"{quantile.name} {value}"
    return f"{quantile.name} {value} ms {interval if interval.startswith('[') else f'[{interval}]'}"


def _end(quantile: Quantile, part: Part, deadline_ms: float | None) -> str | None:
    if part in quantile.beyond:
        return beyond_text(deadline_ms)
    value_ms = quantile.low_ms if part == "low" else quantile.high_ms
    return None if value_ms is None else f"{value_ms:.1f}"


def _loadgen(found: Latencies) -> list[str]:
    own = ", ".join(f"{name} {value_ns / 1e6:.1f}" for name, value_ns in found.loadgen_ns.items())
    texts = [f"percentiles of all queries: {own} ms"]
    texts += [estimate_text(found.estimate)] if found.estimate else []
    return texts + ([criterion_text(found.criterion)] if found.criterion else [])
