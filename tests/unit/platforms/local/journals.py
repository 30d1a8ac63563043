"""Journals in folders, as tests make and read them."""

from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from serverless_mlperf.platforms.local.journal.base import Body, Journal
from serverless_mlperf.platforms.local.journal.disk import IN_MEMORY_BYTES, DiskJournal
from serverless_mlperf.platforms.local.journal.log import Change, Log

LARGE = bytes(range(256)) * (IN_MEMORY_BYTES // 256 + 1)


@asynccontextmanager
async def opened(folder: Path) -> Any:
    """A journal in a folder, closed at the end."""
    journal = DiskJournal(folder)
    journal.open()
    try:
        yield journal
    finally:
        await journal.close()


def never() -> None:
    """An undo that must not happen."""
    raise AssertionError("undone")


def kept_in(folder: Path) -> dict[tuple[str, ...], tuple[dict[str, Any], bytes]]:
    """What a new process finds."""
    log = Log(folder)
    found = {e.name: (e.document, e.body if isinstance(e.body, bytes) else e.body.read()) for e in log.open()}
    log.close()
    return found


async def put(journal: Journal, name: str, body: bytes, undo: Callable[[], object] = never) -> Body:
    """Save a document with a body."""
    async with journal.place(body) as placed:
        journal.save(("a", name), lambda: {"size": len(body)}, undo, placed)
    return placed


def written(folder: Path, count: int, **sizes: int) -> Log:
    """A folder with some documents in it."""
    log = Log(folder, **sizes)
    log.open()
    for number in range(count):
        log.append([Change(("a", str(number)), {"n": number}, bytes(100))])
    return log
