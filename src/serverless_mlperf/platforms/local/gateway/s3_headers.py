"""Headers that describe an object: what is kept with it, what is refused, what goes back."""

from collections.abc import Iterator, Mapping
import re
from typing import Final

from serverless_mlperf.platforms.local.gateway.errors import ApiError, not_implemented
from serverless_mlperf.platforms.local.gateway.s3_acl import check_acl_headers
from serverless_mlperf.platforms.local.gateway.s3_conditions import validators
from serverless_mlperf.platforms.local.gateway.s3_errors import header_not_implemented, invalid_argument
from serverless_mlperf.platforms.local.gateway.s3_store import StoredObject

META: Final = "x-amz-meta-"
MAX_METADATA_BYTES: Final = 2 << 10
"""AmazonS3/latest/userguide/UsingMetadata: names and values together."""
PLACE: Final = frozenset(("x-amz-storage-class", "x-amz-server-side-encryption", "x-amz-website-redirect-location"))
"""Kept headers that a copy does not take from its source."""
KEPT: Final = PLACE | {"content-type", "cache-control", "content-disposition", "content-language", "expires"}
UNSERVED: Final = frozenset(
    (
        "x-amz-server-side-encryption-aws-kms-key-id",
        "x-amz-server-side-encryption-bucket-key-enabled",
        "x-amz-server-side-encryption-context",
        "x-amz-server-side-encryption-customer-algorithm",
        "x-amz-copy-source-server-side-encryption-customer-algorithm",
        "x-amz-object-lock-mode",
        "x-amz-object-lock-retain-until-date",
        "x-amz-object-lock-legal-hold",
        "x-amz-object-lock-event-hold",
        "x-amz-write-offset-bytes",
        "x-amz-if-match-last-modified-time",
        "x-amz-if-match-size",
    )
)
"""They ask for keys, locks and appends that are not here; to ignore them would be a silent success."""
AT_ONCE: Final = frozenset(
    ("STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR")
)
"""Storage classes whose objects can be read at once, as all objects here can."""
LATER: Final = frozenset(("GLACIER", "DEEP_ARCHIVE", "OUTPOSTS", "SNOW", "EXPRESS_ONEZONE", "FSX_OPENZFS", "FSX_ONTAP"))
OVERRIDES: Final = {
    f"response-{name}": name
    for name in (
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "expires",
    )
}
"""Parameters of a GET that replace a header of its answer."""
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def check_served(headers: Mapping[str, str]) -> None:
    """ApiError NotImplemented for a header that asks for what is not here."""
    if not UNSERVED.isdisjoint(headers):
        raise header_not_implemented(min(UNSERVED.intersection(headers)))


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """What of a write's headers is stored and given back; ApiError for what is refused."""
    check_acl_headers(headers)
    kept = {"content-type": "binary/octet-stream"}
    metadata_bytes = 0
    for name, value in headers.items():
        if name.startswith(META):
            metadata_bytes += len(name) - len(META) + len(value)  # latin-1: a character is a byte
            kept[name] = value
        elif name in KEPT and value:
            kept[name] = value
    if metadata_bytes > MAX_METADATA_BYTES:
        raise _metadata_too_large(metadata_bytes)
    _keep_coding(headers.get("content-encoding", ""), kept)
    _check_place(kept)
    return kept


def _keep_coding(given: str, kept: dict[str, str]) -> None:
    """Keep content codings but `aws-chunked`, which is the transport's."""
    codings = [coding.strip() for coding in given.split(",")]
    if rest := [coding for coding in codings if coding not in {"", "aws-chunked"}]:
        kept["content-encoding"] = ",".join(rest)


def _check_place(kept: dict[str, str]) -> None:
    storage_class = kept.get("x-amz-storage-class", "STANDARD")
    if storage_class in LATER:
        raise not_implemented(f"storage class {storage_class}: its objects could not be read at once")
    if storage_class not in AT_ONCE:
        raise ApiError(
            400,
            "InvalidStorageClass",
            "The storage class you specified is not valid",
            {"StorageClassRequested": storage_class},
        )
    if storage_class == "STANDARD":
        kept.pop("x-amz-storage-class", None)
    encryption = kept.get("x-amz-server-side-encryption", "AES256")
    if encryption != "AES256":  # what S3 does to every object anyway; nothing is encrypted in memory here
        raise not_implemented(f"server side encryption {encryption}")


def _metadata_too_large(size: int) -> ApiError:
    return ApiError(
        400,
        "MetadataTooLarge",
        "Your metadata headers exceed the maximum allowed metadata size",
        {"Size": size, "MaxSizeAllowed": MAX_METADATA_BYTES},
    )


def described(stored: StoredObject, request_headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of an answer about an object, without those of its length."""
    headers = {**validators(stored), "accept-ranges": "bytes", **stored.headers}
    if stored.tags:
        headers["x-amz-tagging-count"] = str(len(stored.tags))
    if request_headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        headers |= stored.content.checksum.headers
    return headers


def overridden(query: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The headers that a GET's parameters replace; ApiError for what no header can carry."""
    for parameter, name in OVERRIDES.items():
        value = query.get(parameter)
        if value is None:
            continue
        if CONTROL.search(value) or not _is_latin(value):
            raise invalid_argument("Header value cannot be represented using ISO-8859-1.", parameter, value)
        yield name, value


def _is_latin(value: str) -> bool:
    return all(ord(character) < 256 for character in value)
