"""Cells that were measured several times: the mean of a figure over runs, with its interval over runs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from serverless_mlperf.percentiles import LEVELS, level_name
from serverless_mlperf.repeats import OverRuns, over_runs
from serverless_mlperf.report.results import CellResult

Figure = Callable[[CellResult], float | None]


def _level(place: int) -> Figure:
    """One percentile of the latency."""

    def value_ms(result: CellResult) -> float | None:
        found = result.latencies.warm if result.latencies else ()
        return found[place].value_ms if found else None

    return value_ms


FORWARD: Final[Mapping[str, Figure]] = {"forward p50": lambda r: r.p50_ms, "forward p90": lambda r: r.p90_ms}
BURST: Final[Mapping[str, Figure]] = {
    "completion in the burst p50": lambda r: r.completion_p50_ms,
    "completion in the burst p90": lambda r: r.completion_p90_ms,
}
LATENCY: Final[Mapping[str, Figure]] = {f"latency {level_name(p)}": _level(n) for n, p in enumerate(LEVELS)}


def repeat_lines(results: Sequence[CellResult]) -> tuple[str, ...]:
    """Lines for every cell with more than one run; () when there is none."""
    return tuple(line for runs in _by_cell(results) if len(runs) > 1 for line in _cell_lines(runs))


def _by_cell(results: Sequence[CellResult]) -> list[list[CellResult]]:
    # Steps of one round (rates of a search, points of a sweep, modes of a compliance test) are no repetitions.
    cells: dict[tuple[str, str, int], list[CellResult]] = {}
    for result in results:
        cells.setdefault((result.place, result.scenario, result.step), []).append(result)
    return list(cells.values())


def _cell_lines(runs: Sequence[CellResult]) -> list[str]:
    """Over all runs of the cell, and so is said how many of them are not VALID."""
    first, invalid = runs[0], sum(not run.valid for run in runs)
    flaw = f", {invalid} of them INVALID" if invalid else ""
    step = f", step {first.step} ({first.mode})" if first.step > 1 else ""
    figures = {**FORWARD, **(BURST if first.scenario == "Offline" else LATENCY)}
    return [
        f"{first.model_name} {first.size}, {first.scenario}{step}, over {len(runs)} runs{flaw} "
        "(mean [95 % interval], median):",
        *(f"  {name} {_text(over_runs([figure(run) for run in runs]))}" for name, figure in figures.items()),
    ]


def _text(found: OverRuns) -> str:
    if found.mean is None:
        return f"n/a ({found.missing})"
    interval = found.missing if found.low is None or found.high is None else f"[{found.low:.1f}, {found.high:.1f}]"
    return f"{found.mean:.1f} ms {interval}, {found.median:.1f}"
