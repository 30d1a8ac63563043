"""How many queries a tuning takes: the runs of a candidate, the budget, and what each claim may be wrong by. Pure.

The number of queries follows from the objectives. That a quantile is under its bound can be told from n queries only
when p^n is at most the permitted error, and none of them is over it. With three times as many it is told, in about nine
of ten cases, of a candidate of which a quarter of the permitted share is over: of a p99, one query in 400.

Half of the permitted error is for telling that a candidate meets the objectives when it does not: shared by all
candidates (any of them may be the wrong one) and by the two looks at which it can be told, not by the objectives (all
have to be met). The other half is for dropping the best one: a quarter for telling that it misses (shared by objectives
and looks), a quarter for telling that another is better (shared by the others and by looks).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
import math
from typing import Final

from serverless_mlperf.config import MIN_COLD
from serverless_mlperf.errors import InputError
from serverless_mlperf.tuning.bounds import queries_for_upper_bound
from serverless_mlperf.tuning.objectives import Objective

CONFIDENCE: Final = 0.95
FIRST: Final = 64
"""Queries of a first run: the least of which LoadGen says VALID in SingleStream (early stopping)."""
LET_SOME_BE_OVER: Final = 3
"""So many times the least number of queries are those of one candidate, at most."""
LOOKS: Final = 2
"""Runs, the last ones, after which a candidate can be told to meet its objectives."""
LEAST_RUNS: Final = 4
"""Of one candidate: with fewer, next to nothing is known of what runs spread by."""
MOST_RUNS: Final = 10
BUDGET: Final = 0.5
"""Of the queries of the exhaustive grid."""


@dataclass(frozen=True, slots=True)
class Tails:
    """Permitted errors, one-sided, of single claims."""

    meets: float
    misses: float
    worse: float


@dataclass(frozen=True, slots=True)
class Ladder:
    """The plan of a tuning."""

    candidates: int
    objectives: int
    runs: tuple[int, ...]
    """Queries of each run of a candidate that is not dropped: in sum they double from run to run."""
    budget: int
    """Queries of all candidates together, at most."""
    cold: int = 0
    """Cold starts forced per candidate."""

    @property
    def most(self) -> int:
        """Queries of one candidate that gets all runs."""
        return sum(self.runs)

    @property
    def grid(self) -> int:
        """Queries of the exhaustive grid: all runs of all candidates."""
        return self.candidates * (self.most + self.cold)

    @property
    def first_look(self) -> int:
        """Runs after which a candidate can first be told to meet its objectives."""
        return max(2, len(self.runs) - LOOKS + 1)

    def tails(self, confidence: float) -> Tails:
        """What each claim may be wrong by, so that all hold together with this confidence."""
        return _tails(confidence, self.candidates, self.objectives, len(self.runs))


def make_ladder(
    objectives: Sequence[Objective],
    candidates: int,
    confidence: float = CONFIDENCE,
    first: int = FIRST,
    most: int | None = None,
    budget: float = BUDGET,
) -> Ladder:
    """Plan a tuning; `most` are the queries of one candidate at most. Raises InputError where they are too few."""
    meets = _tails(confidence, candidates, len(objectives), 1).meets
    needs, why = _needs(objectives, meets)
    least = max(needs, first * 2 ** (LEAST_RUNS - 1))
    wanted = max(LET_SOME_BE_OVER * needs, least) if most is None else most
    if wanted < least:
        reason = f"{why} is told from {needs}" if needs == least else f"{LEAST_RUNS} runs are, the first of {first}"
        raise InputError(f"--most-queries: {wanted} are too few: {reason}; give at least {least}")
    cold = max((_cold_starts(o.p, meets) for o in objectives if o.kind == "cold" and o.p), default=0)
    runs = _runs(wanted, first)
    grid = candidates * (sum(runs) + cold)
    once = candidates * (runs[0] + cold)
    return Ladder(
        candidates, len(objectives), runs, grid if candidates == 1 else max(once, math.floor(budget * grid)), cold
    )


def _needs(objectives: Sequence[Objective], tail: float) -> tuple[int, str]:
    """Of the objective that needs the most."""
    found = [(queries_for_upper_bound(o.p, tail), o.name) for o in objectives if o.kind == "quantile" and o.p]
    return max(found, default=(0, ""))


def _cold_starts(p: float, tail: float) -> int:
    """As with queries."""
    return max(MIN_COLD, LET_SOME_BE_OVER * queries_for_upper_bound(p, tail))


def _runs(most: int, first: int) -> tuple[int, ...]:
    """Sums of `most`, half of it, a quarter ... as long as the first is not smaller than `first`."""
    steps = min(MOST_RUNS, 1 + math.floor(math.log2(most / first) + 1e-9))
    sums = [math.ceil(most / 2**step) for step in reversed(range(steps))]
    return tuple(after - before for before, after in pairwise([0, *sums]))


def _tails(confidence: float, candidates: int, objectives: int, runs: int) -> Tails:
    error = 1 - confidence
    return Tails(
        meets=error / 2 / candidates / LOOKS,
        misses=error / 4 / objectives / runs,
        worse=error / 4 / max(1, candidates - 1) / runs,
    )
