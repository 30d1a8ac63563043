"""Listings of buckets and objects: their parameters and documents."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
import re
from typing import Final
from urllib.parse import quote_plus

from serverless_mlperf.platforms.local.gateway.http import Response
from serverless_mlperf.platforms.local.gateway.s3_errors import invalid_argument, whole_number
from serverless_mlperf.platforms.local.gateway.s3_store import Bucket, Page, StoredObject, list_objects
from serverless_mlperf.platforms.local.gateway.s3_xml import answer, element, escaped, owner, text, timestamp

MAX_KEYS: Final = 1000
MAX_BUCKETS: Final = 10_000
COMMON: Final = frozenset(("prefix", "delimiter", "max-keys", "encoding-type"))
VERSION_1: Final = COMMON | {"marker"}
VERSION_2: Final = COMMON | {"list-type", "start-after", "continuation-token", "fetch-owner"}
VERSIONS: Final = COMMON | {"versions", "key-marker", "version-id-marker"}
BUCKETS: Final = frozenset(("prefix", "max-buckets", "continuation-token", "bucket-region"))
TOKEN: Final = re.compile(r"([0-9a-f]{2})+")
SAFE: Final = re.compile(r"[\w.~/-]*", re.ASCII)
"""Names that their code would not change: most, and seen ten times sooner than coded."""
Code = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a listing was asked for."""

    prefix: str
    delimiter: str
    limit: int
    code: Code
    """How names are written: as they are, or url-encoded."""

    def page(self, bucket: Bucket, after: str) -> Page:
        """The page behind a name."""
        return list_objects(bucket, self.prefix, self.delimiter, after, self.limit)

    def head(self, bucket: Bucket, page: Page) -> Iterator[str]:
        """The elements that all listings begin with."""
        yield text("Name", bucket.name)
        yield text("Prefix", self.code(self.prefix))
        yield text("MaxKeys", self.limit)
        if self.delimiter:
            yield text("Delimiter", self.code(self.delimiter))
        if self.code is url_coded:
            yield text("EncodingType", "url")
        yield text("IsTruncated", str(page.next_after is not None).lower())

    def prefixes(self, page: Page) -> Iterator[str]:
        """The common prefixes of a page."""
        return (element("CommonPrefixes", text("Prefix", self.code(p))) for p in page.prefixes)


def url_coded(name: str) -> str:
    """A name as S3 writes it with `encoding-type=url`."""
    return name if SAFE.fullmatch(name) else quote_plus(name, safe="/")


def as_it_is(name: str) -> str:
    """A name as it is."""
    return name


def name_coding(query: Mapping[str, str]) -> Code:
    """How names are to be written; ApiError for an encoding that S3 does not have."""
    encoding = query.get("encoding-type", "")
    if encoding not in {"", "url"}:
        raise invalid_argument("Invalid Encoding Method specified in Request", "encoding-type", encoding)
    return url_coded if encoding else as_it_is


def list_version_1(bucket: Bucket, query: dict[str, str]) -> Response:
    """ListObjects; NextMarker comes with a delimiter only: without one it is the last key."""
    wanted, marker = _wanted(query), query.get("marker", "")
    page = wanted.page(bucket, marker)
    head = [*wanted.head(bucket, page), text("Marker", wanted.code(marker))]
    if page.next_after is not None and wanted.delimiter:
        head.append(text("NextMarker", wanted.code(page.next_after)))
    return answer("ListBucketResult", *head, *_contents(page, wanted.code, owned=True), *wanted.prefixes(page))


def list_version_2(bucket: Bucket, query: dict[str, str]) -> Response:
    """ListObjectsV2."""
    wanted, start, token = _wanted(query), query.get("start-after", ""), query.get("continuation-token")
    page = wanted.page(bucket, start if token is None else _name_of(token))
    head = [*wanted.head(bucket, page), text("KeyCount", len(page.objects) + len(page.prefixes))]
    if start:
        head.append(text("StartAfter", wanted.code(start)))
    if token is not None:
        head.append(text("ContinuationToken", token))
    if page.next_after is not None:
        head.append(text("NextContinuationToken", _token_of(page.next_after)))
    rows = _contents(page, wanted.code, owned=query.get("fetch-owner", "").lower() == "true")
    return answer("ListBucketResult", *head, *rows, *wanted.prefixes(page))


def list_versions(bucket: Bucket, query: dict[str, str]) -> Response:
    """ListObjectVersions of a bucket without versioning: each object is its only version, `null`."""
    wanted, marker = _wanted(query), query.get("key-marker", "")
    page = wanted.page(bucket, marker)
    head = [*wanted.head(bucket, page), text("KeyMarker", wanted.code(marker)), text("VersionIdMarker", "")]
    if page.next_after is not None:
        head += [text("NextKeyMarker", wanted.code(page.next_after)), text("NextVersionIdMarker", "null")]
    latest = (text("VersionId", "null"), text("IsLatest", "true"))
    rows = (element("Version", _fields(o, wanted.code), *latest, owner()) for o in page.objects)
    return answer("ListVersionsResult", *head, *rows, *wanted.prefixes(page))


def list_buckets(buckets: Iterable[Bucket], query: dict[str, str]) -> Response:
    """ListBuckets, in pages when asked for."""
    prefix, region = query.get("prefix", ""), query.get("bucket-region", "")
    limit = whole_number(query, "max-buckets", MAX_BUCKETS, MAX_BUCKETS)
    after = _name_of(query["continuation-token"]) if "continuation-token" in query else ""
    fitting = [b for b in buckets if b.name > after and b.name.startswith(prefix) and region in {"", b.region}]
    rows = (_bucket_row(bucket) for bucket in fitting[:limit])
    more = [text("ContinuationToken", _token_of(fitting[limit - 1].name))] if 0 < limit < len(fitting) else []
    return answer("ListAllMyBucketsResult", owner(), element("Buckets", *rows), *more)


def _bucket_row(bucket: Bucket) -> str:
    created = text("CreationDate", timestamp(bucket.created))
    return element("Bucket", text("Name", bucket.name), created, text("BucketRegion", bucket.region))


def _wanted(query: dict[str, str]) -> Wanted:
    limit = whole_number(query, "max-keys", MAX_KEYS, MAX_KEYS)
    return Wanted(query.get("prefix", ""), query.get("delimiter", ""), limit, name_coding(query))


def _contents(page: Page, code: Code, *, owned: bool) -> Iterator[str]:
    tail = owner() if owned else ""
    return (f"<Contents>{_fields(stored, code)}{tail}</Contents>" for stored in page.objects)


def _fields(stored: StoredObject, code: Code) -> str:
    """What listings say of an object; in one piece, since a page has a thousand and the event loop waits for it."""
    checksum = stored.content.checksum
    return (
        f"<Key>{escaped(code(stored.key))}</Key><LastModified>{timestamp(stored.modified)}</LastModified>"
        f"<ETag>&quot;{stored.etag}&quot;</ETag><ChecksumAlgorithm>{checksum.algorithm}</ChecksumAlgorithm>"
        f"<ChecksumType>{checksum.kind}</ChecksumType><Size>{len(stored.body)}</Size>"
        f"<StorageClass>{stored.storage_class}</StorageClass>"
    )


def _token_of(name: str) -> str:
    return name.encode().hex()


def _name_of(token: str) -> str:
    """The name in a continuation token."""
    try:
        if TOKEN.fullmatch(token):
            return bytes.fromhex(token).decode()
    except UnicodeDecodeError:
        pass
    raise invalid_argument("The continuation token provided is incorrect", "continuation-token", token)
