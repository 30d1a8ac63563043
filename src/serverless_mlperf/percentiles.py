"""Percentiles of a sample with what is known of them: exact order-statistic intervals, and "not known" said as such.

A percentile is an order statistic (`inverted_cdf`: a value that was measured, never one between two). Its interval is
a pair of order statistics too, with ranks from the binomial distribution (as `scipy.stats.quantile_test`): it assumes
independent draws and nothing else. Queries without a good result are censored: they count as later than everything
measured, so a percentile or bound that reaches them is `beyond` the deadline, not left out.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
import math
from typing import Final, Literal

import numpy as np

LEVELS: Final = (0.5, 0.9, 0.95, 0.97, 0.99, 0.999)
"""The percentiles LoadGen reports (loadgen/results.h, `latency_percentiles`)."""
CONFIDENCE: Final = 0.95
"""Of every interval, two-sided."""

Part = Literal["value", "low", "high"]
Values = Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Quantile:
    """One percentile with its 95 % interval; a part is None where the sample cannot give it."""

    p: float
    value_ms: float | None
    low_ms: float | None
    high_ms: float | None
    count: int = 0
    """Size of the sample, censored queries included."""
    beyond: tuple[Part, ...] = ()
    """Parts that are None because they reach censored queries: later than the deadline."""

    @property
    def name(self) -> str:
        """`p50` ... `p99.9`."""
        return level_name(self.p)

    @property
    def value_needs(self) -> int:
        """How many queries give this percentile a value below the largest one."""
        return min_count_for_value(self.p)

    @property
    def interval_needs(self) -> int:
        """How many queries give a finite two-sided interval."""
        return min_count_for_interval(self.p)


def level_name(p: float) -> str:
    """`p50` ... `p99.9`."""
    return f"p{p * 100:g}"


def min_count_for_value(p: float) -> int:
    """Least sample in which the percentile is not simply the largest value: 10 for the p90, 1000 for the p99.9."""
    return math.ceil(round(1 / (1 - p), 6))


def min_count_for_interval(p: float) -> int:
    """Least sample with a finite two-sided 95 % interval.

    The lower end needs (1 - p)^n <= 2.5 %, the upper one p^n <= 2.5 %: 6 for the p50, 36, 72, 122, 368 and 3688.
    """
    return math.ceil(math.log((1 - CONFIDENCE) / 2) / math.log(max(p, 1 - p)))


def quantile(values_ms: Values, p: float) -> Quantile:
    """One percentile of at least one value, with its interval; of a small sample it may be the largest value."""
    return _quantile(np.sort(np.asarray(values_ms, dtype=float)), p)


def percentiles(values_ms: Values, censored: int = 0) -> tuple[Quantile, ...]:
    """All levels of a sample to which `censored` queries without a good result are added; () of an empty one.

    A level whose order statistic would be the largest value has no value: it is bounded by nothing that was seen.
    """
    measured = np.sort(np.asarray(values_ms, dtype=float))
    ordered = np.concatenate([measured, np.full(censored, np.inf)])
    if not len(ordered):
        return ()
    return tuple(_quantile(ordered, p, len(ordered) >= min_count_for_value(p)) for p in LEVELS)


def without_interval(found: Quantile) -> Quantile:
    """The value alone, of a sample whose values are no independent draws."""
    beyond: tuple[Part, ...] = ("value",) if "value" in found.beyond else ()
    return replace(found, low_ms=None, high_ms=None, beyond=beyond)


def _quantile(ordered_ms: np.ndarray[tuple[int], np.dtype[np.float64]], p: float, valued: bool = True) -> Quantile:
    count = len(ordered_ms)
    low, high = interval_ranks(count, p)
    ranks: dict[Part, int | None] = {"value": _rank(count, p) if valued else None, "low": low, "high": high}
    found = {part: None if rank is None else float(ordered_ms[rank]) for part, rank in ranks.items()}
    beyond = tuple(part for part, value in found.items() if value == math.inf)
    finite = {part: None if part in beyond else value for part, value in found.items()}
    return Quantile(p, finite["value"], finite["low"], finite["high"], count, beyond)


def _rank(count: int, p: float) -> int:
    """0-based, as numpy's `inverted_cdf`; numpy itself would turn infinite values into nan."""
    return int(np.quantile(np.arange(count), p, method="inverted_cdf"))


@lru_cache(maxsize=4096)
def interval_ranks(count: int, p: float, tail: float = (1 - CONFIDENCE) / 2) -> tuple[int | None, int | None]:
    """Ranks of the ends, 0-based, with at most `tail` outside each; None where the sample is too small for that end."""
    # Not at the top: a command that only refuses needs none. `scipy.stats` has both as one call, and takes 0.6 s.
    from scipy.special import bdtr, bdtrc

    numbers = range(count + 1)
    low = bisect_left(numbers, tail, key=lambda below: float(bdtr(below, count, p))) - 1
    high = bisect_left(numbers, -tail, key=lambda below: -float(bdtrc(below, count, p)))
    return low if low >= 0 else None, high if high < count else None
