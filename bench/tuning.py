"""What a tuning gets right: the true best found, objectives verified, and the queries that it takes.

    python bench/tuning.py [cases]
    python bench/tuning.py real [SLO [QUERIES]] [--allow-invalid]

Simulated, seeded (serverless_mlperf.tuning.simulation). Counted are recommendations that are the true best, or within
5 % of it; those that are as good as what all queries of all cells recommend by the same rule; those whose true figure
is over its bound; and queries beside the grid's. In `clear` cases the bound lies 20 % or more from every cell's figure;
in `near` ones in the middle of two neighbours, where not even all queries can always tell; in `none` below all. Exit
status 1 when in clear cases fewer than 95 % are right, in any more than 5 % are over their bound, or more than half of
the grid's queries are taken.

`real` tunes on the local platform, then measures the rest of the grid, and compares what both recommend.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
import sys
from typing import Any, Final

import numpy as np
from rich.console import Console

from serverless_mlperf.experiment import resume_experiment
from serverless_mlperf.store import ResultsFolder
from serverless_mlperf.tuning.allocation import every_run
from serverless_mlperf.tuning.command import Asked, tune_anew
from serverless_mlperf.tuning.method import Tuning
from serverless_mlperf.tuning.simulation import Case, Outcome, simulate

LEAST_RIGHT, MOST_WRONG, MOST_QUERIES = 0.95, 0.05, 0.5
CASES: Final = (
    Case(0.9, "cost", 4),
    Case(0.99, "cost", 4),
    Case(0.99, "cost", 8),
    Case(0.99, "cost", 24),
    Case(0.99, "latency", 8),
    Case(0.9, "balanced", 8),
    Case(0.99, "balanced", 8),
    Case(0.99, "cost", 8, clear=False),
    Case(0.9, "cost", 8, clear=False),
    Case(0.99, "cost", 8, out_of_reach=True),
    Case(0.99, "cost", 8, run_shift=0.06),
)
REAL: Final = {
    "scenario": "single-stream",
    "transport": "invoke",
    "tasks": ["classification"],
    "engine_and_formats": ["ie-ir", "ocv-tf"],
    "memory_mib": [1536, 3008],
    "output": "results",
}
OBJECTIVE, GOAL = "p90=60ms", "cost"


def main() -> None:
    """Simulated, or real."""
    if sys.argv[1:2] == ["real"]:
        sys.exit(real(sys.argv[2:]))
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print(f"{cases} seeds each")
    print("objective goal      cells bound  shift  right: truth   grid  over bound   none   ties  queries: mean   most")
    held = [_line(case, [simulate(seed, case) for seed in range(cases)]) for case in CASES]
    print("holds" if all(held) else "missed")
    sys.exit(not all(held))


def _line(case: Case, found: Sequence[Outcome]) -> bool:
    """Print the figures of a case; whether they hold."""
    truth = float(np.mean([each.is_as_good_as(each.true_best) for each in found]))
    grid = float(np.mean([each.is_as_good_as(each.grid_best) for each in found]))
    wrong = float(np.mean([not each.meets for each in found]))
    none, ties = (
        float(np.mean(values))
        for values in ([each.tuned.best is None for each in found], [bool(each.tuned.ties) for each in found])
    )
    mean, most = float(np.mean([each.share for each in found])), max(each.share for each in found)
    kind = "none" if case.out_of_reach else "clear" if case.clear else "near"
    print(
        f"p{case.p * 100:<8g} {case.goal:9} {case.cells:5} {kind:5} {case.run_shift:6.0%} {truth:13.1%} {grid:6.1%}"
        f" {wrong:11.1%} {none:6.1%} {ties:6.1%} {mean:14.1%} {most:6.1%}"
    )
    return (not case.clear or truth >= LEAST_RIGHT) and wrong <= MOST_WRONG and most <= MOST_QUERIES


def real(arguments: Sequence[str]) -> int:
    """Tune, measure the rest of the grid in the same folder, compare; 0 when the tuning found what the grid finds."""
    console, given = Console(soft_wrap=True), [each for each in arguments if not each.startswith("--")]
    slo, first = given[0] if given else OBJECTIVE, int(given[1]) if len(given) > 1 else None
    asked = Asked((slo,), GOAL, 0.95, 0.05, first, None, 0.5, allow_invalid="--allow-invalid" in arguments)
    _, tuned = tune_anew(asked, REAL, console)
    folder = ResultsFolder.open(Path(tuned["folder"]))
    rest = Tuning.of_folder(folder, every_run)
    resume_experiment(folder.path, {}, console, rest)
    grid = rest.answer
    ours, theirs = (_of(grid, answer["recommended"]) for answer in (tuned, grid))
    share = tuned["queries"] / grid["queries"]
    same = ours == theirs or (ours is not None and theirs is not None and ours <= theirs * (1 + asked.same))
    print(f"tuned {tuned['recommended']}, grid {grid['recommended']}: {'the same or as good' if same else 'differ'}")
    print(f"{tuned['queries']} of {grid['queries']} queries, {share:.0%}")
    return not (same and share <= MOST_QUERIES)


def _of(answer: Mapping[str, Any], name: str | None) -> float | None:
    """The goal's figure of a candidate, by all queries."""
    return next((each["goal"]["value"] for each in answer["candidates"] if each["name"] == name), None)


if __name__ == "__main__":
    main()
