"""Copies: where they come from, and what becomes of the source's description."""

from collections.abc import Awaitable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar
from urllib.parse import unquote

from serverless_mlperf.platforms.local.gateway import s3_checksums
from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.http import Request
from serverless_mlperf.platforms.local.gateway.s3_conditions import check_copy_source
from serverless_mlperf.platforms.local.gateway.s3_errors import invalid_argument, invalid_request, no_such_key
from serverless_mlperf.platforms.local.gateway.s3_headers import PLACE, kept_headers
from serverless_mlperf.platforms.local.gateway.s3_payload import off_loop
from serverless_mlperf.platforms.local.gateway.s3_store import Content, ObjectStore, StoredObject
from serverless_mlperf.platforms.local.gateway.s3_tags import read_header
from serverless_mlperf.platforms.local.gateway.s3_versions import check_version
from serverless_mlperf.platforms.local.journal.base import Body, bytes_of
from serverless_mlperf.platforms.local.model import ACCOUNT_ID

T = TypeVar("T")
SOURCE: Final = "x-amz-copy-source"
DIRECTIVES: Final = frozenset(("COPY", "REPLACE"))
CHANGES: Final = PLACE
"""Headers that make a copy of an object onto itself legal."""


def copy_source(store: ObjectStore, headers: Mapping[str, str]) -> tuple[str, StoredObject]:
    """Bucket and object that `x-amz-copy-source` names, its conditions checked."""
    given = headers[SOURCE]
    path, _, query = given.partition("?")
    check_version({"versionId": query.removeprefix("versionId=")} if query else {})
    bucket, _, key = _decoded(path).removeprefix("/").partition("/")
    if not bucket or not key or bucket.startswith("arn:"):
        raise invalid_argument("Invalid copy source object key", SOURCE, given)
    if headers.get("x-amz-source-expected-bucket-owner", ACCOUNT_ID) != ACCOUNT_ID:
        raise ApiError(403, "AccessDenied", "Access Denied")
    stored = store.get(store.bucket(bucket), key)
    check_copy_source(headers, stored)
    return bucket, stored


def _decoded(path: str) -> str:
    try:
        return unquote(path, errors="strict")
    except UnicodeDecodeError:
        raise invalid_argument("Invalid copy source encoding.", SOURCE, path) from None


def directive(headers: Mapping[str, str], what: str) -> str:
    """COPY or REPLACE."""
    name = f"x-amz-{what}-directive"
    value = headers.get(name, "COPY").upper()
    if value not in DIRECTIVES:
        raise invalid_argument(f"Unknown {what} directive.", name, headers[name])
    return value


def check_change(request: Request, *, same: bool) -> None:
    """ApiError InvalidRequest for a copy of an object onto itself that would change nothing."""
    if same and directive(request.headers, "metadata") == "COPY" and CHANGES.isdisjoint(request.headers):
        raise invalid_request(
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes."
        )


def copied_headers(headers: Mapping[str, str], source: StoredObject) -> dict[str, str]:
    """The description of a copy: the request's, or the source's with the request's storage."""
    given = kept_headers(headers)
    if directive(headers, "metadata") == "REPLACE":
        return given
    kept = {name: value for name, value in source.headers.items() if name not in PLACE}
    return {**kept, **{name: given[name] for name in PLACE if name in given}}


def copied_tags(headers: Mapping[str, str], source: StoredObject) -> Mapping[str, str]:
    """The tags of a copy."""
    if directive(headers, "tagging") == "REPLACE":
        return read_header(headers.get("x-amz-tagging", ""))
    return source.tags


async def copied_content(headers: Mapping[str, str], source: StoredObject) -> Content:
    """The bytes, as an object that was put at once: the ETag of what came in parts becomes an MD5."""
    content = source.content
    algorithm = wanted_algorithm(headers) or content.checksum.algorithm
    if content.parts or algorithm != content.checksum.algorithm:
        make = partial(whole_content, content.body, algorithm)
    elif isinstance(content.body, bytes):
        return content
    else:
        make = partial(_in_memory, content)
    return await source_read(off_loop(len(content.body), make), source.key)


async def source_read(reading: Awaitable[T], key: str) -> T:
    """What is made of a source's bytes; ApiError NoSuchKey when it was removed meanwhile."""
    try:
        return await reading
    except FileNotFoundError:
        raise no_such_key(key) from None


def _in_memory(content: Content) -> Content:
    return replace(content, body=bytes_of(content.body))


def whole_content(source: Body, algorithm: str) -> Content:
    """Content with the ETag and checksum of its bytes; blocking for large ones."""
    body = bytes_of(source)
    etag = s3_checksums.raw_digest("MD5", body).hex()
    return Content(body, etag, s3_checksums.checksum_of(algorithm, body))


def wanted_algorithm(headers: Mapping[str, str]) -> str | None:
    """The checksum algorithm that a copy or multipart upload asks for."""
    given = headers.get("x-amz-checksum-algorithm", "")
    algorithm = s3_checksums.known_algorithm(given)
    if given and algorithm is None:
        raise invalid_request(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types"
        )
    return algorithm
