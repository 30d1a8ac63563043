"""Statistics of a comparison: pure. The run is the unit, for a host differs from run to run by more than queries do.

Each run gives one figure (a quantile, say), on the logarithmic scale, where a ratio is a difference. Base and new are
compared by Student's t with their common variance; over the cells of a matrix the variances are moderated towards what
they have in common (Smyth 2004, the empirical Bayes estimate of limma), so that five runs of many cells tell about as
much as more runs of one. Pooling the queries of several runs would call a shift between runs a difference.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
import math
from statistics import fmean, variance
from typing import Final, Literal, TypeVar

CONFIDENCE: Final = 0.95
SLOWER_WEIGHT: Final = 0.8
"""Share of the permitted false alarms that is spent on `slower`."""
MAX_RUNS: Final = 1000
"""More would not be measured."""
LEAST_VARIANCE: Final = 1e-12
"""Of runs that agree to the last digit: a millionth of the figure."""

KeyT = TypeVar("KeyT", bound=Hashable)
Verdict = Literal["faster", "slower", "same", "cannot tell"]


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of one cell: new over base."""

    base_runs: int
    new_runs: int
    ratio: float | None
    """Of the geometric means over runs; greater is slower. None without a run on either side."""
    low: float | None
    """95 % interval of the ratio over runs; None where there are too few."""
    high: float | None
    p: float | None
    """Of no change (see `_p`), adjusted for the number of figures compared (Holm 1979)."""
    effect: float | None
    """Difference over the standard deviation between runs, unbiased (Hedges' g)."""
    verdict: Verdict
    more_runs: int | None = None
    """`cannot tell`: about so many more runs of each would tell a difference of the margin."""


@dataclass(frozen=True, slots=True)
class _Spread:
    """Variance between runs of the logarithm, and its degrees of freedom."""

    variance: float
    freedom: float


def compare(
    figures: Mapping[KeyT, tuple[Sequence[float], Sequence[float]]], margin: float = 0.05
) -> dict[KeyT, Change]:
    """Compare (base runs, new runs) of every figure; `margin`: a change within it is `same`.

    Figures are positive times (for a rate, give its inverse). Raises ValueError for one that is not.
    """
    logs = {key: (_logs(base), _logs(new)) for key, (base, new) in figures.items()}
    spreads = _moderated({key: found for key, both in logs.items() if (found := _spread(*both))})
    tests = {key: _p(*logs[key], spread) for key, spread in spreads.items()}
    adjusted = holm(tests)
    return {key: _change(*both, spreads.get(key), adjusted.get(key), margin) for key, both in logs.items()}


