"""Intervals of a tuning: of a quantile over queries and runs, and of a mean over runs. Pure.

Runs are the unit: queries of one run share a host, an hour and an environment. So a quantile's interval has two
parts. Order statistics with binomial ranks say what the queries can tell; it is widened by what the runs can tell,
Student's t on the spread of the runs' geometric means, with the runs weighted by their queries. The sum of both half
widths is never less than one for both together. The spread is that of all candidates, pooled, or the candidate's own
where that is more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
import math
from statistics import variance
from typing import Final

import numpy as np

from serverless_mlperf.percentiles import interval_ranks

LEAST_VARIANCE: Final = 1e-8
"""Between runs, of the logarithm: a ten-thousandth of the figure. Runs that agree better do so by chance."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and where it lies; 0 and infinity where nothing is known of an end."""

    value: float
    low: float = 0.0
    high: float = math.inf

    def times(self, other: "Interval") -> "Interval":
        """Of the product, whatever the two have to do with each other."""
        return Interval(self.value * other.value, self.low * other.low, self.high * other.high)

    def over(self, other: "Interval") -> "Interval":
        """Of the quotient."""
        high = math.inf if not other.low else self.high / other.low
        return Interval(self.value / other.value, self.low / other.high, high)


@dataclass(frozen=True, slots=True)
class Spread:
    """Variance between runs of a logarithm, and its degrees of freedom."""

    variance: float
    freedom: int

    def half_width(self, share: float, tail: float) -> float:
        """Of a one-sided interval; `share`: the sum of the runs' squared weights."""
        from scipy.special import stdtrit  # not at the top: a command that only refuses needs none

        return -float(stdtrit(self.freedom, tail)) * math.sqrt(self.variance * share)


def queries_for_upper_bound(p: float, tail: float) -> int:
    """Least number of queries of which a quantile has an upper bound: p^n <= tail (none of them over it)."""
    return math.ceil(math.log(tail) / math.log(p) - 1e-9)


def allowed_over(queries: int, p: float, tail: float) -> int | None:
    """How many of the queries may be over a bound that the quantile is to be told to be under; None: too few."""
    _, high = interval_ranks(queries, p, tail)
    return None if high is None else queries - 1 - high


def pooled_spread(groups: Iterable[Sequence[float]]) -> Spread | None:
    """Common variance of the logarithms within groups of positive figures; None when no group has two."""
    logs = [[math.log(value) for value in group] for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in logs)
    if not freedom:
        return None
    squares = sum((len(group) - 1) * variance(group) for group in logs)
    return Spread(max(squares / freedom, LEAST_VARIANCE), freedom)


def spread_of(own: Sequence[float], common: Spread | None) -> Spread | None:
    """The common spread, or one's own where that is more: with the common freedom, for alone it has next to none."""
    mine = pooled_spread([own])
    if common is None or mine is None or mine.variance <= common.variance:
        return common
    return Spread(mine.variance, common.freedom)


def weights(counts: Sequence[int]) -> tuple[float, ...]:
    """Of runs, by their queries."""
    return tuple(count / sum(counts) for count in counts)


def squared(counts: Sequence[int]) -> float:
    """Sum of the squared weights: one over the number of runs, were they equal."""
    return sum(weight**2 for weight in weights(counts))


def over_runs(
    values: Sequence[float], counts: Sequence[int], spread: Spread | None, tails: tuple[float, float]
) -> Interval:
    """Of a figure that each run has: the weighted geometric mean; `tails` are those of the lower and the upper end."""
    value = math.exp(sum(w * math.log(v) for w, v in zip(weights(counts), values, strict=True)))
    return widened(Interval(value, value, value), counts, spread, tails)


def quantile_interval(
    ordered: "np.ndarray[tuple[int], np.dtype[np.float64]]", p: float, tails: tuple[float, float]
) -> Interval:
    """Of ascending values that are independent draws."""
    low, high = interval_ranks(len(ordered), p, tails[0])[0], interval_ranks(len(ordered), p, tails[1])[1]
    rank = max(0, math.ceil(len(ordered) * p - 1e-9) - 1)
    return Interval(
        float(ordered[rank]),
        0.0 if low is None else float(ordered[low]),
        math.inf if high is None else float(ordered[high]),
    )


def widened(found: Interval, counts: Sequence[int], spread: Spread | None, tails: tuple[float, float]) -> Interval:
    """By what the runs can tell; nothing is known of either end while no candidate has two runs."""
    if spread is None:
        return Interval(found.value)
    share = squared(counts)
    low, high = (spread.half_width(share, tail) for tail in tails)
    return Interval(found.value, found.low * math.exp(-low), found.high * _exp(high))


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
