"""What a request's body is, once everything that the client promised about it has been verified."""

import asyncio
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
import hashlib
import re
from typing import Final, TypeVar

from serverless_mlperf.platforms.local.gateway import s3_checksums
from serverless_mlperf.platforms.local.gateway.chunks import is_chunked, malformed_trailer, read_chunks
from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.http import Request
from serverless_mlperf.platforms.local.gateway.s3_checksums import Checksum
from serverless_mlperf.platforms.local.gateway.s3_errors import invalid_argument, invalid_request

HASH_INLINE_BYTES: Final = 128 << 10
"""MD5 and SHA-256 of a larger body take over half a millisecond: they are computed in a thread, off the event loop."""
T = TypeVar("T")
SHA256: Final = re.compile(r"[0-9a-f]{64}")
NO_ALGORITHM: Final = frozenset((f"{s3_checksums.PREFIX}algorithm", f"{s3_checksums.PREFIX}type"))
"""Headers that look like a checksum and are none."""


@dataclass(frozen=True, slots=True)
class Payload:
    """A verified body."""

    body: bytes
    md5: bytes
    checksum: Checksum
    """The client's, or one of our own when it sent none."""
    declared: bool
    """Whether the client sent the checksum."""

    @property
    def etag(self) -> str:
        """Of an object or part with this content: its MD5."""
        return self.md5.hex()


async def receive(request: Request, algorithm: str = s3_checksums.DEFAULT) -> Payload:
    """Decode and verify a body; `algorithm` is computed when the client sent no checksum.

    Raises ApiError: BadDigest, InvalidDigest, XAmzContentSHA256Mismatch, IncompleteBody, InvalidRequest.
    """
    return await off_loop(len(request.body), partial(read_payload, request.headers, request.body, algorithm))


async def off_loop(size: int, work: Callable[[], T]) -> T:
    """Do work in a thread when it is about many bytes."""
    return work() if size <= HASH_INLINE_BYTES else await asyncio.to_thread(work)


def read_payload(headers: Mapping[str, str], raw: bytes, algorithm: str) -> Payload:
    """Decode and verify; blocking for large bodies."""
    body, trailers = read_chunks(raw) if is_chunked(headers) else (raw, {})
    _check_length(headers, body)
    _check_sha256(headers.get("x-amz-content-sha256", ""), body)
    md5 = hashlib.md5(body, usedforsecurity=False).digest()
    if "content-md5" in headers:
        _check_md5(headers["content-md5"], md5)
    declared = _declared(headers, trailers)
    if declared is None:
        return Payload(body, md5, s3_checksums.checksum_of(algorithm, body), declared=False)
    if s3_checksums.checksum_of(declared.algorithm, body) != declared:
        raise bad_checksum(declared.algorithm)
    return Payload(body, md5, declared, declared=True)


def _check_length(headers: Mapping[str, str], body: bytes) -> None:
    given = headers.get("x-amz-decoded-content-length")
    if given is None:
        if is_chunked(headers):
            raise ApiError(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
        return
    if given != str(len(body)):
        raise ApiError(
            400,
            "IncompleteBody",
            "You did not provide the number of bytes specified by the x-amz-decoded-content-length HTTP header",
        )


def _check_sha256(given: str, body: bytes) -> None:
    if not given or given == "UNSIGNED-PAYLOAD" or given.startswith("STREAMING-"):
        return
    if not SHA256.fullmatch(given):
        raise invalid_argument(
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
            "x-amz-content-sha256",
            given,
        )
    computed = hashlib.sha256(body).hexdigest()
    if computed != given:
        raise ApiError(
            400,
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
            {"ClientComputedContentSHA256": given, "S3ComputedContentSHA256": computed},
        )


def _check_md5(given: str, computed: bytes) -> None:
    sent = _decoded(given)
    if sent is None or len(sent) != len(computed):
        raise ApiError(400, "InvalidDigest", "The Content-MD5 you specified was invalid.", {"Content-MD5": given})
    if sent != computed:
        raise ApiError(
            400,
            "BadDigest",
            "The Content-MD5 you specified did not match what we received.",
            {"ExpectedDigest": sent.hex(), "CalculatedDigest": computed.hex()},
        )


def _declared(headers: Mapping[str, str], trailers: Mapping[str, str]) -> Checksum | None:
    """The checksum that came in a header or trailer."""
    promised = {name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",")} - {""}
    if promised != trailers.keys() - {"x-amz-trailer-signature"}:
        raise malformed_trailer()
    found = checksum_headers({**headers, **trailers} if trailers else headers)
    if found is None and "x-amz-sdk-checksum-algorithm" in headers:
        raise invalid_request(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers "
            "were found."
        )
    return found


def checksum_headers(headers: Mapping[str, str]) -> Checksum | None:
    """The one checksum among the headers; ApiError InvalidRequest for several or a damaged one."""
    names = [name for name in headers if name.startswith(s3_checksums.PREFIX) and name not in NO_ALGORITHM]
    if not names:
        return None
    if len(names) > 1:
        raise invalid_request("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
    name, value = names[0], headers[names[0]]
    algorithm = s3_checksums.known_algorithm(name.removeprefix(s3_checksums.PREFIX))
    if algorithm is None:
        raise invalid_request("The algorithm type you specified in x-amz-checksum- header is invalid.")
    digest = _decoded(value.partition("-")[0])
    if digest is None or len(digest) != s3_checksums.DIGEST_BYTES[algorithm]:
        raise invalid_request(f"Value for {name} header is invalid.")
    return Checksum(algorithm, value, s3_checksums.COMPOSITE if "-" in value else s3_checksums.FULL_OBJECT)


def bad_checksum(algorithm: str) -> ApiError:
    """The bytes do not have the checksum that the client gave."""
    return ApiError(400, "BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")


def _decoded(value: str) -> bytes | None:
    """The bytes of a base64 text; None when it is none."""
    try:
        return b64decode(value, validate=True)
    except ValueError:  # binascii.Error is one, and what is no ASCII another
        return None
