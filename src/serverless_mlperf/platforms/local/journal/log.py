"""The journal's files: appended to, read once at the start, and cleaned of what is superseded; blocking.

Records go to the end of the newest segment. Where each name's last record lies is known, so it is known how much of all
is superseded. When that is more than the rest, the oldest segment's live records are copied to the end and it is
deleted: always the oldest, so that no removal is forgotten while an older record of its name is left.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
import errno
import itertools
import json
import logging
import os
from pathlib import Path
from typing import Any, Final, NamedTuple

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.local.journal.base import Body, Entry, Name
from serverless_mlperf.platforms.local.journal.bodies import body_of, body_path
from serverless_mlperf.platforms.local.journal.records import (
    MAGIC,
    DamagedError,
    Framed,
    framed,
    name_bytes,
    read_records,
    unwritten,
)
from serverless_mlperf.platforms.local.journal.syncing import Syncing

FILE: Final = "_file"
"""Of a document: the file that its body is in."""
SEGMENT_BYTES: Final = 16 << 20
STEP_RECORDS: Final = 64
"""Copied at once when cleaning: a few hundred microseconds in which no change is written."""
MAX_PIECES: Final = 1024
"""Of one writev(2): IOV_MAX."""
NO_ROOM: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """One document to be kept under a name, or, without a document, to be kept no longer."""

    name: Name
    document: Mapping[str, Any] | None = None
    body: Body = b""

    def framed(self) -> "Written":
        """The change as it goes to the file."""
        name = name_bytes(self.name)
        if self.document is None:
            return Written(name, True, framed(name, None), 0)
        if isinstance(self.body, bytes):
            return Written(name, False, framed(name, self.document, self.body), 0)
        document = {**self.document, FILE: self.body.as_document()}
        number = self.body.number
        return Written(name, False, framed(name, document, file=number), number)


class Written(NamedTuple):
    """A change as it goes to the file."""

    name: bytes
    removal: bool
    pieces: tuple[bytes, ...]
    file: int

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return sum(map(len, self.pieces))


class Place(NamedTuple):
    """Where the last record of a name lies."""

    segment: int
    offset: int
    size: int
    file: int
    """Number of its body's file; 0: it has none."""


