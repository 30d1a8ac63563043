"""Figures of a repeated run, where the run is the unit: its queries share one host, hour and set of environments.

Pooling the queries of several runs would take those for independent, and call a shift between runs a difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Final

from serverless_mlperf.percentiles import CONFIDENCE

MIN_RUNS: Final = 3
"""Below it an interval over runs says nothing: Student's t of two runs is +- 9 standard deviations wide."""


@dataclass(frozen=True, slots=True)
class OverRuns:
    """One figure over the runs of a cell."""

    values: tuple[float | None, ...]
    """One per run, in order; None where the run has none."""
    mean: float | None
    """Of the runs' values, with the interval below; None when a run has no value: the mean of the rest would lie."""
    median: float | None
    low: float | None
    """95 % interval of the mean over runs (Student's t)."""
    high: float | None
    missing: str | None
    """Why there is no mean or no interval."""


def over_runs(values: Sequence[float | None]) -> OverRuns:
    """Summarise one figure, a quantile say, over runs."""
    found = [value for value in values if value is not None]
    if not values or len(found) < len(values):
        reason = f"no value in {len(values) - len(found)} of {len(values)} runs" if values else "no run"
        return OverRuns(tuple(values), None, None, None, None, reason)
    mean, middle = fmean(found), median(found)
    if len(found) < MIN_RUNS:
        reason = f"interval n/a (needs >= {MIN_RUNS} runs, has {len(found)})"
        return OverRuns(tuple(values), mean, middle, None, None, reason)
    from scipy.special import stdtrit  # Student's t; not at the top: a command that only refuses needs none

    half = float(stdtrit(len(found) - 1, (1 + CONFIDENCE) / 2)) * stdev(found) / len(found) ** 0.5
    return OverRuns(tuple(values), mean, middle, mean - half, mean + half, None)
