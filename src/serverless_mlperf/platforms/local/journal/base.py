"""The seam between the state of the local platform and what keeps it: nothing, or a data folder."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from serverless_mlperf.platforms.local.journal.bodies import BodyFile

Name = tuple[str, ...]
"""What a document is kept under: its kind first, and whose it is (`("object", bucket, key)`)."""
Body = bytes | BodyFile
"""Bytes in memory, or in a file of the data folder; both have a length."""
Describe = Callable[[], Mapping[str, Any]]
"""Makes a document of JSON values; called at once, and only where documents are kept."""
Undo = Callable[[], object]
"""Takes a change back in memory."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A document that an earlier process kept."""

    name: Name
    document: dict[str, Any]
    body: Body


def bytes_of(body: Body, start: int = 0, stop: int | None = None) -> bytes:
    """The bytes of a body's range; blocking when they are in a file.

    Raises FileNotFoundError when it was removed meanwhile, DamagedBodyError.
    """
    return body.read(start, stop) if isinstance(body, BodyFile) else body[start:stop]


def entries_by_kind(journal: "Journal") -> dict[str, list[Entry]]:
    """What is kept, by the first word of its name."""
    found: dict[str, list[Entry]] = {}
    for entry in journal.entries():
        found.setdefault(entry.name[0], []).append(entry)
    return found


class NotKeptError(Exception):
    """A change could not be written down; it and all changes since have been taken back."""


class Placing(Protocol):
    """Puts a body where bodies are kept; an async context manager, at whose end nobody's file is removed."""

    async def __aenter__(self) -> Body:
        """The body to be saved; raises NotKeptError when there is no room for it."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the file unless a document was saved with it."""


class Journal(Protocol):
    """Keeps documents by name, those of one process for the next one; used from one event loop.

    Changes are made in memory first and told here in the same step, so that their order is that of memory. Nothing
    may be answered that rests on a change before `kept` returns. When writing fails, all changes that are not yet kept
    are undone in memory, the last one first, and whoever awaits `kept` gets NotKeptError; later ones are tried again.
    """

    @property
    def pending(self) -> bool:
        """Whether a change is not yet kept."""

    def entries(self) -> Iterator[Entry]:
        """What is kept, in no order; to be asked before the first change."""

    def save(self, name: Name, describe: Describe, undo: Undo, body: Body = b"") -> None:
        """Keep a document in place of one of the same name; returns at once."""

    def remove(self, name: Name, undo: Undo) -> None:
        """Keep a document no longer; returns at once."""

    def when_kept(self, act: Callable[[], object]) -> None:
        """Act when all changes so far are kept, or at once if they are; never if they cannot be."""

    async def kept(self) -> None:
        """Return when all changes so far would survive the end of the process; raises NotKeptError."""

    def place(self, content: bytes) -> Placing:
        """Put a body where it will be kept, before the document that goes with it."""


class _InMemory:
    """A body that stays where it is."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aenter__(self) -> bytes:
        return self._content

    async def __aexit__(self, *_: object) -> None:
        pass


class NoJournal:
    """Keeps nothing: all is forgotten with the process."""

    pending = False

    def entries(self) -> Iterator[Entry]:
        """There is nothing."""
        return iter(())

    def save(self, name: Name, describe: Describe, undo: Undo, body: Body = b"") -> None:
        """Nothing to do."""

    def remove(self, name: Name, undo: Undo) -> None:
        """Nothing to do."""

    def when_kept(self, act: Callable[[], object]) -> None:
        """Act at once."""
        act()

    async def kept(self) -> None:
        """Memory has it."""

    def place(self, content: bytes) -> Placing:
        """Bodies stay in memory."""
        return _InMemory(content)