class Log:
    """All segments of a folder; a body's file belongs to the last record of one name and goes with it.

    Raises InputError when what lies there is damaged.
    """

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._segments = folder / "journal"
        self._bodies = folder / "bodies"
        self._reserve = folder / "reserve"
        self._segment_bytes = segment_bytes
        self._live: dict[bytes, Place] = {}
        self._sizes: dict[int, int] = {}
        """Bytes of each segment, oldest first; the last one is written to."""
        self.next_body = 1
        """A number that no body has."""
        self.total_bytes = 0
        """Of all segments."""
        self._live_bytes = 0
        self._live_in: Counter[int] = Counter()
        """Live records of each segment."""
        self._victim: Iterator[Framed] | None = None
        self._syncing: Syncing | None = None
        self._on_disk: set[int] = set()
        """Segments that are no longer written to, and would survive a power cut."""
        self.reserved = False
        """Whether there is room in reserve."""
        self._torn = False
        self._fd = -1

    @property
    def wants_cleaning(self) -> bool:
        """Whether more is superseded than is not, by two segments, or a cleaning is under way."""
        superseded = self.total_bytes - self._live_bytes
        return len(self._sizes) > 1 and (
            self._victim is not None or superseded > self._live_bytes + 2 * self._segment_bytes
        )

    @property
    def waits(self) -> bool:
        """Whether cleaning cannot go on before copies are on the disk."""
        return self._syncing is not None and self._syncing.is_alive()

    def open(self) -> list[Entry]:
        """Read all, cut off a torn end, remove bodies that nobody names; what is kept."""
        for made in (self._segments, self._bodies):
            made.mkdir(mode=0o700, exist_ok=True)
        numbers = sorted(_numbers(self._segments))
        found: dict[bytes, Entry] = {}
        last = self._last_written(numbers)
        for number in range(numbers[0], numbers[-1] + 1) if numbers else ():
            self._read(number, found, may_end=number >= last)
        if numbers:
            self._fd = os.open(self._path(numbers[-1]), os.O_WRONLY | os.O_APPEND)
        else:
            self._begin(1)
        self._remove_strays()
        self.keep_reserve()
        return list(found.values())

    def close(self) -> None:
        """Nothing more is written."""
        if self._syncing is not None:
            self._syncing.join()
        os.close(self._fd)

    def append(self, changes: Iterable[Change]) -> None:
        """Write changes; raises OSError, and none of them is in the file then."""
        written = [change.framed() for change in changes]
        offset = self._write(
            [piece for each in written for piece in each.pieces], spare=all(each.removal for each in written)
        )
        for each in written:
            place = None if each.removal else Place(self._newest, offset, each.size, each.file)
            self._supersede(each.name, place)
            offset += each.size

    def clean_some(self) -> None:
        """Copy a few live records of the oldest segment to the end; delete it when the last one is on the disk.

        Raises OSError, DamagedError: it is given up then.
        """
        oldest = next(iter(self._sizes))
        try:
            if self._live_in[oldest]:
                self._copy(oldest)
            elif self._synced(oldest):
                self._delete(oldest)
        except (OSError, DamagedError):
            self._victim = None
            raise

    def forget_body(self, number: int) -> None:
        """Remove the file of a body that no record names."""
        body_path(self._bodies, number).unlink(missing_ok=True)

    def keep_reserve(self) -> None:
        """Have a segment's room in reserve where there is any: on a full disk, deleting needs some for its records."""
        if self.reserved:
            return
        descriptor = os.open(self._reserve, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._segment_bytes)
            self.reserved = True
        except OSError:
            self._reserve.unlink()  # the next time, perhaps
        finally:
            os.close(descriptor)

    # Writing

    @property
    def _newest(self) -> int:
        return next(reversed(self._sizes))

    def _write(self, pieces: list[bytes], *, spare: bool) -> int:
        """Append, from the reserve's room when there is no other and the caller may have it; where it begins."""
        try:
            return self._write_whole(pieces)
        except OSError as error:
            if not spare or error.errno not in NO_ROOM or not self.reserved:
                raise
            self._reserve.unlink()
            self.reserved = False
            return self._write_whole(pieces)

    def _write_whole(self, pieces: list[bytes]) -> int:
        if self._sizes[self._newest] >= self._segment_bytes:
            self._begin(self._newest + 1)
        if self._torn:
            self._mend()
        start = self._sizes[self._newest]
        try:
            size = sum(_write_some(self._fd, pieces[at : at + MAX_PIECES]) for at in range(0, len(pieces), MAX_PIECES))
        except OSError:
            self._torn = True
            self._mend()
            raise
        self._sizes[self._newest] = start + size
        self.total_bytes += size
        return start

    def _mend(self) -> None:
        """Cut off what a failed write has left."""
        os.ftruncate(self._fd, self._sizes[self._newest])
        self._torn = False

    def _begin(self, number: int) -> None:
        """Go on in a new segment."""
        descriptor = os.open(self._path(number), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, MAGIC)
        except OSError:
            os.close(descriptor)
            self._path(number).unlink()
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = descriptor
        self._sizes[number] = len(MAGIC)
        self.total_bytes += len(MAGIC)

    def _supersede(self, name: bytes, place: Place | None) -> None:
        """Note where a name's record lies now; the former one's body goes unless it is the same."""
        former = self._place(name, place)
        if former and former.file and (place is None or place.file != former.file):
            self.forget_body(former.file)

    def _place(self, name: bytes, place: Place | None) -> Place | None:
        """Note where a name's record lies now; where it lay."""
        former = self._live.pop(name, None)
        if former is not None:
            self._live_bytes -= former.size
            self._live_in[former.segment] -= 1
        if place is not None:
            self._live[name] = place
            self._live_bytes += place.size
            self._live_in[place.segment] += 1
        return former

    # Cleaning

    def _copy(self, segment: int) -> None:
        if self._victim is None:
            self._victim = read_records(memoryview(self._path(segment).read_bytes()))
        records = list(self._live_records(segment, self._victim))
        offset = self._write([whole for _, _, whole in records], spare=True)
        for name, place, whole in records:
            self._place(name, place._replace(segment=self._newest, offset=offset))
            offset += len(whole)

    def _live_records(self, segment: int, records: Iterator[Framed]) -> Iterator[tuple[bytes, Place, bytes]]:
        """Those among the next few records that are live."""
        for record in itertools.islice(records, STEP_RECORDS):
            place = self._live.get(record.name)
            if place is not None and (place.segment, place.offset) == (segment, record.offset):
                yield record.name, place, bytes(record.whole)

    def _synced(self, oldest: int) -> bool:
        """Whether what supersedes a segment is on the disk; begun at the first call, beside the writing."""
        if self._syncing is None:
            rest = [number for number in self._sizes if number != oldest and number not in self._on_disk]
            self._syncing = Syncing(self._segments, {number: self._path(number) for number in rest})
            self._syncing.start()
        if self._syncing.is_alive():
            return False
        done, self._syncing = self._syncing, None
        if done.error is not None:
            raise done.error
        self._on_disk |= done.files.keys() - {self._newest}
        return True

    def _delete(self, segment: int) -> None:
        self._victim = None
        self._on_disk.discard(segment)
        self._path(segment).unlink()
        self.total_bytes -= self._sizes.pop(segment)
        del self._live_in[segment]
        self.keep_reserve()

    # Opening

    def _path(self, number: int) -> Path:
        return self._segments / f"{number:012d}"

    def _last_written(self, numbers: list[int]) -> int:
        """The newest segment with a whole record, or with damage: what comes behind has been begun and no more."""
        for number in reversed(numbers):
            content = memoryview(self._path(number).read_bytes())
            try:
                if next(read_records(content), None) is not None:
                    return number
            except DamagedError as error:
                if not unwritten(content, error):
                    return number
        return 0

    def _read(self, number: int, found: dict[bytes, Entry], *, may_end: bool) -> None:
        """Read one segment; its end may be torn where nothing was written behind it."""
        path = self._path(number)
        try:
            content = memoryview(path.read_bytes())
        except FileNotFoundError:
            raise damaged(path, "is missing") from None
        end = min(len(MAGIC), len(content))
        try:
            for record in read_records(content):
                end = record.end
                self._note(number, record, found)
            if end < max(len(content), len(MAGIC)) and not may_end:
                raise DamagedError(end, len(content))
        except DamagedError as error:
            if not (may_end and unwritten(content, error)):
                raise damaged(path, error) from None
            end = error.offset
        if end < max(len(content), len(MAGIC)):
            self._cut(path, end)
        self._sizes[number] = max(end, len(MAGIC))
        self.total_bytes += self._sizes[number]

    def _cut(self, path: Path, end: int) -> None:
        """Cut a torn record off; a segment whose own beginning is torn gets it again."""
        if lost := path.stat().st_size - end:
            text = "the rest of a record that was not whole; an answer rested on it only if the host has lost its power"
            _log.warning("%s: %d bytes at its end are cut off: %s", path, lost, text)
        with path.open("r+b") as file:
            file.truncate(end if end >= len(MAGIC) else 0)
            if end < len(MAGIC):
                file.write(MAGIC)

    def _note(self, segment: int, record: Framed, found: dict[bytes, Entry]) -> None:
        found.pop(record.name, None)
        place = Place(segment, record.offset, len(record.whole), record.file) if record.document else None
        self._place(record.name, place)
        if place:
            found[record.name] = self._entry(record)

    def _entry(self, record: Framed) -> Entry:
        document = json.loads(bytes(record.document))
        file = document.pop(FILE, None)
        body = body_of(self._bodies, file) if file else bytes(record.body)
        return Entry(tuple(json.loads(record.name)), document, body)

    def _remove_strays(self) -> None:
        """Remove bodies whose record was not written before the process ended; InputError for one that is not there."""
        named = {place.file for place in self._live.values()}
        present = set(_numbers(self._bodies))
        for number in present - named:
            self.forget_body(number)
        if missing := named - present - {0}:
            raise damaged(body_path(self._bodies, min(missing)), "is missing")
        self.next_body = max(present, default=0) + 1


def _write_some(descriptor: int, pieces: list[bytes]) -> int:
    """Write a few pieces whole; how many bytes they are."""
    size = sum(map(len, pieces))
    written = os.writev(descriptor, pieces)
    if written < size:
        rest = memoryview(b"".join(pieces))[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    return size


def _numbers(folder: Path) -> Iterator[int]:
    return (int(path.name) for path in folder.iterdir() if path.name.isdecimal())


def damaged(path: Path, error: object) -> InputError:
    """What lies in a folder is not what was written there."""
    return InputError(f"{path}: {error}; restore the data folder from a copy, or give another --data")
