"""Tunings of simulated cells whose true figures are known: how often one is right, and at what cost. Pure.

A matrix has engines and memory sizes as a function's CPU share makes them: latency falls with memory, the price hardly
changes. Queries have 15 % spread, one in 500 takes twice as long, and each run is shifted as a whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
import math
from typing import Final

import numpy as np

from serverless_mlperf.tuning.allocation import Step, next_step
from serverless_mlperf.tuning.candidates import Candidate, Run
from serverless_mlperf.tuning.judging import Question
from serverless_mlperf.tuning.ladder import make_ladder
from serverless_mlperf.tuning.objectives import Goal, Objective
from serverless_mlperf.tuning.recommendation import Recommendation, recommend

SPREAD, LATE_SHARE, LATE = 0.15, 0.002, 2.0
RUN_SHIFT: Final = 0.03
SIZES: Final = (768, 1536, 2240, 3008)
USD_PER_GB_SECOND, USD_PER_MILLION_REQUESTS = 16.67, 0.37
"""Of a million: Lambda's duration in the first tier, requests and logs."""


@dataclass(frozen=True, slots=True)
class Truth:
    """A simulated cell."""

    name: str
    median_ms: float
    memory_mib: int
    run_shift: float
    """Standard deviation of the logarithm from run to run."""

    def run(self, rng: np.random.Generator, queries: int) -> Run:
        """Measure."""
        times = self._times(rng, rng.normal(0, self.run_shift), (queries,))
        return Run(tuple(times.tolist()), self.usd(float(times.mean())), queries)

    def usd(self, mean_ms: float) -> float:
        """Of a million queries."""
        return mean_ms / 1000 * self.memory_mib / 1024 * USD_PER_GB_SECOND + USD_PER_MILLION_REQUESTS

    def known(self, rng: np.random.Generator, p: float) -> "Known":
        """The true figures, from many queries of many runs."""
        times = self._times(rng, rng.normal(0, self.run_shift, (1000, 1)), (1000, 50)).ravel()
        return Known(float(np.quantile(times, p)), self.usd(float(times.mean())))

    def _times(self, rng: np.random.Generator, shift: "float | np.ndarray", shape: tuple[int, ...]) -> np.ndarray:
        times = self.median_ms * np.exp(shift + rng.normal(0, SPREAD, shape))
        return np.where(rng.random(shape) < LATE_SHARE, LATE * times, times)


@dataclass(frozen=True, slots=True)
class Known:
    """A cell's true figures."""

    latency_ms: float
    usd: float

    def goal(self, goal: Goal) -> float:
        """What is to be least."""
        return {"cost": self.usd, "latency": self.latency_ms, "balanced": self.usd * self.latency_ms}[goal]


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of tuning."""

    p: float
    goal: Goal
    cells: int
    clear: bool = True
    """The bound lies 20 % or more from every cell's figure; else in the middle of two neighbours, however near."""
    out_of_reach: bool = False
    """The bound lies below all of them."""
    run_shift: float = RUN_SHIFT


@dataclass(frozen=True, slots=True)
class Outcome:
    """One simulated tuning, and what all runs of all cells would have recommended by the same rule."""

    tuned: Recommendation
    grid: Recommendation
    figures: Mapping[str, Known]

    @property
    def share(self) -> float:
        """Of the grid's queries."""
        return self.tuned.queries / self.grid.queries

    @property
    def true_best(self) -> str | None:
        """Of all that meet, by the true figures."""
        question = self.tuned.question
        meet = [name for name, known in self.figures.items() if known.latency_ms <= question.latency.bound]
        return min(meet, key=lambda name: self.figures[name].goal(question.goal), default=None)

    @property
    def grid_best(self) -> str | None:
        """What the grid recommends."""
        return self.grid.best.judged.name if self.grid.best else None

    @property
    def meets(self) -> bool:
        """Whether what was recommended, if anything, truly meets."""
        best = self.tuned.best
        return best is None or self.figures[best.judged.name].latency_ms <= self.tuned.question.latency.bound

    def is_as_good_as(self, name: str | None) -> bool:
        """Whether what was recommended meets and is at most `same` worse than a cell; none where that is none."""
        best, question = self.tuned.best, self.tuned.question
        if best is None or name is None:
            return best is None and name is None
        mine, other = (self.figures[each].goal(question.goal) for each in (best.judged.name, name))
        return self.meets and mine <= other * (1 + question.same)


def simulate(seed: int, case: Case) -> Outcome:
    """One tuning; the same for the same seed."""
    rng = np.random.default_rng(seed)
    truths = _matrix(rng, case)
    figures = {truth.name: truth.known(rng, case.p) for truth in truths}
    objective = Objective("quantile", _bound(rng, case, [each.latency_ms for each in figures.values()]), case.p)
    question = Question((objective,), case.goal, make_ladder((objective,), case.cells))
    runs = {truth.name: tuple(truth.run(rng, queries) for queries in question.ladder.runs) for truth in truths}
    grid = recommend(question, [Candidate(name, mine) for name, mine in runs.items()], "all runs")
    return Outcome(_tuned(question, runs), grid, figures)


def _tuned(question: Question, runs: Mapping[str, tuple[Run, ...]]) -> Recommendation:
    candidates = {name: Candidate(name) for name in runs}
    while isinstance(step := next_step(question, list(candidates.values())), Step):
        candidates[step.name] = replace(candidates[step.name], runs=runs[step.name][: step.run])
    return recommend(question, list(candidates.values()), step.reason)


def _matrix(rng: np.random.Generator, case: Case) -> list[Truth]:
    """Engines of different speed at each size; prices and spreads differ a little between sizes."""
    engines = rng.uniform(15, 80, math.ceil(case.cells / len(SIZES)))
    points = [(number, size) for number in range(len(engines)) for size in SIZES][: case.cells]
    return [
        Truth(
            f"{number}-{size}",
            engines[number] * 1769 / size * rng.uniform(0.9, 1.1),
            size,
            case.run_shift * rng.uniform(0.5, 1.5),
        )
        for number, size in points
    ]


def _bound(rng: np.random.Generator, case: Case, latencies_ms: Sequence[float]) -> float:
    """Between two neighbours, above all, or below all."""
    ordered = sorted(latencies_ms)
    if case.out_of_reach:
        return ordered[0] / rng.uniform(1.2, 2)
    least = 1.2**2 if case.clear else 1.0
    pairs = [(low, high) for low, high in zip(ordered, [*ordered[1:], ordered[-1] * 1.5], strict=True)]
    apart = [pair for pair in pairs if pair[1] / pair[0] >= least]
    low, high = apart[int(rng.integers(len(apart)))]
    return math.sqrt(low * high)
