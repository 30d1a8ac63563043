"""Raw records of a run: immutable, one per query, written as JSON lines; summaries are computed from them.

Schema history: 1 first version. 2 LoadGen's own times, the client's stamps and the clock correction.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
import json
from pathlib import Path
from typing import Any, Final, Literal

SCHEMA_VERSION: Final = 2
QueryVerdict = Literal["ok", "error", "timeout", "send_error"]

PHASES: Final = (
    "client_wait",  # LoadGen handed the query over -> PUT begun
    "put",  # PUT begun -> PUT answered
    "trigger",  # PUT answered -> handler entered (waiting in the platform's queue included)
    "fetch_input",  # input JSON read
    "fetch",  # image read from the object store
    "decode",  # JPEG -> RGB
    "preprocess",  # resize, crop, normalise
    "forward",  # inference alone
    "postprocess",
    "deliver",  # input copied to completed/, output JSON written, input deleted
    "notice",  # output written -> client told
    "collect",  # client told -> body in hand
)


@dataclass(frozen=True, slots=True)
class Record:
    """One measured query. Times in ns; None where no data exists, never 0."""

    key: str
    sample_index: int
    verdict: QueryVerdict
    latency_ns: int
    """Client side: LoadGen's hand-over -> completion."""
    issued_ns: int
    """Wall clock of the hand-over."""
    cold: bool | None = None
    """First invocation of its environment; None when no result came back."""
    environment_id: str | None = None
    request_id: str | None = None
    start_ns: int | None = None
    """Wall clock at handler entry (the seed's start_time)."""
    finish_ns: int | None = None
    """Wall clock when the result was computed (the seed's finish_time)."""
    phases_ns: dict[str, int] | None = None
    """Wall time per phase, keys from PHASES."""
    cpu_ns: dict[str, int] | None = None
    """Process CPU time of the function per phase, same keys as far as measured inside."""
    billed_ms: int | None = None
    duration_ms: float | None = None
    max_memory_mib: int | None = None
    duplicates: int = 0
    """Results beyond the first that arrived for this query."""
    error: str | None = None
    init_phases_ns: dict[str, int] | None = None
    """Of a cold query: its environment's init phase (imports, fetch_model, load_model, first_inference)."""
    loadgen_latency_ns: int | None = None
    """LoadGen's latency, by its clock: scheduled -> completion; None without a trace (warm-up queries have none)."""
    schedule_delay_ns: int | None = None
    """The part of it before LoadGen began to hand the query over."""
    query_seq: int | None = None
    """LoadGen's query: in MultiStream several samples, one record each, make one query."""
    begun_ns: int | None = None
    """Client's wall clock: the transport began to send."""
    sent_ns: int | None = None
    """Client's wall clock: the platform had accepted it."""
    noticed_ns: int | None = None
    """Client's wall clock: it was told that a result exists."""
    fetched_ns: int | None = None
    """Client's wall clock: the result was in hand."""
    clock_offset_ns: int | None = None
    """The function's clock was ahead by so much, and phases_ns are corrected for it; None: no correction was due.
    start_ns and finish_ns stay as the function stamped them."""

    def __post_init__(self) -> None:
        if self.latency_ns < 0:
            raise ValueError(f"record {self.key}: negative latency_ns {self.latency_ns}")
        if self.verdict == "ok" and (self.phases_ns is None or self.cold is None):
            raise ValueError(f"record {self.key}: ok without phases_ns or cold")


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write records as JSON lines, whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text("".join(json.dumps(asdict(r), separators=(",", ":")) + "\n" for r in records))
    partial.replace(path)


def read_records(path: Path) -> Iterator[Record]:
    """Read JSON lines back; keys of later schemas are ignored."""
    known = {f.name for f in fields(Record)}
    with path.open() as lines:
        for line in lines:
            values: dict[str, Any] = json.loads(line)
            yield Record(**{k: v for k, v in values.items() if k in known})
