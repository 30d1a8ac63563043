"""The seed's block per cell, and the tables of all cells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from rich import box
from rich.console import Console
from rich.table import Table

from serverless_mlperf.mlperf.verdict import CLIENT_LIMITED_SHARE
from serverless_mlperf.percentiles import LEVELS, level_name
from serverless_mlperf.report.costs import cost_lines, per_million
from serverless_mlperf.report.latencies import latency_lines, percentile_lines, two_lines
from serverless_mlperf.report.repeats import repeat_lines
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.report.steps import step_lines
from serverless_mlperf.report.waterfall import waterfall_lines
from serverless_mlperf.workloads import suffix

NO_DATA: Final = "-"
UNBOUNDED: Final = 10_000
"""Wider than any table is."""
TABLE_WIDTH: Final = 140
"""Of the tables when the output is no terminal; a pipe has no width of its own."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: heading, what it shows, and its line in the legend."""

    heading: str
    cell: Callable[[CellResult], str]
    legend: str = ""
    justify: Literal["left", "right"] = "right"


def block(result: CellResult) -> str:
    """The seed's block, word for word, and our lines below it."""
    return "\n".join((*_seed_lines(result), *_our_lines(result)))


def _seed_lines(result: CellResult) -> tuple[str, ...]:
    return (
        "**********benchmarked unit***********",
        f"benchmark {result.model_name}",
        f"memory {result.memory_mib}{suffix(result.architecture, ' ')}",
        f"latencyes 50% -> {_raw(result.p50_ms)} 90% -> {_raw(result.p90_ms)}",
        f"QPS: {_raw(result.qps_seed)}",
        f"number of files: {result.files}",
        f"Time difference {_raw(result.time_difference_s)} s",
    )


def _our_lines(result: CellResult) -> tuple[str, ...]:
    r = result
    return (
        *_times(r),
        f"  {r.warm} warm and {r.cold} cold queries on {r.environments} environments, init {_ms(r.init_ms)}",
        *percentile_lines("forward ", r.forward),
        f"  forward mean {_ms(r.mean_ms)}; modelled from {_ms(r.forward_cpu_ms)} CPU: "
        f"share {_ms(r.share_predicted_ms)}, 20 ms quota {_ms(r.quota_predicted_ms)}",
        f"  CPU per query: function {_ms(r.function_cpu_ms)}, platform {_ms(r.platform_cpu_ms)}, "
        f"client {_ms(r.client_cpu_ms)}; billed {_ms(r.billed_ms_mean)}, memory {_text(r.max_memory_mib)} MiB",
        *cost_lines(r.cost),
        *(
            (f"  {r.unreported} invocations without a REPORT line: billed durations are of the others",)
            if r.unreported
            else ()
        ),
        f"  lost {r.lost}, duplicates {r.duplicates}, errors {r.errors}; {_accuracy(r)}",
        *_client(r),
        f"  {_against_reference(r)}",
        f"  host delivered {_percent(r.calibration_before)} of its CPU before, {_percent(r.calibration_after)} after; "
        f"tries {r.tries}",
        *((f"  environments: {r.isolation} isolation, CPU share by {r.controller}",) if r.isolation else ()),
        *(waterfall_lines(r.waterfall) if r.waterfall else ()),
        *(waterfall_lines(r.cold_waterfall, "cold") if r.cold_waterfall else ()),
        f"  {_verdict(r)}",
        *(f"    {reason}" for reason in r.reasons),
    )


def _times(result: CellResult) -> tuple[str, ...]:
    """What the client saw: all samples of a burst are sent at once, so their completion times are no latency."""
    if result.scenario != "Offline":
        return latency_lines(result.latencies) if result.latencies else ("  latency -",)
    return (
        f"  completion in the burst 50% {_ms(result.completion_p50_ms)} 90% {_ms(result.completion_p90_ms)}, "
        f"LoadGen {_number(result.qps_loadgen)} samples/s",
    )


