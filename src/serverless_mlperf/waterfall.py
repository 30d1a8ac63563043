"""Where the time of a query went: phases from LoadGen's scheduled time to completion that add up to its latency.

Per query, in nanoseconds and exactly:

    LoadGen's latency = schedule_delay + binding + the phases of records.PHASES + unattributed

`schedule_delay` is LoadGen's own (scheduled -> it began to hand over); `binding` is what lies between LoadGen's stamps
and ours (its call into Python at the beginning, waiting for the interpreter included, and ours into LoadGen at the
end); `unattributed` is what no phase explains. Where the end of a delivery is not known (the last query of an
environment tells nobody), deliver and notice stand as one undivided `deliver_notice`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from serverless_mlperf.clock import ClockOffset, Exchange, estimate_offsets
from serverless_mlperf.records import PHASES, Record

UNATTRIBUTED: Final = "unattributed"
ORDER: Final = ("schedule_delay", "binding", *PHASES, "deliver_notice", UNATTRIBUTED)
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "client": ("schedule_delay", "binding", "client_wait"),
    "to the function": ("put", "trigger", "throttled", "request"),
    "input": ("fetch_input", "unpack", "fetch"),
    "compute": ("decode", "preprocess", "forward", "postprocess"),
    "back": ("deliver", "notice", "deliver_notice", "collect"),
    UNATTRIBUTED: (UNATTRIBUTED,),
}
"""What the block prints a line of; every phase is in one group."""
MAX_UNATTRIBUTED_SHARE: Final = 0.02
"""Of the mean latency."""
MAX_UNATTRIBUTED_MS: Final = 1.0
"""On average: below it the share does not matter, as with latencies of a few milliseconds."""


@dataclass(frozen=True, slots=True)
class Span:
    """One phase or group over all queries of a run; it describes, so of few queries the p99 is simply the largest."""

    count: int
    """Queries that have it."""
    median_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    """Over all queries, 0 for one that has it not: so the means add up to the mean latency."""
    share: float
    """Of the mean latency."""


@dataclass(frozen=True, slots=True)
class ClockNote:
    """What is known of the clocks of one environment against the client's."""

    environment_id: str
    exchanges: int
    estimate_ms: float | None
    """Positive: ahead of the client's; None when no one offset explains all queries."""
    uncertainty_ms: float | None
    corrected: bool
    """Phases that cross clocks are corrected by the estimate: it is certain that the clocks differ."""


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The waterfall of a run's good queries of one kind, warm or cold."""

    begins: str
    """`scheduled`: at LoadGen's scheduled time; `handed over`: there is no trace, and LoadGen's part is missing."""
    total: Span
    phases: Mapping[str, Span]
    """In the order of ORDER; a phase that no query has is not there."""
    groups: Mapping[str, Span]
    unattributed_ms: float
    """Mean of its absolute value per query: where phases overlap, what is unattributed is negative."""
    clocks: tuple[ClockNote, ...] = ()

    @property
    def explained(self) -> bool:
        """Whether what no phase explains is small."""
        return self.unattributed_ms <= max(MAX_UNATTRIBUTED_MS, MAX_UNATTRIBUTED_SHARE * self.total.mean_ms)


def waterfall(records: Sequence[Record], cold: bool = False) -> Waterfall | None:
    """Describe the good warm (or the good cold) queries of a run; None when there are none.

    It begins at LoadGen's scheduled time when every one of the queries has it.
    """
    chosen = [record for record in records if record.verdict == "ok" and bool(record.cold) == cold]
    if not chosen:
        return None
    scheduled = all(record.loadgen_latency_ns is not None for record in chosen)
    rows = [phases_of(record) if scheduled else _since_hand_over(record) for record in chosen]
    totals = [sum(row.values()) for row in rows]
    mean_ns = sum(totals) / len(totals)
    spans = {name: _span(rows, (name,), mean_ns) for name in ORDER if any(name in row for row in rows)}
    groups = {group: _span(rows, names, mean_ns) for group, names in GROUPS.items() if set(names) & set(spans)}
    return Waterfall(
        begins="scheduled" if scheduled else "handed over",
        total=_span([{"total": total} for total in totals], ("total",), mean_ns),
        phases=spans,
        groups=groups,
        unattributed_ms=sum(abs(row[UNATTRIBUTED]) for row in rows) / len(rows) / 1e6,
        clocks=clock_notes(records),
    )


def phases_of(record: Record) -> dict[str, int]:
    """Phases of one query in ns, `unattributed` included: their sum is LoadGen's latency of it.

    Raises ValueError for a record without LoadGen's times.
    """
    if record.loadgen_latency_ns is None or record.schedule_delay_ns is None:
        raise ValueError(f"record {record.key}: without LoadGen's times")
    before = {
        "schedule_delay": record.schedule_delay_ns,
        "binding": record.loadgen_latency_ns - record.schedule_delay_ns - record.latency_ns,
    }
    return before | _since_hand_over(record)


def clock_notes(records: Iterable[Record]) -> tuple[ClockNote, ...]:
    """Estimate the clock of every environment from the stamps in the records, and say what was corrected."""
    offsets = estimate_offsets(exchange for record in records if (exchange := _exchange(record)))
    corrected = {record.environment_id for record in records if record.clock_offset_ns is not None}
    return tuple(_note(offset, name in corrected) for name, offset in sorted(offsets.items()))


def _since_hand_over(record: Record) -> dict[str, int]:
    """As `phases_of` from our hand-over stamp on: their sum is `latency_ns`."""
    spans = {name: ns for name, ns in (record.phases_ns or {}).items() if name in PHASES}
    if "notice" not in spans and record.finish_ns is not None and record.noticed_ns is not None:
        finish_ns = record.finish_ns - (record.clock_offset_ns or 0)
        spans["deliver_notice"] = max(0, record.noticed_ns - finish_ns)
    return spans | {UNATTRIBUTED: record.latency_ns - sum(spans.values())}


def _exchange(record: Record) -> Exchange | None:
    stamps = (record.begun_ns, record.start_ns, record.finish_ns, record.noticed_ns)
    begun_ns, start_ns, finish_ns, noticed_ns = stamps
    if begun_ns is None or start_ns is None or finish_ns is None or noticed_ns is None:
        return None
    return Exchange(str(record.environment_id), begun_ns, start_ns, finish_ns, noticed_ns)


def _note(offset: ClockOffset, corrected: bool) -> ClockNote:
    estimate_ns, uncertainty_ns = offset.estimate_ns, offset.uncertainty_ns
    return ClockNote(
        environment_id=offset.environment_id,
        exchanges=offset.exchanges,
        estimate_ms=None if estimate_ns is None else estimate_ns / 1e6,
        uncertainty_ms=None if uncertainty_ns is None else uncertainty_ns / 1e6,
        corrected=corrected,
    )


def _span(rows: Sequence[Mapping[str, int]], names: Sequence[str], mean_total_ns: float) -> Span:
    """Of the sum of some phases; every row that has one of them counts for the percentiles."""
    sums_ns = [sum(row.get(name, 0) for name in names) for row in rows if any(name in row for name in names)]
    median, p90, p99 = np.quantile(np.asarray(sums_ns) / 1e6, (0.5, 0.9, 0.99), method="inverted_cdf")
    mean_ns = sum(sums_ns) / len(rows)
    share = mean_ns / mean_total_ns if mean_total_ns else 0.0
    return Span(len(sums_ns), float(median), float(p90), float(p99), mean_ns / 1e6, share)
