"""What has been measured of each configuration: the input of every decision. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
import math
from statistics import fmean

import numpy as np


@dataclass(frozen=True)
class Run:
    """One run of a candidate: warm queries that ended well, as the caller sees them."""

    latencies_ms: tuple[float, ...]
    usd_per_million: float
    """Of its warm queries."""
    queries: int
    """Measured, tries that do not count included."""

    def __post_init__(self) -> None:
        if not self.latencies_ms or not all(0 < each < math.inf for each in self.latencies_ms):
            raise ValueError("a run needs latencies that are positive times")
        if not 0 < self.usd_per_million < math.inf:
            raise ValueError(f"a run needs a price: {self.usd_per_million}")

    @cached_property
    def mean_ms(self) -> float:
        """Arithmetic."""
        return fmean(self.latencies_ms)

    @cached_property
    def centre_ms(self) -> float:
        """Geometric mean: one late query does not shift it much."""
        return math.exp(fmean(map(math.log, self.latencies_ms)))


@dataclass(frozen=True)
class Candidate:
    """A configuration and its runs so far."""

    name: str
    runs: tuple[Run, ...] = ()
    cold_ms: tuple[float, ...] = ()
    """Cold starts as the caller sees them."""
    accuracy: float | None = None
    accuracy_images: int = 0
    failed: str | None = None
    """Why it cannot be judged."""
    lost_queries: int = 0
    """Of runs and cold starts that are not among `runs`."""

    @property
    def counts(self) -> tuple[int, ...]:
        """Queries of each run."""
        return tuple(len(run.latencies_ms) for run in self.runs)

    @property
    def queries(self) -> int:
        """Measured of it, whatever came of them."""
        return sum(run.queries for run in self.runs) + self.lost_queries

    @cached_property
    def ordered_ms(self) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        """All latencies, ascending."""
        return np.sort(np.concatenate([np.asarray(run.latencies_ms, dtype=float) for run in self.runs]))

    @property
    def centres(self) -> tuple[float, ...]:
        """Geometric means of the runs."""
        return tuple(run.centre_ms for run in self.runs)

    @property
    def means(self) -> tuple[float, ...]:
        """Arithmetic means of the runs."""
        return tuple(run.mean_ms for run in self.runs)

    @property
    def costs(self) -> tuple[float, ...]:
        """Prices of the runs."""
        return tuple(run.usd_per_million for run in self.runs)


def queries_of(candidates: Sequence[Candidate]) -> int:
    """All that was measured."""
    return sum(candidate.queries for candidate in candidates)
