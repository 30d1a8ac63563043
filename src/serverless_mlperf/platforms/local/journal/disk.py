"""The journal in a data folder: changes are written by a thread, all that have come meanwhile at once."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
import itertools
import logging
from pathlib import Path
from queue import Empty, SimpleQueue
import threading
import time
from types import TracebackType
from typing import Final

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.local.journal.base import (
    Body,
    Describe,
    Entry,
    Journal,
    Name,
    NoJournal,
    NotKeptError,
    Undo,
)
from serverless_mlperf.platforms.local.journal.bodies import BodyFile, body_path, write_body
from serverless_mlperf.platforms.local.journal.folder import data_folder
from serverless_mlperf.platforms.local.journal.log import Change, Log
from serverless_mlperf.platforms.local.journal.records import DamagedError
from serverless_mlperf.platforms.local.priority import go_first

IN_MEMORY_BYTES: Final = 256 << 10
"""A larger body has a file of its own and is not kept in memory."""
UNAWAITED_S: Final = 0.01
"""What nobody waits for is written after that time; a timer for each change would cost more than the change."""
PAUSE_S: Final = 0.0005
"""Between steps of cleaning: the event loop, which shares the interpreter, never waits for more than one."""
SYNC_PAUSE_S: Final = 0.01
"""Between looks whether the disk has what was copied."""
RETRY_S: Final = 1.0
"""Between tries to clean, or to have room in reserve again, after one that failed."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Batch:
    """Changes that are written together, and who waits for them."""

    changes: list[Change] = field(default_factory=list)
    undos: list[Undo] = field(default_factory=list)
    waiters: list["asyncio.Future[None]"] = field(default_factory=list)
    acts: list[Callable[[], object]] = field(default_factory=list)
    claimed: list[int] = field(default_factory=list)
    """Numbers of bodies that these changes are the first to name."""
    strays: list[int] = field(default_factory=list)
    """Numbers of bodies that no record will name."""


