"""What a tuning gets right: the true best found, objectives verified, and the queries that it takes.

    python bench/tuning.py [cases]
    python bench/tuning.py real [options of tune]

Simulated, seeded: each case draws a matrix of engines and memory sizes as a function's CPU share makes them (latency
falls with memory, the price hardly changes), queries with 15 % spread and one late one in 500, and runs shifted as a
whole by a normal 3 %. A bound is drawn between the figures of two cells. Counted are recommendations that are the true
best or within 5 % of it, those whose true figure is over its bound, and queries beside those of the exhaustive grid,
whose own recommendation by all queries of all cells is the other yardstick. Exit status 1 when a share is missed.

`real` measures a tuning on the local platform, then the rest of its grid, and compares what both recommend.
"""

from dataclasses import dataclass, replace
import sys
from typing import Final

import numpy as np

from serverless_mlperf.tuning.allocation import Step, next_step
from serverless_mlperf.tuning.candidates import Candidate, Run
from serverless_mlperf.tuning.judging import Question
from serverless_mlperf.tuning.ladder import make_ladder
from serverless_mlperf.tuning.objectives import Goal, Objective
from serverless_mlperf.tuning.recommendation import Recommendation, recommend

SPREAD, LATE_SHARE, LATE = 0.15, 0.002, 2.0
RUN_SHIFT = 0.03
SAME = 0.05
LEAST_RIGHT, MOST_WRONG, MOST_QUERIES = 0.95, 0.05, 0.5


@dataclass(frozen=True)
class Truth:
    """A simulated cell."""

    name: str
    median_ms: float
    memory_mib: int
    shift: float
    spread: float = SPREAD

    def run(self, rng: np.random.Generator, queries: int) -> Run:
        """Measure."""
        times = self.median_ms * np.exp(rng.normal(0, self.shift) + rng.normal(0, self.spread, queries))
        times = np.where(rng.random(queries) < LATE_SHARE, LATE * times, times)
        return Run(tuple(times.tolist()), self.usd(float(times.mean())), queries)

    def usd(self, mean_ms: float) -> float:
        """Per million: duration at Lambda's price, and what each request costs."""
        return mean_ms / 1000 * self.memory_mib / 1024 * 16.67 + 0.37

    def sample(self, rng: np.random.Generator, runs: int = 4000, queries: int = 50) -> np.ndarray:
        """Many queries of many runs."""
        base = rng.normal(0, self.shift, (runs, 1)) + rng.normal(0, self.spread, (runs, queries))
        times = self.median_ms * np.exp(base)
        return np.where(rng.random(times.shape) < LATE_SHARE, LATE * times, times).ravel()


@dataclass(frozen=True)
class Known:
    """A cell's true figures."""

    latency_ms: float
    usd: float

    def goal(self, goal: Goal) -> float:
        """What is to be least."""
        return {"cost": self.usd, "latency": self.latency_ms, "balanced": self.usd * self.latency_ms}[goal]


