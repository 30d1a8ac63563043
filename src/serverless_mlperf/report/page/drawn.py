"""What the page draws of a run's records: read line by line, so that a million of them are neither slow nor large."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
import heapq
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from serverless_mlperf.errors import InputError

TIMELINE_QUERIES: Final = 600
"""Of the one run whose timeline is drawn."""


class Phases(msgspec.Struct, gc=False):
    """Of a record's phases what is drawn; the decoder passes over the others."""

    forward: int | None = None


class Query(msgspec.Struct, gc=False):
    """Of a record what is drawn: see records.Record."""

    verdict: str
    issued_ns: int
    cold: bool | None = None
    environment_id: str | None = None
    start_ns: int | None = None
    finish_ns: int | None = None
    phases_ns: Phases | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Of one run: its distribution, and its beginning."""

    forward_ms: NDArray[np.float64]
    """`forward` of warm queries that were served, in the order of the file."""
    first: tuple[Query, ...]
    """Served queries that started first, in the order of their starts; at most TIMELINE_QUERIES."""


def read_drawn(path: Path) -> Drawn:
    """Read a run's records; raises InputError for a file that is missing or damaged.

    A last line without its end was cut off and is left out, as in records.read_records.
    """
    forward_ms = array("d")

    def seen() -> Iterator[Query]:
        for query in _queries(path):
            if query.verdict == "ok" and not query.cold and query.phases_ns and query.phases_ns.forward is not None:
                forward_ms.append(query.phases_ns.forward / 1e6)
            if query.start_ns and query.finish_ns and query.environment_id:
                yield query

    first = heapq.nsmallest(TIMELINE_QUERIES, seen(), key=lambda query: query.start_ns or 0)
    return Drawn(np.frombuffer(forward_ms, dtype=np.float64), tuple(first))


def _queries(path: Path) -> Iterator[Query]:
    decode = msgspec.json.Decoder(Query).decode
    number = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):  # noqa: B007 - named in the message below
                if line.endswith(b"\n"):
                    yield decode(line)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); measure the run again") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"{path}, line {number}: no record ({error}); measure the run again") from error
