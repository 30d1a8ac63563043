"""Cold starts as a measurement of their own: forced one by one, and split into where their time goes.

Each is the first invocation of a function that was deployed anew, so that nothing of it is warm but what the host
keeps: on the local platform packages are unpacked, and files may lie in the host's page cache. A real microVM's start
and the download of a package are not in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from serverless_mlperf.percentiles import Quantile, quantile
from serverless_mlperf.records import Record

PHASES: Final = (
    "request",  # handed over -> the platform begins to start a process
    "process_start",  # -> the process is there
    "runtime",  # -> the handler's import begins: interpreter and awslambdaric
    "imports",  # the function's modules and its engine
    "fetch_model",
    "verify_model",
    "load_model",
    "compile",
    "first_inference",
    "query",  # the query itself, in the function
    "answer",  # what is left: the way back, and what no stamp tells
)


@dataclass(frozen=True, slots=True)
class ColdStarts:
    """Some cold starts of one cell. Times in ms; an interval is that of the median, 95 %."""

    count: int
    client: Quantile
    """Handed over -> answer in hand."""
    init: Quantile
    """Init phase: process start to first inference, as far as stamps tell."""
    phases_ms: dict[str, float]
    """Median per phase, by PHASES."""
    shares_known: int
    """Cold starts whose platform told when the process was asked for and was there."""


def cold_starts(records: Sequence[Record]) -> ColdStarts | None:
    """Summarise records of cold queries; None without any."""
    rows = [cold_phases_ns(record) for record in records if record.cold and record.verdict == "ok"]
    if not rows:
        return None
    latencies_ms = [r.latency_ns / 1e6 for r in records if r.cold and r.verdict == "ok"]
    inits_ms = [sum(row.get(name, 0) for name in PHASES[1:9]) / 1e6 for row in rows]
    medians = {name: [row[name] / 1e6 for row in rows if name in row] for name in PHASES}
    return ColdStarts(
        count=len(rows),
        client=quantile(latencies_ms, 0.5),
        init=quantile(inits_ms, 0.5),
        phases_ms={name: _median_ms(values) for name, values in medians.items() if values},
        shares_known=sum("process_start" in row for row in rows),
    )


def cold_phases_ns(record: Record) -> dict[str, int]:
    """Split one cold query's latency by PHASES; the parts add up to it. A part whose stamps are missing is left out."""
    begun_ns, init = record.init_begun_ns, record.init_phases_ns or {}
    spans = {name: init[name] for name in PHASES if name in init}
    if record.start_ns and record.finish_ns:
        spans["query"] = record.finish_ns - record.start_ns
    if record.spawn_asked_ns and record.spawned_ns and begun_ns:
        spans["request"] = max(0, record.spawn_asked_ns - record.issued_ns)
        spans["process_start"] = record.spawned_ns - record.spawn_asked_ns
        spans["runtime"] = max(0, begun_ns - record.spawned_ns)
    elif record.init_ms is not None:
        # What the platform calls init, less what the function saw of it: process start and runtime in one.
        spans["runtime"] = max(0, round(record.init_ms * 1e6) - sum(init.values()))
    spans["answer"] = max(0, record.latency_ns - sum(spans.values()))
    return {name: spans[name] for name in PHASES if name in spans}


def _median_ms(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2]
