"""Cold starts as a measurement of their own: forced one by one, and split into where their time goes.

Each is the first invocation of a function that was deployed anew, so that nothing of it is warm but what the host
keeps: on the local platform packages are unpacked, and files may lie in the host's page cache. A real microVM's start
and the download of a package are not in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Final

from serverless_mlperf.calibration import Calibration
from serverless_mlperf.percentiles import Quantile, quantile
from serverless_mlperf.records import Record

INIT_PHASES: Final = (
    "process_start",  # the platform begins to start a process -> it is there
    "runtime",  # -> the handler's import begins: interpreter and awslambdaric
    "imports",  # the function's modules and its engine
    "fetch_model",
    "verify_model",
    "load_model",
    "compile",
    "first_inference",
)
PHASES: Final = (
    "request",  # handed over -> the platform begins to start a process
    *INIT_PHASES,
    "query",  # the query itself, in the function
    "rest",  # the way back, and whatever no stamp tells; negative where stamps of two clocks overlap
)


@dataclass(frozen=True, slots=True)
class ColdStarts:
    """Some cold starts of one cell. Times in ms; an interval is that of the median, 95 %."""

    count: int
    client: Quantile
    """Handed over -> answer in hand."""
    init: Quantile
    """INIT_PHASES together, as far as stamps tell."""
    phases_ms: dict[str, float]
    """Median per phase, by PHASES."""
    spawns_known: int
    """Cold starts whose platform told when the process was asked for and was there."""
    before: Calibration
    """What the host delivered before and after: cold starts of a busy host say nothing about the function."""
    after: Calibration

    @property
    def valid(self) -> bool:
        """Whether the host delivered its CPU."""
        return self.before.ok and self.after.ok


def cold_starts(records: Sequence[Record], before: Calibration, after: Calibration) -> ColdStarts:
    """Summarise records of cold queries that ended well, at least one; raises ValueError for any other."""
    wrong = [record.key for record in records if not record.cold or record.verdict != "ok"]
    if wrong or not records:
        raise ValueError(f"no cold starts that ended well: {wrong or 'none at all'}")
    rows = [cold_phases_ns(record) for record in records]
    medians = {name: [row[name] / 1e6 for row in rows if name in row] for name in PHASES}
    return ColdStarts(
        count=len(rows),
        client=quantile([record.latency_ns / 1e6 for record in records], 0.5),
        init=quantile([sum(row.get(name, 0) for name in INIT_PHASES) / 1e6 for row in rows], 0.5),
        phases_ms={name: median_low(values) for name, values in medians.items() if values},
        spawns_known=sum("process_start" in row for row in rows),
        before=before,
        after=after,
    )


def cold_phases_ns(record: Record) -> dict[str, int]:
    """Split one cold query's latency by PHASES; the parts add up to it, those without stamps in `rest`."""
    begun_ns, init = record.init_begun_ns, record.init_phases_ns or {}
    spans = {name: init[name] for name in PHASES if name in init}
    if record.start_ns and record.finish_ns:
        spans["query"] = record.finish_ns - record.start_ns
    if record.spawn_asked_ns and record.spawned_ns and begun_ns:
        spans["request"] = record.spawn_asked_ns - record.issued_ns
        spans["process_start"] = record.spawned_ns - record.spawn_asked_ns
        spans["runtime"] = begun_ns - record.spawned_ns
    elif record.init_ms is not None:
        # What the platform calls init, less what the function saw of it: process start and runtime in one.
        spans["runtime"] = round(record.init_ms * 1e6) - sum(init.values())
    spans["rest"] = record.latency_ns - sum(spans.values())
    return {name: spans[name] for name in PHASES if name in spans}