def _client(result: CellResult) -> tuple[str, ...]:
    """What limits a throughput besides the function, and what the transport had to deal with; () where nothing."""
    share, counts = result.client_cpu_share, ", ".join(f"{n} {name}" for name, n in result.transport_counts.items())
    limited = share is not None and share > CLIENT_LIMITED_SHARE
    return (
        *((f"  the client took {_percent(share)} of a core: it may be what limits the throughput",) if limited else ()),
        *((f"  transport: {counts}",) if counts else ()),
    )


def _verdict(result: CellResult) -> str:
    return "VALID" if result.valid else "INVALID"


def _accuracy(result: CellResult) -> str:
    images = f"over {result.accuracy_samples} images"
    if result.task == "classification":
        return f"Top-1 {_number(result.top1, 3)}, Top-5 {_number(result.top5, 3)} {images}"
    return f"AP {_number(result.ap, 3)}, AP50 {_number(result.ap50, 3)} {images}"


def _against_reference(result: CellResult) -> str:
    """Where the accuracy comes from, and its ratio to the reference's with MLPerf's target, or why there is none."""
    source = "accuracy from " + ("LoadGen's log" if result.accuracy_source == "accuracy log" else "the outputs")
    if result.accuracy_ratio is None:
        return f"{source}; no ratio to the FP32 reference: {result.accuracy_reason or 'none was computed'}"
    metric = "Top-1" if result.task == "classification" else "AP"
    return (
        f"{source}: {result.accuracy_ratio:.2%} of the FP32 reference's {metric} "
        f"{_number(result.accuracy_reference, 4)}, MLPerf's target {_percent(result.accuracy_target_ratio)}"
    )


def _score(result: CellResult) -> str:
    return _number(result.top1 if result.task == "classification" else result.ap50, 3)


def _raw(value: float | None) -> str:
    return NO_DATA if value is None else repr(value)


def _text(value: object) -> str:
    return NO_DATA if value is None else str(value)


def _number(value: float | None, digits: int = 1) -> str:
    return NO_DATA if value is None else f"{value:.{digits}f}"


def _ms(value: float | None) -> str:
    return f"{_number(value)} ms"


def _percent(value: float | None) -> str:
    return NO_DATA if value is None else f"{value:.0%}"


MODELLED_PRICE: Final = "$/M*"
BILLED_PRICE: Final = Column(
    "$/M", per_million, "USD of a million warm queries, of the durations that the platform billed, at list prices"
)
NAMING: Final = (
    Column("benchmark", lambda r: r.model_name, justify="left"),
    Column("MB", lambda r: f"{r.memory_mib}{suffix(r.architecture, ' ')}", "memory size"),
)
SPEED: Final = (
    Column("p50", lambda r: _number(r.p50_ms), "median of forward in the function, ms, warm queries"),
    Column("p90", lambda r: _number(r.p90_ms)),
    Column("mean", lambda r: _number(r.mean_ms), "of forward, ms"),
    Column("share*", lambda r: _number(r.share_predicted_ms), "modelled mean: CPU-ms of forward / share of the size"),
    Column("quota*", lambda r: _number(r.quota_predicted_ms), "modelled mean: the same CPU-ms under a 20 ms quota"),
    Column("QPS", lambda r: _number(r.qps_seed), "files / (last finish - first start), as in the seed"),
    Column("LG", lambda r: _number(r.qps_loadgen), "LoadGen's rate: samples/s of the burst, or completed queries/s"),
    Column("init", lambda r: _number(r.init_ms, 0), "init phase of a cold start, ms, median"),
    Column(MODELLED_PRICE, per_million, "modelled: USD of a million warm queries on Lambda, at list prices"),
)
EVIDENCE: Final = (
    Column("c/w", lambda r: f"{r.cold}/{r.warm}", "cold and warm queries in the measured window"),
    Column("env", lambda r: str(r.environments), "environments that served them"),
    Column("fn", lambda r: _number(r.function_cpu_ms), "CPU-ms per query of the function"),
    Column("pl", lambda r: _number(r.platform_cpu_ms), "of the platform's server"),
    Column("cl", lambda r: _number(r.client_cpu_ms), "of LoadGen and its driver"),
    Column("l/d/e", lambda r: f"{r.lost}/{r.duplicates}/{r.errors}", "lost, second executions, errors"),
    Column("score", _score, "Top-1, or AP50 of the detector, over the images queried"),
    Column("verdict", _verdict, justify="left"),
)


