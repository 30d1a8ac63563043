"""Tags of objects and buckets (AmazonS3/latest/userguide/object-tagging)."""

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qsl

from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.http import Response
from serverless_mlperf.platforms.local.gateway.s3_errors import invalid_argument, malformed_xml
from serverless_mlperf.platforms.local.gateway.s3_xml import answer, element, parse, text

MAX_OBJECT_TAGS: Final = 10
MAX_BUCKET_TAGS: Final = 50
MAX_KEY_CHARACTERS: Final = 128
MAX_VALUE_CHARACTERS: Final = 256


def read_tagging(body: bytes, limit: int) -> dict[str, str]:
    """The tags of a document; ApiError for what S3 refuses."""
    root = parse(body, "Tagging")
    tag_set = root.find("TagSet")
    if tag_set is None or any(node.tag != "Tag" or node.find("Key") is None for node in tag_set):
        raise malformed_xml()
    return _checked(((node.findtext("Key") or "", node.findtext("Value") or "") for node in tag_set), limit)


def read_header(value: str) -> dict[str, str]:
    """The tags of `x-amz-tagging`: url-encoded parameters."""
    try:
        pairs = parse_qsl(value, keep_blank_values=True, strict_parsing=True) if value else []
    except ValueError:
        raise invalid_argument(
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag "
            "name duplicates.",
            "x-amz-tagging",
            value,
        ) from None
    return _checked(pairs, MAX_OBJECT_TAGS)


def tagging_answer(tags: Mapping[str, str]) -> Response:
    """The document of tags."""
    rows = (element("Tag", text("Key", key), text("Value", value)) for key, value in tags.items())
    return answer("Tagging", element("TagSet", *rows))


def _checked(pairs: Iterable[tuple[str, str]], limit: int) -> dict[str, str]:
    tags: dict[str, str] = {}
    for key, value in pairs:
        if key in tags:
            raise _invalid("Cannot provide multiple Tags with the same key", key)
        if not 0 < len(key) <= MAX_KEY_CHARACTERS:
            raise _invalid("The TagKey you have provided is invalid", key)
        if len(value) > MAX_VALUE_CHARACTERS:
            raise _invalid("The TagValue you have provided is invalid", key)
        if key.lower().startswith("aws:"):
            raise _invalid("System tags cannot be added/updated by requester", key)
        tags[key] = value
    if len(tags) > limit:
        kind = "Object" if limit == MAX_OBJECT_TAGS else "Bucket"
        raise ApiError(400, "BadRequest", f"{kind} tags cannot be greater than {limit}")
    return tags


def _invalid(message: str, key: str) -> ApiError:
    return ApiError(400, "InvalidTag", message, {"TagKey": key})
