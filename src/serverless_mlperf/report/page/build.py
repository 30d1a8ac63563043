"""Results folders -> one HTML file."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from importlib import resources
import json
from pathlib import Path
from typing import Any, Final

from serverless_mlperf.errors import InputError
from serverless_mlperf.files import write_whole
from serverless_mlperf.provenance import flattened
from serverless_mlperf.report.page import rows
from serverless_mlperf.report.page.drawn import read_drawn
from serverless_mlperf.report.page.model import Figure, Page, Row
from serverless_mlperf.report.page.rows import Measured
from serverless_mlperf.store import ResultsFolder

PAGE: Final = "report.html"
PLOTLY: Final = "package_data/plotly.min.js"
FACT_CHARACTERS: Final = 160
RECORDS: Final = "records.jsonl"
LATENCY: Final = "Median of forward, warm queries, with its 95 % interval, as in the paper's figure 2."
RATE: Final = (
    "Files over the time from the first start to the last finish, by the functions' clocks: the paper's figure 3. "
    "It is bound by the environments that run at once."
)
DISTRIBUTION: Final = (
    "Share of warm queries whose forward took at most so long, per run, on a logarithmic scale. The band holds the "
    "whole distribution with 95 % (Dvoretzky, Kiefer, Wolfowitz)."
)
PREDICTED: Final = (
    "Mean forward as measured, and as the CPU share alone and as the 20 ms quota predict it from the CPU time of the "
    "same run. Dotted lines with open marks are modelled."
)
PHASES: Final = (
    "Mean of each phase of warm queries, from LoadGen's schedule to completion. In Offline all samples are sent at "
    "once: waiting is the backlog's."
)
COLD: Final = "Medians: the init phase and the first forward of cold starts beside forward of warm queries."
CURVE: Final = "Points of sweeps (queries in flight) and of Server runs (rate of arrivals)."
ACCURACY: Final = "Score over that of the same weights in FP32 in ONNX Runtime, with MLPerf's target."
COST: Final = (
    "USD of a million warm queries at Lambda's list prices against the median of forward; the line joins those that "
    "none is better than in both. Open marks: modelled from local durations."
)
TIMELINE: Final = "When its environments computed which query; marks show when queries were handed over."


def write_page(page: Page, output: Path) -> None:
    """Write the page; raises InputError where it cannot be written."""
    try:
        write_whole(output, render(page))
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror}); choose another --output") from error


def read_page(folders: Sequence[Path]) -> Page:
    """Gather everything; a folder that is damaged is a note, unless all are: then InputError."""
    opened, notes = _open(folders)
    runs = [_with_records(run, notes) for folder in opened for run in _runs(folder)]
    notes += [line for folder in opened for line in folder.shortfalls()]
    if not runs:
        raise InputError(
            f"{', '.join(map(str, folders))}: nothing is measured in it; {'; '.join(notes) or 'run first'}"
        )
    return Page(
        title=", ".join(folder.path.name for folder in opened),
        cells=rows.facts_of(runs),
        runs=rows.verdict_rows(runs),
        figures=[figure for figure in _figures(runs) if figure.rows],
        facts=[fact for folder in opened for fact in _facts(folder)],
        notes=notes,
    )


def render(page: Page) -> str:
    """The page as HTML with everything in it."""
    from jinja2 import Environment, select_autoescape  # not at the top: only this needs it

    own = resources.files(__package__)
    library = resources.files("plotly").joinpath(PLOTLY).read_text(encoding="utf-8")
    template = Environment(autoescape=select_autoescape(default=True)).from_string(
        own.joinpath("page.html").read_text()
    )
    return template.render(
        page=page,
        style=own.joinpath("page.css").read_text(),
        script=own.joinpath("page.js").read_text(),
        library=library,
        data=_embedded({"cells": [asdict(c) for c in page.cells], "figures": [asdict(f) for f in page.figures]}),
    )


def _embedded(value: Any) -> str:
    """JSON that cannot end the script element that holds it."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _open(folders: Sequence[Path]) -> tuple[list[ResultsFolder], list[str]]:
    opened, notes = [], []
    for folder in folders:
        try:
            opened.append(ResultsFolder.open(folder))
        except InputError as error:
            notes.append(str(error))
    return opened, notes