def _level(place: int) -> Callable[[CellResult], str]:
    """One percentile of the latency over its interval."""

    def text(result: CellResult) -> str:
        found = result.latencies
        return two_lines(found.warm[place], found.deadline_ms) if found and found.warm else NO_DATA

    return text


LATENCY: Final = (
    Column("scenario", lambda r: r.scenario, justify="left"),
    Column("rate", lambda r: NO_DATA if r.target_qps is None else f"{r.target_qps:.4g}/s"),
    Column("n", lambda r: str(r.latencies.warm[0].count) if r.latencies and r.latencies.warm else NO_DATA),
    *(Column(level_name(p), _level(place)) for place, p in enumerate(LEVELS)),
)


def print_table(results: Sequence[CellResult], console: Console) -> None:
    """Print one table of all runs with its legend; as many as it takes on a terminal too narrow for it."""
    narrow = console.is_terminal and console.width < TABLE_WIDTH
    out = console if narrow else Console(file=console.file, width=max(TABLE_WIDTH, console.width))
    columns = _columns(results)
    _print_fitting(columns, results, out)
    legend = "; ".join(f"{c.heading}: {c.legend}" for c in (*NAMING, *columns) if c.legend)
    out.print(legend, markup=False, highlight=False)
    _print_latencies([r for r in results if r.scenario != "Offline"], out)
    for line in (*step_lines(results), *repeat_lines(results)):
        out.print(line, markup=False, highlight=False)
    valid = sum(r.valid for r in results)
    out.print(f"{len(results)} runs measured, {valid} VALID, {len(results) - valid} INVALID", highlight=False)


def _columns(results: Sequence[CellResult]) -> tuple[Column, ...]:
    """All columns; the price is called modelled unless the platform billed for every run that has one."""
    priced = [result.cost for result in results if result.cost]
    billed = bool(priced) and not any(cost.modelled for cost in priced)
    speed = [BILLED_PRICE if billed and column.heading == MODELLED_PRICE else column for column in SPEED]
    return (*speed, *EVIDENCE)


def _print_latencies(results: Sequence[CellResult], out: Console) -> None:
    """Print the latency of runs that are no burst."""
    if not results:
        return
    _print_fitting(LATENCY, results, out)
    legend = "rate: of arrivals; latency of n warm queries, ms, with its 95 % interval or the number that one needs"
    out.print(legend, markup=False, highlight=False)


def _print_fitting(columns: Sequence[Column], results: Sequence[CellResult], out: Console) -> None:
    """One table, or several of which none is wider than the output; each names its rows, and none cuts a figure."""
    taken: list[Column] = []
    for column in columns:
        if taken and _width((*NAMING, *taken, column), results) > out.width:
            out.print(_table((*NAMING, *taken), results))
            taken = []
        taken.append(column)
    out.print(_table((*NAMING, *taken), results))


def _width(columns: Sequence[Column], results: Sequence[CellResult]) -> int:
    return Console(width=UNBOUNDED).measure(_table(columns, results)).maximum


def _table(columns: Sequence[Column], results: Sequence[CellResult]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column.heading, justify=column.justify, no_wrap=True)
    for result in results:
        table.add_row(*(column.cell(result) for column in columns))
    return table
