"""The shape of a table of latencies over memory sizes: pure.

A function of m MB has m / 1769 vCPU, so latency x m / 1769 is the CPU time of a query in vCPU-ms. Where an engine uses
all of its share, that is one number per engine and model, whatever the size: the shape that can be compared between
machines. Absolute times depend on the CPU.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import correlation, fmean
from typing import Final

from serverless_mlperf.platforms.local.model import cpu_share
from serverless_mlperf.report.figures import Bar

SETTLED_MIB: Final = 1536
"""From this size on the published series are constant to 3 %; below, fixed costs and throttling show."""
STRIKING: Final = 0.3
"""Deviations of two labels that together are at least so large may be an exchange."""
Series = tuple[str, str]
"""Model and engine."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One model with one engine over the sizes."""

    vcpu_ms: float
    """Mean over the sizes from SETTLED_MIB on."""
    spread: float
    """Largest deviation of one of them from the mean, as a share."""
    below: Mapping[int, float]
    """Smaller sizes: deviation from that mean, as a share."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Two engines whose values at one size fit better exchanged."""

    model: str
    memory_mib: int
    engines: tuple[str, str]
    deviation: float
    """Sum of both deviations from their series, as they stand."""
    exchanged: float
    """The same with the labels exchanged."""


def vcpu_ms(bar: Bar) -> float | None:
    """CPU time of a query, if all of the share is used."""
    return None if bar.latency_ms is None else bar.latency_ms * cpu_share(bar.memory_mib)


def shapes(bars: Iterable[Bar]) -> dict[Series, Shape]:
    """Of every series with at least one settled size."""
    found: dict[Series, dict[int, float]] = {}
    for bar in bars:
        value = vcpu_ms(bar)
        if value is not None:
            found.setdefault((bar.model, bar.engine), {})[bar.memory_mib] = value
    return {series: made for series, values in found.items() if (made := _shape(values))}


def ratios(known: Mapping[Series, Shape], base_engine: str = "openvino") -> dict[Series, float]:
    """What an engine takes against the base engine, by model."""
    return {
        (model, engine): shape.vcpu_ms / known[model, base_engine].vcpu_ms
        for (model, engine), shape in known.items()
        if (model, base_engine) in known and engine != base_engine
    }


def exchanges(bars: Sequence[Bar]) -> list[Exchange]:
    """Pairs of engines whose values at a size are striking, and less than half so when exchanged."""
    known = shapes(bars)
    values = {(bar.model, bar.engine, bar.memory_mib): value for bar in bars if (value := vcpu_ms(bar))}
    places = sorted({(bar.model, bar.memory_mib) for bar in bars})
    found = []
    for model, memory_mib in places:
        engines = [e for m, e in known if m == model and (m, e, memory_mib) in values]
        for one, other in combinations(engines, 2):
            pair = values[model, one, memory_mib], values[model, other, memory_mib]
            means = known[model, one].vcpu_ms, known[model, other].vcpu_ms
            deviation, exchanged = _deviation(pair, means), _deviation(pair[::-1], means)
            if deviation >= STRIKING and exchanged < deviation / 2:
                found.append(Exchange(model, memory_mib, (one, other), deviation, exchanged))
    return found


def rate_correlation(bars: Iterable[Bar]) -> float | None:
    """Correlation of latency and rate: a function that limits its rate has a negative one; None for fewer than 3."""
    known = [(b.latency_ms, b.qps) for b in bars if b.latency_ms is not None and b.qps is not None]
    return correlation(*zip(*known, strict=True)) if len(known) > 2 else None


def _shape(values: Mapping[int, float]) -> Shape | None:
    settled = [value for memory_mib, value in values.items() if memory_mib >= SETTLED_MIB]
    if not settled:
        return None
    mean = fmean(settled)
    below = {memory_mib: value / mean - 1 for memory_mib, value in values.items() if memory_mib < SETTLED_MIB}
    return Shape(mean, max(abs(value / mean - 1) for value in settled), below)


def _deviation(values: Sequence[float], means: Sequence[float]) -> float:
    return sum(abs(value / mean - 1) for value, mean in zip(values, means, strict=True))