class DiskJournal:
    """Implements base.Journal in a folder that nobody else writes to; to be opened and closed on the event loop."""

    def __init__(self, folder: Path, log: Log | None = None) -> None:
        self._folder = folder
        self._log = log or Log(folder)
        self._entries: list[Entry] = []
        self._batch = Batch()
        self._writing: Batch | None = None
        self._unclaimed: set[int] = set()
        self._jobs: SimpleQueue[Batch | None] = SimpleQueue()
        self._full = False
        self._timed = False
        self._cleans = True
        self._rest_until_s = 0.0

    def open(self) -> None:
        """Read what is kept, blocking, and begin to write; raises InputError."""
        try:
            self._entries = self._log.open()
        except OSError as error:
            where = error.filename or self._folder
            raise InputError(f"{where}: cannot be used ({error.strerror}); give another --data") from error
        self._numbers = itertools.count(self._log.next_body)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._write_all, name="journal", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Write what is left and end."""
        if self.pending:
            with suppress(NotKeptError):  # told when it happened; nobody waits for an answer any more
                await self.kept()
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        self._log.close()

    @property
    def pending(self) -> bool:
        """Whether a change is not yet kept."""
        return self._writing is not None or bool(self._batch.changes)

    def entries(self) -> Iterator[Entry]:
        """What was kept when the folder was opened; each is given once."""
        entries, self._entries = self._entries, []
        yield from entries

    def save(self, name: Name, describe: Describe, undo: Undo, body: Body = b"") -> None:
        """Keep a document in place of one of the same name."""
        self._add(Change(name, describe(), body), undo)
        if isinstance(body, BodyFile) and body.number in self._unclaimed:
            self._unclaimed.discard(body.number)
            self._batch.claimed.append(body.number)

    def remove(self, name: Name, undo: Undo) -> None:
        """Keep a document no longer."""
        self._add(Change(name), undo)

    def when_kept(self, act: Callable[[], object]) -> None:
        """Act when all changes so far are kept."""
        if self._batch.changes:
            self._batch.acts.append(act)
        elif self._writing is not None:
            self._writing.acts.append(act)
        else:
            act()

    async def kept(self) -> None:
        """Return when all changes so far are in the kernel's hands; raises NotKeptError."""
        batch = self._batch if self._batch.changes else self._writing
        if batch is None:
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        batch.waiters.append(waiter)
        self._hand_over()
        await waiter

    def place(self, content: bytes) -> "_Placing":
        """Write a large body to a file of its own."""
        return _Placing(self, content)

    async def write_body(self, content: bytes) -> Body:
        """A body that fits into memory as it is, another one's file; raises NotKeptError."""
        if len(content) <= IN_MEMORY_BYTES:
            return content
        number = next(self._numbers)
        self._unclaimed.add(number)
        path = body_path(self._folder / "bodies", number)
        writing = asyncio.ensure_future(asyncio.to_thread(write_body, path, content))
        try:
            return await asyncio.shield(writing)
        except OSError as error:
            self._unclaimed.discard(number)
            self._tell(error)
            raise NotKeptError(str(error.strerror)) from error
        except asyncio.CancelledError:
            writing.add_done_callback(lambda _: self.release(number))
            raise

    def release(self, number: int) -> None:
        """A body's file has been placed; remove it if no document was saved with it."""
        if number in self._unclaimed:
            self._unclaimed.discard(number)
            self._batch.strays.append(number)
            self._hand_over()

    # On the event loop

    def _add(self, change: Change, undo: Undo) -> None:
        if not self._timed:
            self._timed = True
            self._loop.call_later(UNAWAITED_S, self._in_time)
        self._batch.changes.append(change)
        self._batch.undos.append(undo)

    def _in_time(self) -> None:
        self._timed = False
        self._hand_over()

    def _hand_over(self) -> None:
        """Give the thread what has come, unless it is still writing: then it gets all at once afterwards."""
        if self._writing is None and (self._batch.changes or self._batch.strays):
            self._writing, self._batch = self._batch, Batch()
            self._jobs.put(self._writing)

    def _written(self) -> None:
        batch, self._writing = self._writing, None
        self._hand_over()
        assert batch is not None  # noqa: S101 - it was given to the thread
        if self._full and any(change.document is not None for change in batch.changes):
            self._full = False
            _log.warning("data folder %s: can be written again", self._folder)
        for act in batch.acts:
            act()
        for waiter in batch.waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _failed(self, error: OSError) -> None:
        """Take back what was to be written and all that has been changed since, which may rest on it."""
        assert self._writing is not None  # noqa: S101 - it was given to the thread
        batches = (self._writing, self._batch)
        self._writing, self._batch = None, Batch()
        for batch in reversed(batches):
            for undo in reversed(batch.undos):
                undo()
            self._batch.strays += batch.strays + batch.claimed
        self._tell(error)
        for waiter in itertools.chain.from_iterable(batch.waiters for batch in batches):
            if not waiter.done():
                waiter.set_exception(NotKeptError(error.strerror))
        self._hand_over()

    def _tell(self, error: OSError) -> None:
        """One line when writing begins to fail, not one for each request that fails."""
        if not self._full:
            self._full = True
            _log.error("data folder %s: cannot be written (%s); free disk space", self._folder, error.strerror)

    # In the thread

    def _write_all(self) -> None:
        go_first()  # like the event loop, which waits for this thread and shares the interpreter with it
        while (batch := self._next_job()) is not None:
            try:
                self._log.append(batch.changes)
            except OSError as error:
                self._loop.call_soon_threadsafe(self._failed, error)
            else:
                for number in batch.strays:
                    self._log.forget_body(number)
                self._loop.call_soon_threadsafe(self._written)

    def _next_job(self) -> Batch | None:
        """The next batch; while there is none, superseded records are cleaned away."""
        while True:
            try:
                return self._jobs.get(timeout=self._patience_s())
            except Empty:
                self._tidy()

    def _patience_s(self) -> float | None:
        """How long to wait for a batch before something else is done; None: there is nothing else."""
        if not self._cleans or (self._log.reserved and not self._log.wants_cleaning):
            return None
        return max(PAUSE_S, self._rest_until_s - time.monotonic())

    def _tidy(self) -> None:
        try:
            self._log.keep_reserve()
            if self._log.wants_cleaning:
                self._log.clean_some()
            if not self._log.reserved:
                self._rest_until_s = time.monotonic() + RETRY_S
            elif self._log.waits:
                self._rest_until_s = time.monotonic() + SYNC_PAUSE_S
        except OSError as error:
            self._rest_until_s = time.monotonic() + RETRY_S
            _log.error("data folder %s: cannot be cleaned (%s); free disk space", self._folder, error.strerror)
        except DamagedError as error:
            self._cleans = False
            _log.error("data folder %s: %s in a file of the journal: it is not cleaned any more", self._folder, error)


@asynccontextmanager
async def journal_in(path: Path | None) -> AsyncIterator[Journal]:
    """The journal in a data folder, held until the end; without one, a journal that keeps nothing.

    Raises InputError for a folder that cannot be used, HostError for one that another server holds.
    """
    if path is None:
        yield NoJournal()
        return
    with data_folder(path) as folder:
        journal = DiskJournal(folder)
        journal.open()
        try:
            yield journal
        finally:
            await journal.close()


class _Placing:
    """A body on its way; at the end its file goes unless a document was saved with it."""

    __slots__ = ("_body", "_content", "_journal")

    def __init__(self, journal: DiskJournal, content: bytes) -> None:
        self._journal = journal
        self._content = content
        self._body: Body = b""

    async def __aenter__(self) -> Body:
        self._body = await self._journal.write_body(self._content)
        return self._body

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(self._body, BodyFile):
            self._journal.release(self._body.number)
