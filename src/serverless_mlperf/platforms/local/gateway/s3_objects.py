"""Operations on objects: put, copy, get, delete, tag, describe."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from serverless_mlperf.platforms.local.gateway.http import Request, Response
from serverless_mlperf.platforms.local.gateway.notifications import Notifier
from serverless_mlperf.platforms.local.gateway.s3_acl import acl_answer, refuse_acl
from serverless_mlperf.platforms.local.gateway.s3_conditions import check_match, check_read, check_write, range_holds
from serverless_mlperf.platforms.local.gateway.s3_copy import (
    SOURCE,
    check_change,
    copied_content,
    copied_headers,
    copied_tags,
    copy_source,
)
from serverless_mlperf.platforms.local.gateway.s3_errors import invalid_argument, invalid_request, whole_number
from serverless_mlperf.platforms.local.gateway.s3_headers import check_served, described, kept_headers, overridden
from serverless_mlperf.platforms.local.gateway.s3_payload import receive
from serverless_mlperf.platforms.local.gateway.s3_ranges import (
    Span,
    part_number,
    part_span,
    refuse_both,
    wanted_span,
)
from serverless_mlperf.platforms.local.gateway.s3_store import (
    Bucket,
    Content,
    ObjectStore,
    Part,
    StoredObject,
)
from serverless_mlperf.platforms.local.gateway.s3_stream import from_file
from serverless_mlperf.platforms.local.gateway.s3_tags import MAX_OBJECT_TAGS, read_header, read_tagging, tagging_answer
from serverless_mlperf.platforms.local.gateway.s3_versions import check_version
from serverless_mlperf.platforms.local.gateway.s3_xml import answer, element, text, timestamp
from serverless_mlperf.platforms.local.journal.base import bytes_of
from serverless_mlperf.platforms.local.journal.bodies import BodyFile

ATTRIBUTES: Final = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")
MAX_LISTED_PARTS: Final = 1000


class ObjectOperations:
    """What can be done to an object of a bucket."""

    def __init__(self, store: ObjectStore, notifier: Notifier) -> None:
        self._store = store
        self._notifier = notifier

    async def put(self, request: Request, bucket: Bucket, key: str) -> Response:
        """PutObject and CopyObject."""
        check_served(request.headers)
        if SOURCE in request.headers:
            return await self._copy(request, bucket, key)
        headers, tags = kept_headers(request.headers), read_header(request.headers.get("x-amz-tagging", ""))
        payload = await receive(request)
        async with self._store.place(payload.body) as body:
            check_write(request.headers, key, bucket.objects.get(key))
            content = Content(body, payload.etag, payload.checksum)
            stored = self._store.put(bucket, key, content, headers, tags)
        self._notifier.tell(bucket, stored, "ObjectCreated:Put", request.id)
        return Response(200, b"", {"etag": f'"{stored.etag}"', **_encryption(stored), **content.checksum.headers})

    async def _copy(self, request: Request, bucket: Bucket, key: str) -> Response:
        source_bucket, source = copy_source(self._store, request.headers)
        check_change(request, same=(source_bucket, source.key) == (bucket.name, key))
        headers, tags = copied_headers(request.headers, source), copied_tags(request.headers, source)
        content = await copied_content(request.headers, source)
        async with self._store.place(bytes_of(content.body)) as body:
            check_write(request.headers, key, bucket.objects.get(key))
            stored = self._store.put(bucket, key, replace(content, body=body), headers, tags)
        self._notifier.tell(bucket, stored, "ObjectCreated:Copy", request.id)
        found = answer("CopyObjectResult", *_identity(stored))
        found.headers = {**found.headers, **_encryption(stored)}
        return found

    async def get(self, request: Request, bucket: Bucket, key: str) -> Response:
        """GetObject and HeadObject."""
        query, headers = request.query, request.headers
        check_served(headers)
        check_version(query)
        stored = self._store.get(bucket, key)
        check_read(headers, stored)
        refuse_both("range" in headers, "partNumber" in query)
        found = {**described(stored, headers), **dict(overridden(query))}
        if "partNumber" in query:
            span = self._part(stored, part_number(query["partNumber"]), found)
        else:
            wanted = headers.get("range", "")
            span = wanted_span(wanted, len(stored.body)) if wanted and range_holds(headers, stored) else None
            if span:
                _without_checksum(found)
        start, stop = _wanted_bytes(request, stored, span, found)
        if request.method == "HEAD":
            return Response(206 if span else 200, b"", found)
        body, status = stored.body, 206 if span else 200
        if not isinstance(body, BodyFile):
            return Response(status, memoryview(body)[start:stop] if span else body, found)
        try:
            return await from_file(body, start, stop, status, found)
        except FileNotFoundError:
            if self._store.get(bucket, key).body is body:
                raise body.missing() from None
            return await self.get(request, bucket, key)  # it was replaced meanwhile

    def _part(self, stored: StoredObject, number: int, headers: dict[str, str]) -> Span | None:
        """The bytes of one part; its checksum stands for the object's."""
        span, part = part_span(stored, number)
        if part is not None:
            headers["x-amz-mp-parts-count"] = str(len(stored.content.parts))
            if _without_checksum(headers) and part.declared:
                headers[part.checksum.header] = part.checksum.value
                headers["x-amz-checksum-type"] = stored.content.checksum.kind
        return span if span[0] < span[1] else None

    async def delete(self, request: Request, bucket: Bucket, key: str) -> Response:
        """DeleteObject; one that is not there is deleted too, unless a condition names it."""
        check_served(request.headers)
        check_version(request.query)
        check_match(request.headers.get("if-match"), key, bucket.objects.get(key))
        removed = self._store.remove(bucket, key)
        if removed:
            self._notifier.tell(bucket, removed, "ObjectRemoved:Delete", request.id)
        return Response(204)

    async def get_tags(self, request: Request, bucket: Bucket, key: str) -> Response:
        """GetObjectTagging."""
        check_version(request.query)
        return tagging_answer(self._store.get(bucket, key).tags)

    async def put_tags(self, request: Request, bucket: Bucket, key: str) -> Response:
        """PutObjectTagging."""
        check_version(request.query)
        tags = read_tagging((await receive(request)).body, MAX_OBJECT_TAGS)
        self._notifier.tell(bucket, self._store.tag(bucket, key, tags), "ObjectTagging:Put", request.id)
        return Response()

    async def delete_tags(self, request: Request, bucket: Bucket, key: str) -> Response:
        """DeleteObjectTagging."""
        check_version(request.query)
        self._notifier.tell(bucket, self._store.tag(bucket, key, {}), "ObjectTagging:Delete", request.id)
        return Response(204)

    async def get_acl(self, request: Request, bucket: Bucket, key: str) -> Response:
        """GetObjectAcl."""
        check_version(request.query)
        self._store.get(bucket, key)
        return acl_answer()

    async def put_acl(self, request: Request, bucket: Bucket, key: str) -> Response:
        """PutObjectAcl, which S3 refuses in a new bucket."""
        self._store.get(bucket, key)
        refuse_acl(request.headers)
        return Response()

    async def attributes(self, request: Request, bucket: Bucket, key: str) -> Response:
        """GetObjectAttributes."""
        check_version(request.query)
        wanted = [name.strip() for name in request.headers.get("x-amz-object-attributes", "").split(",")]
        if wanted == [""]:
            raise invalid_request(
                "The x-amz-object-attributes header specifying the attributes to be retrieved is missing"
            )
        for name in wanted:
            if name not in ATTRIBUTES:
                raise invalid_argument("Invalid attribute name specified.", "x-amz-object-attributes", name)
        stored = self._store.get(bucket, key)
        check_read(request.headers, stored)
        rows = (row for name in ATTRIBUTES if name in wanted for row in _attribute(stored, name, request))
        found = answer("GetObjectAttributesResponse", *rows)
        found.headers = {**found.headers, "last-modified": described(stored, {})["last-modified"]}
        return found


