"""ListMultipartUploads: uploads that are not complete, by key, those of one key in the order they began."""

from collections.abc import Iterator
from typing import Final

from serverless_mlperf.platforms.local.gateway.errors import not_implemented
from serverless_mlperf.platforms.local.gateway.http import Response
from serverless_mlperf.platforms.local.gateway.s3_errors import whole_number
from serverless_mlperf.platforms.local.gateway.s3_listing import Code, name_coding
from serverless_mlperf.platforms.local.gateway.s3_store import Bucket, Upload, common_prefix
from serverless_mlperf.platforms.local.gateway.s3_xml import answer, element, owner, text, timestamp

MAX_UPLOADS: Final = 1000
UPLOADS: Final = frozenset(
    ("uploads", "prefix", "delimiter", "encoding-type", "key-marker", "upload-id-marker", "max-uploads")
)

Entry = tuple[str, Upload | None]
"""A key and its upload, or a common prefix."""


def list_uploads(bucket: Bucket, named: set[str], query: dict[str, str]) -> Response:
    """The page of uploads that the parameters ask for."""
    if not named <= UPLOADS:
        raise not_implemented(f"a listing of uploads with {', '.join(sorted(named - UPLOADS))}")
    code = name_coding(query)
    limit = whole_number(query, "max-uploads", MAX_UPLOADS, MAX_UPLOADS)
    entries = list(_entries(bucket, query))
    page, more = entries[:limit], 0 < limit < len(entries)
    head = [text("Bucket", bucket.name), text("MaxUploads", limit), text("IsTruncated", str(more).lower())]
    for name, tag in (("prefix", "Prefix"), ("delimiter", "Delimiter"), ("key-marker", "KeyMarker")):
        head.append(text(tag, code(query.get(name, ""))))
    head.append(text("UploadIdMarker", query.get("upload-id-marker", "")))
    head += [text("EncodingType", "url")] if query.get("encoding-type") else []
    if more:
        key, upload = page[-1]
        head += [text("NextKeyMarker", code(key)), text("NextUploadIdMarker", upload.id if upload else "")]
    return answer("ListMultipartUploadsResult", *head, *(_row(entry, code) for entry in page))


def _entries(bucket: Bucket, query: dict[str, str]) -> Iterator[Entry]:
    """Uploads and common prefixes behind the markers, in order."""
    prefix, delimiter, marker = query.get("prefix", ""), query.get("delimiter", ""), query.get("key-marker", "")
    rolled = marker
    for upload in _behind(bucket, marker, query.get("upload-id-marker", "")):
        common = common_prefix(upload.key, prefix, delimiter)
        if not upload.key.startswith(prefix) or (common and common == rolled):
            continue
        rolled = common
        yield (common, None) if common else (upload.key, upload)


def _behind(bucket: Bucket, key_marker: str, id_marker: str) -> Iterator[Upload]:
    """Uploads in order, behind the last one of the page before."""
    passed = False
    for upload in sorted(bucket.uploads.values(), key=lambda upload: upload.key):
        if upload.key > key_marker or (upload.key == key_marker and passed):
            yield upload
        passed = passed or (upload.key == key_marker and upload.id == id_marker)


def _row(entry: Entry, code: Code) -> str:
    key, upload = entry
    if upload is None:
        return element("CommonPrefixes", text("Prefix", code(key)))
    names = (text("Key", code(key)), text("UploadId", upload.id))
    return element("Upload", *names, *about_upload(upload), text("Initiated", timestamp(upload.begun)))


def about_upload(upload: Upload) -> Iterator[str]:
    """Whose an upload is, and what its object will be."""
    yield owner("Initiator")
    yield owner()
    yield text("StorageClass", upload.headers.get("x-amz-storage-class", "STANDARD"))
    if upload.algorithm:
        yield text("ChecksumAlgorithm", upload.algorithm)
        yield text("ChecksumType", upload.kind)
