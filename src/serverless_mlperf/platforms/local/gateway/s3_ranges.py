"""Which bytes of an object a GET is about: a range, a part, or all."""

import re
from typing import Final

from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.s3_errors import invalid_argument, invalid_request
from serverless_mlperf.platforms.local.gateway.s3_store import Part, StoredObject

RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
COPY_RANGE: Final = re.compile(r"bytes=(\d+)-(\d+)", re.ASCII)
MAX_PART: Final = 10_000
MAX_DIGITS: Final = 18

Span = tuple[int, int]
"""First byte, and the one behind the last."""


def wanted_span(given: str, size: int) -> Span | None:
    """The bytes that a Range header asks for; None for the whole.

    Several ranges, other units and what makes no sense are answered with the whole (RFC 9110, 14.2): S3 takes one.
    ApiError InvalidRange when no byte is in the range.
    """
    match = RANGE.fullmatch(given.replace(" ", ""))
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first and last and _number(first) > _number(last):
        return None
    start = _number(first) if first else max(0, size - _number(last))
    stop = min(size, _number(last) + 1) if first and last else size
    if start >= stop:
        raise ApiError(
            416,
            "InvalidRange",
            "The requested range is not satisfiable",
            {"RangeRequested": given, "ActualObjectSize": size},
            {"content-range": f"bytes */{size}"},
        )
    return start, stop


def _number(digits: str) -> int:
    """A byte position; one of absurd length is only large."""
    return int(digits[:MAX_DIGITS]) if len(digits) <= MAX_DIGITS else 10**MAX_DIGITS


def part_number(given: str) -> int:
    """A part's number; ApiError InvalidArgument outside of 1 to 10,000."""
    if not (given.isascii() and given.isdecimal()) or not 1 <= _number(given) <= MAX_PART:
        raise invalid_argument("Part number must be an integer between 1 and 10000, inclusive", "partNumber", given)
    return int(given)


def part_span(stored: StoredObject, number: int) -> tuple[Span, Part | None]:
    """The bytes of a part; an object that was put at once is its own first part."""
    start = 0
    for part in stored.content.parts:
        if part.number == number:
            return (start, start + part.size), part
        start += part.size
    if number == 1 and not stored.content.parts:
        return (0, len(stored.body)), None
    raise ApiError(
        416,
        "InvalidPartNumber",
        "The requested partnumber is not satisfiable",
        {"PartNumberRequested": number, "ActualPartCount": len(stored.content.parts) or 1},
    )


def copy_span(given: str | None, size: int) -> Span:
    """The bytes that UploadPartCopy takes; unlike a GET's, the range must be whole."""
    if given is None:
        return 0, size
    match = COPY_RANGE.fullmatch(given)
    if not match or _number(match[1]) > _number(match[2]):
        raise invalid_argument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy",
            "x-amz-copy-source-range",
            given,
        )
    if _number(match[2]) >= size:
        raise invalid_argument(
            f"Range specified is not valid for source object of size: {size}", "x-amz-copy-source-range", given
        )
    return int(match[1]), int(match[2]) + 1


def refuse_both(range_given: bool, number_given: bool) -> None:
    """ApiError for a range and a part number in one request."""
    if range_given and number_given:
        raise invalid_request("Cannot specify both Range header and partNumber query parameter")
