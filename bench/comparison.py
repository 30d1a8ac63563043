"""What a comparison gets right: false alarms on results that are alike, and slowdowns that it finds.

    python bench/comparison.py [pairs]

Simulated, seeded: a run has 128 queries with 10 % spread, and is shifted as a whole by a normal 5 %, as runs on a host
are. A pair is 5 runs against 5, of one cell on its own; beside it a matrix of 24 cells, whose figures are adjusted for
their number, and what pooling the queries of all runs would say (Mann-Whitney). Exit status 1 for more than 6 %
of false alarms, of a cell or of a matrix, or fewer than 80 % of a cell's slowdowns by 10 % are found.
"""

from collections.abc import Callable
import sys

import numpy as np
from scipy.stats import mannwhitneyu

from serverless_mlperf.comparison.changes import compare

RUNS, QUERIES = 5, 128
RUN_SHIFT, SPREAD = 0.05, 0.10
SLOWDOWN = 1.10
MATRIX = 24
MOST_FALSE, LEAST_FOUND = 0.06, 0.80
Pair = tuple[np.ndarray, np.ndarray]


def pair(rng: np.random.Generator, slowdown: float) -> Pair:
    """Base and new of one cell: (runs, queries), ms."""
    shape = (2, RUNS, QUERIES)
    times = 100 * np.exp(rng.normal(0, RUN_SHIFT, (2, RUNS, 1)) + rng.normal(0, SPREAD, shape))
    return times[0], times[1] * slowdown


def verdicts(pairs: list[Pair]) -> list[str]:
    """Of the medians, compared together."""
    figures = {n: (np.median(b, axis=1).tolist(), np.median(a, axis=1).tolist()) for n, (b, a) in enumerate(pairs)}
    return [change.verdict for change in compare(figures).values()]


def alone(rng: np.random.Generator, slowdown: float) -> list[str]:
    """The verdict of one cell compared on its own."""
    return verdicts([pair(rng, slowdown)])


def pooled(rng: np.random.Generator, slowdown: float) -> list[str]:
    """The same by all queries thrown together."""
    base, new = pair(rng, slowdown)
    changed = mannwhitneyu(base.ravel(), new.ravel()).pvalue < 0.05
    return [("slower" if np.median(new) > np.median(base) else "faster") if changed else "cannot tell"]


def one_of_many(rng: np.random.Generator, slowdown: float) -> list[str]:
    """One cell that is slower, in a matrix of cells that are not: its own verdict."""
    return verdicts([pair(rng, slowdown), *(pair(rng, 1.0) for _ in range(MATRIX - 1))])[:1]


def all_of_many(rng: np.random.Generator, slowdown: float) -> list[str]:
    """A matrix whose cells are all slower, as by a new engine: the verdict of one of them."""
    return verdicts([pair(rng, slowdown) for _ in range(MATRIX)])[:1]


def any_of_many(rng: np.random.Generator, slowdown: float) -> list[str]:
    """A matrix: whether any of its cells is called changed."""
    found = verdicts([pair(rng, slowdown) for _ in range(MATRIX)])
    return [next((each for each in found if each in {"slower", "faster"}), "cannot tell")]


def share(way: Callable[[np.random.Generator, float], list[str]], slowdown: float, pairs: int) -> float:
    """How often a way says that something changed (a slowdown counts when it is called one)."""
    rng = np.random.default_rng(7)
    wanted = {"slower"} if slowdown > 1 else {"slower", "faster"}
    return sum(way(rng, slowdown)[0] in wanted for _ in range(pairs)) / pairs


def main() -> None:
    """Print a line per way."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print(f"{pairs} pairs of {RUNS} and {RUNS} runs, {RUN_SHIFT:.0%} shift per run, {SLOWDOWN - 1:.0%} slowdown")
    false = {way.__name__: share(way, 1.0, pairs) for way in (alone, any_of_many, pooled)}
    found = {way.__name__: share(way, SLOWDOWN, pairs) for way in (alone, one_of_many, all_of_many)}
    for name, value in false.items():
        print(f"false alarms  {name:12} {value:6.1%}")
    for name, value in found.items():
        print(f"slowdowns     {name:12} {value:6.1%}")
    quiet, sees = max(false["alone"], false["any_of_many"]) <= MOST_FALSE, found["alone"] >= LEAST_FOUND
    print(f"false alarms <= {MOST_FALSE:.0%}: {_held(quiet)}; slowdowns of a cell >= {LEAST_FOUND:.0%}: {_held(sees)}")
    sys.exit(not (quiet and sees))


def _held(holds: bool) -> str:
    return "holds" if holds else "missed"


if __name__ == "__main__":
    main()