def _wanted_bytes(request: Request, stored: StoredObject, span: Span | None, headers: dict[str, str]) -> Span:
    """Which bytes the answer of a GET or HEAD is about, said in its headers."""
    size = len(stored.body)
    start, stop = span or (0, size)
    if span:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    if request.method == "HEAD":
        headers["content-length"] = str(stop - start)
    return start, stop


def _without_checksum(headers: dict[str, str]) -> bool:
    """Take the whole object's checksum from an answer about some of its bytes; whether there was one."""
    names = [name for name in headers if name.startswith("x-amz-checksum-")]
    for name in names:
        del headers[name]
    return bool(names)


def _encryption(stored: StoredObject) -> dict[str, str]:
    name = "x-amz-server-side-encryption"
    return {name: stored.headers[name]} if name in stored.headers else {}


def _identity(stored: StoredObject) -> Iterator[str]:
    """What the document of a copy says."""
    checksum = stored.content.checksum
    yield text("LastModified", timestamp(stored.modified))
    yield text("ETag", f'"{stored.etag}"')
    yield text(checksum.element, checksum.value)
    yield text("ChecksumType", checksum.kind)


def _attribute(stored: StoredObject, name: str, request: Request) -> Iterator[str]:
    content = stored.content
    match name:
        case "ETag":
            yield text("ETag", content.etag)
        case "Checksum":
            value = text(content.checksum.element, content.checksum.value)
            yield element("Checksum", value, text("ChecksumType", content.checksum.kind))
        case "ObjectParts" if content.parts:
            yield element("ObjectParts", *_parts(content.parts, dict(request.headers)))
        case "StorageClass":
            yield text("StorageClass", stored.storage_class)
        case "ObjectSize":
            yield text("ObjectSize", len(content.body))


def _parts(parts: tuple[Part, ...], headers: dict[str, str]) -> Iterator[str]:
    """How many parts; which, where the client chose their checksums."""
    limit = whole_number(headers, "x-amz-max-parts", MAX_LISTED_PARTS, MAX_LISTED_PARTS)
    marker = whole_number(headers, "x-amz-part-number-marker", 0, 10_000)
    yield text("PartsCount", len(parts))
    if not parts[0].declared:
        return
    behind = [part for part in parts if part.number > marker]
    page = behind[:limit]
    yield text("PartNumberMarker", marker)
    yield text("NextPartNumberMarker", page[-1].number if page else marker)
    yield text("MaxParts", limit)
    yield text("IsTruncated", str(len(behind) > len(page)).lower())
    for part in page:
        checksum = text(part.checksum.element, part.checksum.value)
        yield element("Part", text("PartNumber", part.number), checksum, text("Size", part.size))
