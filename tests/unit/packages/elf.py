"""What a shared library demands of the machine it is loaded on, read from its dynamic section (man 5 elf)."""

from collections.abc import Iterator
from dataclasses import dataclass
import struct

MACHINES = {62: "x86_64", 183: "arm64"}
"""EM_X86_64, EM_AARCH64."""
_LOAD, _DYNAMIC = 1, 2
_NEEDED, _STRINGS, _VERSIONS, _VERSIONS_COUNT = 1, 5, 0x6FFFFFFE, 0x6FFFFFFF


@dataclass(frozen=True)
class Library:
    """One ELF file of 64 bits."""

    machine: str
    needed: frozenset[str]
    """Names of the libraries it is linked with."""
    versions: frozenset[str]
    """Symbol versions it demands of them, e.g. `GLIBC_2.17`."""

    def newest(self, prefix: str) -> tuple[int, ...]:
        """The newest version with a prefix such as `GLIBC_`; () if it demands none."""
        numbers = (v.removeprefix(prefix) for v in self.versions if v.startswith(prefix) and v[len(prefix)].isdigit())
        return max((tuple(int(part) for part in number.split(".")) for number in numbers), default=())


def is_elf(data: bytes) -> bool:
    """Whether it begins as machine code does."""
    return data.startswith(b"\x7fELF")


def library(data: bytes) -> Library:
    """Read one; little-endian and of 64 bits, as both of Lambda's architectures are."""
    assert data[:6] == b"\x7fELF\x02\x01"
    (machine,) = struct.unpack_from("<H", data, 18)
    (headers_at,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    headers = [struct.unpack_from("<IIQQQQQQ", data, headers_at + size * i) for i in range(count)]
    places = [(at, offset, length) for kind, _, offset, at, _, length, _, _ in headers if kind == _LOAD]
    tags = [
        entry for kind, _, offset, _, _, n, _, _ in headers if kind == _DYNAMIC for entry in _pairs(data, offset, n)
    ]
    table = dict(tags)
    strings = _offset(places, table[_STRINGS])
    needed = frozenset(_text(data, strings + value) for tag, value in tags if tag == _NEEDED)
    first = _offset(places, table[_VERSIONS]) if _VERSIONS in table else 0
    versions = frozenset(_versions(data, first, table.get(_VERSIONS_COUNT, 0), strings))
    return Library(MACHINES[machine], needed, versions)


def _pairs(data: bytes, offset: int, length: int) -> Iterator[tuple[int, int]]:
    for tag, value in struct.iter_unpack("<QQ", data[offset : offset + length]):
        if tag == 0:
            return
        yield tag, value


def _offset(places: list[tuple[int, int, int]], address: int) -> int:
    return next(offset + address - at for at, offset, length in places if at <= address < at + length)


def _text(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode()


def _versions(data: bytes, offset: int, count: int, strings: int) -> Iterator[str]:
    for _ in range(count):
        _, names, _, auxiliary, following = struct.unpack_from("<HHIII", data, offset)
        at = offset + auxiliary
        for _ in range(names):
            _, _, _, name, step = struct.unpack_from("<IHHII", data, at)
            yield _text(data, strings + name)
            at += step
        offset += following
