"""Raw records of a run: immutable, one per query, written as JSON lines; summaries are computed from them.

Schema history: 1 first version. 2 LoadGen's own times, the client's stamps and the clock correction.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
import json
import os
from pathlib import Path
from typing import Any, Final, Literal

from serverless_mlperf.errors import InputError
from serverless_mlperf.files import write_whole

SCHEMA_VERSION: Final = 2
QueryVerdict = Literal["ok", "error", "timeout", "send_error"]

PHASES: Final = (
    "client_wait",  # LoadGen handed the query over -> its sending begun (waiting for a free sender)
    "put",  # s3: PUT begun -> PUT answered
    "trigger",  # s3: PUT answered -> handler entered (waiting in the platform's queue included)
    "throttled",  # invoke: sending begun -> the request that was accepted begun (429 answers and back-off)
    "request",  # invoke: that request begun -> handler entered (network, platform, the runtime reading the event)
    "fetch_input",  # s3: input JSON read
    "unpack",  # invoke, payload inline: query checked, image taken out of the event (base64)
    "fetch",  # image read from the object store
    "decode",  # JPEG -> RGB
    "preprocess",  # resize, crop, normalise
    "forward",  # inference alone
    "postprocess",
    "deliver",  # s3: input copied to completed/, output JSON written, input deleted
    "notice",  # s3: output written -> client told; invoke: handler done -> response in hand
    "collect",  # s3: client told -> body in hand, read; invoke: response in hand -> read
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
    init_ms: float | None = None
    """Init Duration as the platform reports it: of a cold query alone."""
    duplicates: int = 0
    """Results beyond the first that arrived for this query."""
    error: str | None = None
    init_begun_ns: int | None = None
    """Of a cold query: wall clock when the handler's import began."""
    spawn_asked_ns: int | None = None
    """Of a cold query: wall clocks when the platform began to start a process, and when it was there."""
    spawned_ns: int | None = None
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
    write_whole(path, "".join(json.dumps(asdict(r), separators=(",", ":")) + "\n" for r in records))


def read_records(path: Path) -> Iterator[Record]:
    """Read JSON lines back; keys of later schemas are ignored.

    A last line without its end was cut off and is left out (`ends_whole` tells). Raises InputError for a file that is
    missing or damaged otherwise.
    """
    try:
        lines = path.read_text().split("\n")[:-1]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); measure the run again") from error
    for number, line in enumerate(lines, 1):
        try:
            yield _record(line)
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{path}, line {number}: no record ({error}); measure the run again") from error


def ends_whole(path: Path) -> bool:
    """Whether a file of lines is there and its last line has its end."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            return file.read(1) in (b"", b"\n")
    except OSError:
        return False


def _record(line: str) -> Record:
    known = {f.name for f in fields(Record)}
    values: dict[str, Any] = json.loads(line)
    return Record(**{name: value for name, value in values.items() if name in known})