def _runs(folder: ResultsFolder) -> Iterator[Measured]:
    for cell in folder.cells:
        for run in range(1, folder.repeat + 1):
            for step, result in enumerate(folder.steps(cell, run), 1):
                counted = folder.counted_try(cell, run, step)
                if counted is not None:
                    yield Measured(result, folder.path.name, counted.folder)


def _with_records(run: Measured, notes: list[str]) -> Measured:
    """The run with what is drawn of its records; where they are damaged, its summary is shown all the same."""
    if run.result.mode != "performance":
        return run
    try:
        return replace(run, drawn=read_drawn(run.folder / RECORDS))
    except InputError as error:
        notes.append(f"distribution and timeline of {run.source}, {run.cell}, run {run.result.run}: {error}")
        return run


def _facts(folder: ResultsFolder) -> Iterator[tuple[str, str, str]]:
    for name, value in flattened({"settings": folder.settings, **folder.environment}):
        if not name.startswith("prices.") and value is not None:
            yield folder.path.name, name, str(value)[:FACT_CHARACTERS]


def _figures(runs: Sequence[Measured]) -> Iterator[Figure]:
    """In the order of the page."""
    for task in dict.fromkeys(run.result.task for run in runs):
        mine = [run for run in runs if run.result.task == task]
        yield _bars(f"latency-{task}", f"Latency, {task.replace('_', ' ')}", LATENCY, "p50_ms", "ms", mine)
    yield _bars("qps", "Rate", RATE, "qps_seed", "files per second", runs)
    yield Figure(
        "distribution", "Distribution of latency", DISTRIBUTION, "step", "ms", "share", "series", "forward (ms)",
        "share of queries", _ecdf(runs), "low", "high", x_log=True,
    )  # fmt: skip
    yield Figure(
        "memory", "Latency and memory size", PREDICTED, "line", "memory_mib", "ms", "kind", "memory (MB)",
        "mean forward (ms)", rows.prediction_rows(runs), share_colour=len(rows.PREDICTIONS),
    )  # fmt: skip
    yield Figure(
        "waterfall", "Where the time goes", PHASES, "stack", "ms", "label", "phase", "ms", "", rows.phase_rows(runs)
    )
    yield Figure(
        "cold", "Cold and warm", COLD, "group", "ms", "label", "kind", "ms", "", rows.cold_rows(runs), x_log=True
    )
    yield Figure(
        "curve", "Throughput and latency", CURVE, "line", "rate_per_s", "ms", "kind", "queries per second", "ms",
        rows.curve_rows(runs),
    )  # fmt: skip
    yield Figure(
        "accuracy", "Accuracy", ACCURACY, "bar", "memory_mib", "ratio", "series", "memory (MB)", "of the reference",
        rows.accuracy_rows(runs), target="target",
    )  # fmt: skip
    yield Figure(
        "cost", "Cost and latency", COST, "scatter", "p50_ms", "usd_per_million", "series", "median forward (ms)",
        "USD per million", rows.cost_rows(runs), x_log=True, front="front",
    )  # fmt: skip
    yield from _timeline(runs)


def _bars(name: str, title: str, caption: str, column: str, unit: str, runs: Sequence[Measured]) -> Figure:
    """The paper's bars: memory sizes, and a bar per engine."""
    found = rows.bar_rows(runs, column)
    ends = ("low_ms", "high_ms") if column == "p50_ms" else (None, None)
    return Figure(name, title, caption, "bar", "memory_mib", column, "series", "memory (MB)", unit, found, *ends)


def _ecdf(runs: Sequence[Measured]) -> list[Row]:
    curves = [(run, run.drawn.forward_ms) for run in runs if run.drawn is not None]
    points = rows.points_of(len(curves))
    return [row for run, forward_ms in curves for row in rows.ecdf_rows(run, forward_ms, points)]


def _timeline(runs: Sequence[Measured]) -> Iterator[Figure]:
    """Of the first VALID performance run."""
    chosen = next((run for run in runs if run.result.valid and run.drawn is not None), None)
    if chosen is None or chosen.drawn is None:
        return
    yield Figure(
        "timeline", f"Timeline of one run: {chosen.cell} MB", TIMELINE, "span", "start_s", "environment", "kind",
        "seconds since the first query", "", rows.timeline_rows(chosen, chosen.drawn.first), "arrived_s", "finish_s",
    )  # fmt: skip
