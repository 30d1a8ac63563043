"""How records lie in a file of the journal: framed, so that what is torn, damaged and good can be told apart.

A process that is killed leaves at most the beginning of its last write. So a record that the file ends within is torn,
was never acknowledged and is cut off; one that is all there with a wrong checksum is damaged. The head has a checksum
of its own: a damaged length is not taken for a torn record. A host that loses its power may leave zeros instead of the
last blocks: what they begin in is torn, too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
import json
from struct import Struct
from typing import Any, Final

from awscrt.checksums import crc32c

from serverless_mlperf.platforms.local.journal.base import Name

MAGIC: Final = b"smlp-journal 1\n\0"
"""What a file of the journal begins with."""
HEAD: Final = Struct(">IIIQI")
"""Bytes of name, of document (0: the name is removed), of body; number of its file or 0; CRC-32C of the three."""
CRC: Final = Struct(">I")
HEAD_BYTES: Final = HEAD.size + CRC.size
SECTOR_BYTES: Final = 512
"""The least that a disk writes or does not write."""
_encode = json.JSONEncoder(separators=(",", ":")).encode


class DamagedError(Exception):
    """A record's bytes are not those that were written."""

    def __init__(self, offset: int, end: int) -> None:
        super().__init__(f"damaged at byte {offset}")
        self.offset, self.end = offset, end
        """The part whose checksum is wrong."""


@dataclass(frozen=True, slots=True)
class Framed:
    """A record in a file."""

    offset: int
    whole: memoryview
    """With its head."""
    file: int
    """Number of the body's file; 0: it has none."""
    name: bytes
    document: memoryview
    """Empty: the name is removed."""
    body: memoryview

    @property
    def end(self) -> int:
        """Where the next record begins."""
        return self.offset + len(self.whole)


def name_bytes(name: Name) -> bytes:
    """A name as records carry it."""
    return _encode(name).encode()


def framed(name: bytes, document: Mapping[str, Any] | None, body: bytes = b"", file: int = 0) -> tuple[bytes, ...]:
    """The bytes of a record, in pieces so that a body is not copied; without a document, of a removal."""
    text = b"" if document is None else _encode(document).encode()
    crc = crc32c(body, crc32c(text, crc32c(name)))
    head = HEAD.pack(len(name), len(text), len(body), file, crc)
    start = b"".join((head, CRC.pack(crc32c(head)), name, text))
    return (start, body) if body else (start,)


def read_records(content: memoryview) -> Iterator[Framed]:
    """The whole records of a file, up to a torn one; raises DamagedError."""
    if bytes(content[: len(MAGIC)]) != MAGIC[: len(content)]:
        raise DamagedError(0, len(MAGIC))
    offset = len(MAGIC)
    while (record := _record_at(content, offset)) is not None:
        yield record
        offset = record.end


def unwritten(content: memoryview, error: DamagedError) -> bool:
    """Whether whole sectors of zeros, from somewhere in the damaged part to the end of the file, are the damage.

    Else it is of another kind, or there is something behind it.
    """
    written = len(bytes(content).rstrip(b"\0"))
    return written <= error.offset or -(-written // SECTOR_BYTES) * SECTOR_BYTES < error.end


def _record_at(content: memoryview, offset: int) -> Framed | None:
    head = content[offset : offset + HEAD.size]
    start = offset + HEAD_BYTES
    if start > len(content):
        return None
    if CRC.unpack(content[offset + HEAD.size : start])[0] != crc32c(head):
        raise DamagedError(offset, start)
    name_size, text_size, body_size, file, crc = HEAD.unpack(head)
    end = start + name_size + text_size + body_size
    if end > len(content):
        return None
    if crc32c(content[start:end]) != crc:
        raise DamagedError(offset, end)
    text = start + name_size
    body = text + text_size
    return Framed(offset, content[offset:end], file, bytes(content[start:text]), content[text:body], content[body:end])