def holm(p_values: Mapping[KeyT, float]) -> dict[KeyT, float]:
    """P values that hold for all tests together: the smallest counts for all, the next for one less, and so on."""
    adjusted: dict[KeyT, float] = {}
    highest = 0.0
    for rank, (key, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        highest = max(highest, min(1.0, p * (len(p_values) - rank)))
        adjusted[key] = highest
    return adjusted


def _logs(values: Sequence[float]) -> tuple[float, ...]:
    if not all(value > 0 and math.isfinite(value) for value in values):
        raise ValueError(f"figures must be positive: {values}")
    return tuple(math.log(value) for value in values)


def _spread(base: Sequence[float], new: Sequence[float]) -> _Spread | None:
    """Common variance of both sides; None when no side has two runs, or one has none."""
    freedom = max(0, len(base) - 1) + max(0, len(new) - 1)
    if not base or not new or not freedom:
        return None
    squares = sum((len(side) - 1) * variance(side) for side in (base, new) if len(side) > 1)
    return _Spread(max(squares / freedom, LEAST_VARIANCE), freedom)


def _moderated(spreads: Mapping[KeyT, _Spread]) -> dict[KeyT, _Spread]:
    """Variances shrunk towards a common one, as far as they vary no more than chance makes them (Smyth 2004, 6.2)."""
    if len(spreads) < 3:
        return dict(spreads)
    prior = _prior(list(spreads.values()))
    return {key: _Spread(_between(spread, prior), spread.freedom + prior.freedom) for key, spread in spreads.items()}


def _between(spread: _Spread, prior: _Spread) -> float:
    if math.isinf(prior.freedom):
        return prior.variance
    freedom = spread.freedom + prior.freedom
    return (spread.freedom * spread.variance + prior.freedom * prior.variance) / freedom


def _prior(spreads: Sequence[_Spread]) -> _Spread:
    """What the variances have in common: from mean and variance of their logarithms (fitFDist in limma)."""
    from scipy.special import digamma, polygamma  # not at the top: it takes 0.3 s

    halves = [spread.freedom / 2 for spread in spreads]
    shifted = [
        math.log(s.variance) - float(digamma(half)) + math.log(half) for s, half in zip(spreads, halves, strict=True)
    ]
    middle = fmean(shifted)
    excess = variance(shifted) - fmean(float(polygamma(1, half)) for half in halves)
    if excess <= 0:
        return _Spread(math.exp(middle), math.inf)
    half = _inverse_trigamma(excess)
    return _Spread(math.exp(middle + float(digamma(half)) - math.log(half)), 2 * half)


def _inverse_trigamma(value: float) -> float:
    """The x with trigamma(x) = value > 0."""
    from scipy.optimize import brentq
    from scipy.special import polygamma

    return float(brentq(lambda x: float(polygamma(1, x)) - value, 1e-8, 1e8 / min(value, 1.0) + 1e8))


def _error(base: Sequence[float], new: Sequence[float], spread: _Spread) -> float:
    """Standard error of the difference of the means."""
    return math.sqrt(spread.variance * (1 / len(base) + 1 / len(new)))


def _p(base: Sequence[float], new: Sequence[float], spread: _Spread) -> float:
    """Of no change, both ways, by weight: of the 5 % that may be wrong, 4 are for `slower` and 1 for `faster`.

    A comparison is there to find what has become slower; an improvement can wait for more runs.
    """
    from scipy.stats import t as student

    distance, freedom = (fmean(new) - fmean(base)) / _error(base, new, spread), _finite(spread.freedom)
    slower, faster = float(student.sf(distance, freedom)), float(student.cdf(distance, freedom))
    return min(1.0, slower / SLOWER_WEIGHT, faster / (1 - SLOWER_WEIGHT))


def _change(
    base: Sequence[float], new: Sequence[float], spread: _Spread | None, p: float | None, margin: float
) -> Change:
    counts = len(base), len(new)
    if not base or not new:
        return Change(*counts, None, None, None, None, None, "cannot tell")
    difference = fmean(new) - fmean(base)
    if spread is None or p is None:
        return Change(*counts, math.exp(difference), None, None, None, None, "cannot tell", more_runs=2)
    half = _half_width(CONFIDENCE, spread, *counts)
    verdict = _verdict(difference, _half_width(2 * CONFIDENCE - 1, spread, *counts), p, math.log1p(margin))
    return Change(
        *counts,
        ratio=math.exp(difference),
        low=math.exp(difference - half),
        high=math.exp(difference + half),
        p=p,
        effect=_hedges(difference, spread),
        verdict=verdict,
        more_runs=_more_runs(spread, min(counts), math.log1p(margin)) if verdict == "cannot tell" else None,
    )


def _verdict(difference: float, half_90: float, p: float, margin: float) -> Verdict:
    """`same` by two one-sided tests (Schuirmann 1987): the 90 % interval lies within the margin, whatever p says."""
    if abs(difference) + half_90 <= margin:
        return "same"
    if p < 1 - CONFIDENCE:
        return "slower" if difference > 0 else "faster"
    return "cannot tell"


def _half_width(confidence: float, spread: _Spread, base_runs: int, new_runs: int) -> float:
    from scipy.stats import t as student

    error = math.sqrt(spread.variance * (1 / base_runs + 1 / new_runs))
    return float(student.ppf((1 + confidence) / 2, _finite(spread.freedom))) * error


def _hedges(difference: float, spread: _Spread) -> float:
    """With the correction for few runs (Hedges 1981, its approximation)."""
    return difference / math.sqrt(spread.variance) * (1 - 3 / (4 * _finite(spread.freedom) - 1))


def _more_runs(spread: _Spread, runs: int, margin: float) -> int:
    """Until the 90 % interval of no change is within the margin; 0 would be no answer."""
    for wanted in range(max(2, runs + 1), MAX_RUNS):
        if _half_width(2 * CONFIDENCE - 1, _Spread(spread.variance, 2.0 * wanted - 2), wanted, wanted) <= margin:
            return wanted - runs
    return MAX_RUNS


def _finite(freedom: float) -> float:
    """SciPy's t has no infinite degrees of freedom; from here on it is the normal distribution to six digits."""
    return min(freedom, 1e7)