def cells(rng: np.random.Generator, count: int, shift: float) -> list[Truth]:
    """Engines of different speed at sizes of memory; the price differs by some percent between sizes."""
    sizes = (768, 1536, 2240, 3008)
    engines = rng.uniform(15, 80, -(-count // len(sizes)))
    points = [(e, m) for e in range(len(engines)) for m in sizes][:count]
    return [
        Truth(f"{e}-{m}", engines[e] * 1769 / m * rng.uniform(0.9, 1.1), m, shift * rng.uniform(0.5, 1.5))
        for e, m in points
    ]


def known(rng: np.random.Generator, truths: list[Truth], p: float) -> dict[str, Known]:
    """By brute force, once for all cells: they differ by scale and shift only."""
    found = {}
    for truth in truths:
        times = truth.sample(rng)
        found[truth.name] = Known(float(np.quantile(times, p)), truth.usd(float(times.mean())))
    return found


def between(rng: np.random.Generator, figures: dict[str, Known]) -> float:
    """A bound between two neighbours."""
    ordered = sorted(each.latency_ms for each in figures.values())
    place = int(rng.integers(1, len(ordered)))
    return float(np.sqrt(ordered[place - 1] * ordered[place]))


@dataclass(frozen=True)
class Outcome:
    """One case."""

    tuned: Recommendation
    grid: Recommendation
    figures: dict[str, Known]

    @property
    def share(self) -> float:
        """Of the grid's queries."""
        return self.tuned.queries / self.tuned.question.ladder.grid

    def is_right(self, reference: str | None) -> bool:
        """Whether the recommended one is the reference, or as good as that; none where there is none."""
        best = self.tuned.best
        if best is None or reference is None:
            return best is None and reference is None
        goal = self.tuned.question.goal
        mine, other = self.figures[best.judged.name].goal(goal), self.figures[reference].goal(goal)
        return self.meets and mine <= other * (1 + SAME)

    @property
    def meets(self) -> bool:
        """Whether what was recommended truly meets its bound."""
        best = self.tuned.best
        return best is None or self.figures[best.judged.name].latency_ms <= self.tuned.question.objectives[0].bound

    @property
    def true_best(self) -> str | None:
        """Of all that meet."""
        question = self.tuned.question
        meet = [n for n, k in self.figures.items() if k.latency_ms <= question.objectives[0].bound]
        return min(meet, key=lambda n: self.figures[n].goal(question.goal), default=None)

    @property
    def grid_best(self) -> str | None:
        """What all queries of all cells recommend, by the same rule."""
        return self.grid.best.judged.name if self.grid.best else None


def simulate(
    seed: int, p: float, goal: Goal, count: int, shift: float = RUN_SHIFT, bound: float | None = None
) -> Outcome:
    """One tuning, and the grid on the very same runs and those that the tuning has not made."""
    rng = np.random.default_rng(seed)
    truths = cells(rng, count, shift)
    figures = known(rng, truths, p)
    objective = Objective("quantile", between(rng, figures) if bound is None else bound, p)
    question = Question((objective,), goal, make_ladder((objective,), count))
    runs = {t.name: [t.run(rng, queries) for queries in question.ladder.runs] for t in truths}
    candidates = {t.name: Candidate(t.name) for t in truths}
    while isinstance(step := next_step(question, list(candidates.values())), Step):
        candidates[step.name] = replace(candidates[step.name], runs=tuple(runs[step.name][: step.run]))
    whole = [Candidate(name, tuple(mine)) for name, mine in runs.items()]
    tuned = recommend(question, list(candidates.values()), step.reason)
    return Outcome(tuned, recommend(question, whole, "all runs"), figures)


CASES: Final[tuple[tuple[float, Goal, int], ...]] = (
    (0.9, "cost", 4), (0.99, "cost", 4), (0.99, "cost", 8), (0.99, "cost", 24), (0.99, "latency", 8),
    (0.9, "balanced", 8), (0.99, "balanced", 8),
)  # fmt: skip


def main() -> None:
    """Print a line per kind of case."""
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print(f"{cases} cases each; right: the best or within {SAME:.0%} of it")
    print("objective goal     cells  right: of truth  of grid   over bound   none  queries mean  most  ties")
    held = True
    for p, goal, count in CASES:
        found = [simulate(seed, p, goal, count) for seed in range(cases)]
        truth, grid = (np.mean([o.is_right(r) for o, r in pairs]) for pairs in _pairs(found))
        wrong = np.mean([not o.meets for o in found])
        shares = [o.share for o in found]
        none, ties = np.mean([o.tuned.best is None for o in found]), np.mean([bool(o.tuned.ties) for o in found])
        print(
            f"p{p * 100:<8g} {goal:8} {count:5}  {truth:15.1%} {grid:8.1%} {wrong:12.1%} {none:6.1%}"
            f" {np.mean(shares):13.1%} {max(shares):5.1%} {ties:5.1%}"
        )
        held = held and bool(grid >= LEAST_RIGHT and wrong <= MOST_WRONG and max(shares) <= MOST_QUERIES)
    print("holds" if held else "missed")
    sys.exit(not held)


def _pairs(found: list[Outcome]) -> tuple[list[tuple[Outcome, str | None]], list[tuple[Outcome, str | None]]]:
    return [(o, o.true_best) for o in found], [(o, o.grid_best) for o in found]


if __name__ == "__main__":
    main()
