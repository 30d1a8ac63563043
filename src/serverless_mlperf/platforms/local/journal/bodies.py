"""Bodies too large to be kept in memory: a file each, named by number, verified block by block when read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
import os
from pathlib import Path
from typing import Any, Final

from awscrt.checksums import crc32c

BLOCK_BYTES: Final = 1 << 20
"""What one checksum covers: a range of an object costs at most two blocks more than its own bytes."""


class DamagedBodyError(Exception):
    """A body is not what was written; the message is one line."""


@dataclass(frozen=True, slots=True)
class BodyFile:
    """One body on disk."""

    path: Path
    size: int
    sums: tuple[int, ...]
    """CRC-32C of each block."""

    def __len__(self) -> int:
        return self.size

    def __bool__(self) -> bool:
        return True

    @property
    def number(self) -> int:
        """What it is named by."""
        return int(self.path.name)

    def as_document(self) -> dict[str, Any]:
        """What a record says of it."""
        return {"number": self.number, "size": self.size, "sums": list(self.sums)}

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes of a range, verified; blocking.

        Raises FileNotFoundError when the body was removed meanwhile, DamagedBodyError when it is not what was written.
        """
        end = self.size if stop is None else stop
        first, last = start // BLOCK_BYTES, -(-end // BLOCK_BYTES)
        with self.path.open("rb") as file:
            file.seek(first * BLOCK_BYTES)
            content = file.read(min(last * BLOCK_BYTES, self.size) - first * BLOCK_BYTES)
        for number, block in enumerate(_blocks(content), first):
            if crc32c(block) != self.sums[number]:
                raise self._damaged(number)
        if len(content) < end - first * BLOCK_BYTES:
            raise self._damaged(first + len(content) // BLOCK_BYTES)
        offset = first * BLOCK_BYTES
        return content if (start, end) == (offset, offset + len(content)) else content[start - offset : end - offset]

    def block(self, descriptor: int, number: int) -> bytes:
        """One block of the open file, verified; blocking. Raises DamagedBodyError, OSError."""
        offset = number * BLOCK_BYTES
        content = os.pread(descriptor, min(BLOCK_BYTES, self.size - offset), offset)
        if len(content) < min(BLOCK_BYTES, self.size - offset) or crc32c(content) != self.sums[number]:
            raise self._damaged(number)
        return content

    def missing(self) -> DamagedBodyError:
        """It was not removed by us."""
        return DamagedBodyError(f"{self.path}: is missing; put the object again")

    def _damaged(self, block: int) -> DamagedBodyError:
        return DamagedBodyError(f"{self.path}: damaged in the MiB at byte {block * BLOCK_BYTES}; put the object again")


class BodyReader:
    """A body's range, read onward block by block, whatever its size; it stays readable when its file is removed.

    All methods are blocking. Opening raises FileNotFoundError when the file is gone.
    """

    def __init__(self, body: BodyFile, start: int, stop: int) -> None:
        self._fd = -1
        self._body, self._at, self._stop = body, start, stop
        self._fd = os.open(body.path, os.O_RDONLY)

    def __del__(self) -> None:
        # Not a method that callers must remember: a client may go away while a thread is reading.
        if self._fd >= 0:
            os.close(self._fd)

    def read(self) -> bytes:
        """What follows, up to the end of its block; empty at the end. Raises DamagedBodyError, OSError."""
        if self._at >= self._stop:
            return b""
        number, skipped = divmod(self._at, BLOCK_BYTES)
        piece = self._body.block(self._fd, number)[skipped : self._stop - number * BLOCK_BYTES]
        self._at += len(piece)
        return piece


def body_of(folder: Path, document: Mapping[str, Any]) -> BodyFile:
    """The body that a record speaks of."""
    return BodyFile(body_path(folder, document["number"]), document["size"], tuple(document["sums"]))


def body_path(folder: Path, number: int) -> Path:
    """Where the body of a number lies."""
    return folder / f"{number:012d}"


def write_body(path: Path, content: bytes) -> BodyFile:
    """Write a new file; blocking. Raises OSError, and leaves none then."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return BodyFile(path, len(content), tuple(crc32c(block) for block in _blocks(content)))


def _blocks(content: bytes) -> Iterator[memoryview]:
    view = memoryview(content)
    return (view[at : at + BLOCK_BYTES] for at in range(0, len(content), BLOCK_BYTES))
