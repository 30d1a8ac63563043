"""The checksums that S3 verifies, keeps and gives back (AmazonS3/latest/userguide/checking-object-integrity)."""

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
import hashlib
from typing import Final
import zlib

from awscrt import checksums

FULL_OBJECT: Final = "FULL_OBJECT"
COMPOSITE: Final = "COMPOSITE"
DEFAULT: Final = "CRC64NVME"
"""What S3 computes for an object that came without a checksum."""
PREFIX: Final = "x-amz-checksum-"


def _xxhash(make: Callable[[], checksums.XXHash]) -> Callable[[bytes], bytes]:
    def digest(body: bytes) -> bytes:
        state = make()
        state.update(body)
        return bytes(state.finalize())

    return digest


# zlib's CRC-32 gives up the interpreter's lock; awscrt's CRCs hold it, at tens of gigabytes a second.
_DIGESTS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "CRC32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    "CRC32C": lambda body: checksums.crc32c(body).to_bytes(4, "big"),
    "CRC64NVME": lambda body: checksums.crc64nvme(body).to_bytes(8, "big"),
    "SHA1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "SHA256": lambda body: hashlib.sha256(body).digest(),
    "SHA512": lambda body: hashlib.sha512(body).digest(),
    "MD5": lambda body: hashlib.md5(body, usedforsecurity=False).digest(),
    "XXHASH64": _xxhash(checksums.XXHash.new_xxhash64),
    "XXHASH3": _xxhash(checksums.XXHash.new_xxhash3_64),
    "XXHASH128": _xxhash(checksums.XXHash.new_xxhash3_128),
}
ALGORITHMS: Final = frozenset(_DIGESTS)
DIGEST_BYTES: Final = {name: len(digest(b"")) for name, digest in _DIGESTS.items()}
LINEAR: Final = frozenset(("CRC32", "CRC32C", "CRC64NVME"))
"""Only these can be the checksum of a whole object that came in parts."""


@dataclass(frozen=True, slots=True)
class Checksum:
    """One checksum of an object or a part."""

    algorithm: str
    value: str
    """Base64; a composite one ends with `-` and the number of parts."""
    kind: str = FULL_OBJECT

    @property
    def header(self) -> str:
        """The header it travels in."""
        return PREFIX + self.algorithm.lower()

    @property
    def element(self) -> str:
        """The XML element it travels in."""
        return f"Checksum{self.algorithm}"

    def as_row(self) -> tuple[str, str, str]:
        """Its fields, as they are kept."""
        return self.algorithm, self.value, self.kind

    @property
    def headers(self) -> dict[str, str]:
        """Value and type as an answer's headers."""
        return {self.header: self.value, "x-amz-checksum-type": self.kind}


def raw_digest(algorithm: str, body: bytes) -> bytes:
    """The checksum's bytes."""
    return _DIGESTS[algorithm](body)


def checksum_of(algorithm: str, body: bytes) -> Checksum:
    """The checksum of the whole of a body."""
    return Checksum(algorithm, b64encode(raw_digest(algorithm, body)).decode())


def composite(algorithm: str, digests: Iterable[bytes]) -> Checksum:
    """The checksum of the parts' checksums."""
    parts = list(digests)
    value = b64encode(raw_digest(algorithm, b"".join(parts))).decode()
    return Checksum(algorithm, f"{value}-{len(parts)}", COMPOSITE)


def known_algorithm(name: str) -> str | None:
    """The algorithm of that name in upper case; None for one that S3 does not have."""
    upper = name.upper()
    return upper if upper in ALGORITHMS else None
