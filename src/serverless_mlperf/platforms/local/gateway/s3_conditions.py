"""Conditional requests (AmazonS3/latest/userguide/conditional-requests; RFC 9110, section 13)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.s3_errors import header_not_implemented, no_such_key, precondition_failed
from serverless_mlperf.platforms.local.gateway.s3_store import StoredObject

READ_CONDITIONS = frozenset(("if-match", "if-none-match", "if-modified-since", "if-unmodified-since"))
COPY_SOURCE = "x-amz-copy-source-"


def check_read(headers: Mapping[str, str], stored: StoredObject) -> None:
    """Of GET and HEAD; ApiError 412, or 304 without a document."""
    if READ_CONDITIONS.isdisjoint(headers):
        return
    failed = _failed(headers, stored, "")
    if failed in {"if-match", "if-unmodified-since"}:
        raise precondition_failed(_title(failed))
    if failed:
        raise ApiError(304, "NotModified", "Not Modified", headers=validators(stored))


def check_copy_source(headers: Mapping[str, str], stored: StoredObject) -> None:
    """Of CopyObject and UploadPartCopy: what does not hold is 412, whichever it is."""
    failed = _failed(headers, stored, COPY_SOURCE)
    if failed:
        raise precondition_failed(COPY_SOURCE + _title(failed))


def check_write(headers: Mapping[str, str], key: str, present: StoredObject | None) -> None:
    """Of PUT, copy and the completion of a multipart upload; call it where nothing can come between it and the write.

    ApiError 412; 404 when If-Match names an object that is not there; 501 for If-None-Match with an ETag.
    """
    unless = headers.get("if-none-match")
    if unless is not None:
        if unless.strip() != "*":
            raise header_not_implemented("If-None-Match")
        if present is not None:
            raise precondition_failed("If-None-Match")
    check_match(headers.get("if-match"), key, present)


def check_match(wanted: str | None, key: str, present: StoredObject | None) -> None:
    """If-Match of a write or a delete."""
    if wanted is None:
        return
    if present is None:
        raise no_such_key(key)
    if not etag_matches(wanted, present.etag):
        raise precondition_failed("If-Match")


def range_holds(headers: Mapping[str, str], stored: StoredObject) -> bool:
    """If-Range: whether a range is still one of the object that the client knows."""
    wanted = headers.get("if-range")
    if wanted is None:
        return True
    moment = _moment(wanted)
    return moment == _second(stored) if moment else etag_matches(wanted, stored.etag)


def validators(stored: StoredObject) -> dict[str, str]:
    """ETag and Last-Modified of an answer."""
    return {"etag": f'"{stored.etag}"', "last-modified": format_datetime(stored.modified, usegmt=True)}


def etag_matches(wanted: str, etag: str) -> bool:
    """Whether a list of ETags, quoted or not, or `*` covers the ETag."""
    tags = (tag.strip().removeprefix("W/").strip('"') for tag in wanted.split(","))
    return any(tag in {"*", etag} for tag in tags)


def _failed(headers: Mapping[str, str], stored: StoredObject, prefix: str) -> str:
    """The condition that does not hold, empty when all do; an ETag outranks a date (RFC 9110, 13.2.2)."""
    match, unless = headers.get(f"{prefix}if-match"), headers.get(f"{prefix}if-none-match")
    if match is not None:
        if not etag_matches(match, stored.etag):
            return "if-match"
    elif (limit := _moment(headers.get(f"{prefix}if-unmodified-since"))) and _second(stored) > limit:
        return "if-unmodified-since"
    if unless is not None:
        return "if-none-match" if etag_matches(unless, stored.etag) else ""
    since = _moment(headers.get(f"{prefix}if-modified-since"))
    return "if-modified-since" if since and _second(stored) <= since <= datetime.now(UTC) else ""


def _moment(given: str | None) -> datetime | None:
    """An HTTP date; None for anything else, which is to be ignored (RFC 9110, 13.1.3)."""
    try:
        moment = parsedate_to_datetime(given) if given else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def _second(stored: StoredObject) -> datetime:
    """When the object was written, to the second, as Last-Modified says it."""
    return stored.modified.replace(microsecond=0)


def _title(name: str) -> str:
    return "-".join(word.capitalize() for word in name.split("-"))
