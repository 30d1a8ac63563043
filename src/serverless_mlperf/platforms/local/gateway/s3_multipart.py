"""Multipart uploads: begin, put and copy parts, list, complete, abort."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
import secrets
from typing import Final

from serverless_mlperf.platforms.local.gateway import s3_checksums
from serverless_mlperf.platforms.local.gateway.http import Request, Response
from serverless_mlperf.platforms.local.gateway.notifications import Notifier
from serverless_mlperf.platforms.local.gateway.s3_completion import completion_of, read_rows
from serverless_mlperf.platforms.local.gateway.s3_conditions import check_write
from serverless_mlperf.platforms.local.gateway.s3_copy import SOURCE, copy_source, source_read, wanted_algorithm
from serverless_mlperf.platforms.local.gateway.s3_errors import (
    invalid_argument,
    invalid_request,
    no_such_upload,
    whole_number,
)
from serverless_mlperf.platforms.local.gateway.s3_headers import check_served, kept_headers
from serverless_mlperf.platforms.local.gateway.s3_payload import off_loop, receive
from serverless_mlperf.platforms.local.gateway.s3_ranges import copy_span, part_number
from serverless_mlperf.platforms.local.gateway.s3_store import (
    Bucket,
    CompletedUpload,
    Content,
    ObjectStore,
    Part,
    Row,
    StoredObject,
    Upload,
)
from serverless_mlperf.platforms.local.gateway.s3_tags import read_header
from serverless_mlperf.platforms.local.gateway.s3_upload_list import about_upload
from serverless_mlperf.platforms.local.gateway.s3_xml import XML, answer, element, text, timestamp
from serverless_mlperf.platforms.local.journal.base import Body, bytes_of

MAX_LISTED: Final = 1000
MAX_REMEMBERED: Final = 1000
"""Completed uploads of a bucket whose answer can be given again."""


class MultipartOperations:
    """What can be done to multipart uploads of a bucket."""

    def __init__(self, store: ObjectStore, notifier: Notifier) -> None:
        self._store = store
        self._notifier = notifier

    async def begin(self, request: Request, bucket: Bucket, key: str) -> Response:
        """CreateMultipartUpload."""
        headers = request.headers
        check_served(headers)
        algorithm = wanted_algorithm(headers)
        kind = _kind(algorithm, headers.get("x-amz-checksum-type", "").upper())
        kept, tags = kept_headers(headers), read_header(headers.get("x-amz-tagging", ""))
        upload = Upload(secrets.token_hex(32), key, kept, tags, algorithm, kind, datetime.now(UTC))
        self._store.begin_upload(bucket, upload)
        names = (text("Bucket", bucket.name), text("Key", key), text("UploadId", upload.id))
        found = answer("InitiateMultipartUploadResult", *names)
        if algorithm:
            found.headers = {
                **found.headers,
                "x-amz-checksum-algorithm": algorithm,
                "x-amz-checksum-type": kind,
            }
        return found

    async def put_part(self, request: Request, bucket: Bucket, key: str) -> Response:
        """UploadPart and UploadPartCopy; a part that is there is replaced."""
        check_served(request.headers)
        upload = _upload(request, bucket, key)
        number = part_number(request.query.get("partNumber", ""))
        if SOURCE in request.headers:
            return await self._copy_part(request, bucket, upload, number)
        payload = await receive(request, upload.algorithm or s3_checksums.DEFAULT)
        _check_algorithm(upload, payload.checksum.algorithm if payload.declared else None)
        declared = payload.declared or upload.algorithm is not None
        size = len(payload.body)
        part = Part(number, size, payload.etag, payload.checksum, declared, datetime.now(UTC), payload.body)
        await self._keep(bucket, upload, part)
        checksum = {part.checksum.header: part.checksum.value} if declared else {}
        return Response(200, b"", {"etag": f'"{part.etag}"', **checksum})

    async def _copy_part(self, request: Request, bucket: Bucket, upload: Upload, number: int) -> Response:
        _, source = copy_source(self._store, request.headers)
        start, stop = copy_span(request.headers.get("x-amz-copy-source-range"), len(source.body))
        algorithm = upload.algorithm or s3_checksums.DEFAULT
        make = partial(_part_of, number, source.body, start, stop, algorithm, upload.algorithm is not None)
        part = await source_read(off_loop(stop - start, make), source.key)
        await self._keep(bucket, upload, part)
        checksum = (text(part.checksum.element, part.checksum.value),) if part.declared else ()
        identity = (text("LastModified", timestamp(part.modified)), text("ETag", f'"{part.etag}"'))
        return answer("CopyPartResult", *identity, *checksum)

    async def complete(self, request: Request, bucket: Bucket, key: str) -> Response:
        """CompleteMultipartUpload; a client that asks again, having missed the answer, gets the same answer."""
        rows = await off_loop(len(request.body), partial(read_rows, request))
        if again := _repeated(request, bucket, key, rows):
            return again
        upload = _upload(request, bucket, key)
        completion = completion_of(request, upload, rows)
        try:
            content = await off_loop(completion.size, completion.content)
            body = bytes_of(content.body)
        except FileNotFoundError:
            if again := _repeated(request, bucket, key, rows):
                return again
            raise no_such_upload(upload.id) from None
        async with self._store.place(body) as placed:
            return self._finish(request, bucket, upload, rows, replace(content, body=placed))

    def _finish(
        self, request: Request, bucket: Bucket, upload: Upload, rows: tuple[Row, ...], content: Content
    ) -> Response:
        """Make the object, unless another request did so while the parts were joined."""
        key = upload.key
        if again := _repeated(request, bucket, key, rows):
            return again
        _upload(request, bucket, key)
        check_write(request.headers, key, bucket.objects.get(key))
        stored = self._store.put(bucket, key, content, upload.headers, upload.tags)
        self._store.end_upload(bucket, upload)
        self._notifier.tell(bucket, stored, "ObjectCreated:CompleteMultipartUpload", request.id)
        where = f"http://{request.headers.get('host', '')}{request.raw_path}"
        found = answer("CompleteMultipartUploadResult", text("Location", where), *_completed(bucket, stored))
        done = CompletedUpload(upload.id, key, rows, bytes(found.body))
        self._store.remember_completed(bucket, done, MAX_REMEMBERED)
        return found

    async def abort(self, request: Request, bucket: Bucket, key: str) -> Response:
        """AbortMultipartUpload."""
        self._store.end_upload(bucket, _upload(request, bucket, key))
        return Response(204)

    async def list_parts(self, request: Request, bucket: Bucket, key: str) -> Response:
        """ListParts."""
        upload = _upload(request, bucket, key)
        limit = whole_number(request.query, "max-parts", MAX_LISTED, MAX_LISTED)
        marker = whole_number(request.query, "part-number-marker", 0, 10_000)
        behind = [part for number, part in sorted(upload.parts.items()) if number > marker]
        page = behind[:limit]
        head = [text("Bucket", bucket.name), text("Key", key), text("UploadId", upload.id), *about_upload(upload)]
        head += [text("PartNumberMarker", marker), text("NextPartNumberMarker", page[-1].number if page else 0)]
        head += [text("MaxParts", limit), text("IsTruncated", str(len(behind) > len(page)).lower())]
        return answer("ListPartsResult", *head, *(element("Part", *_fields(part)) for part in page))

    async def _keep(self, bucket: Bucket, upload: Upload, part: Part) -> None:
        """Add a part; ApiError when the upload ended while it was hashed."""
        async with self._store.place(bytes_of(part.body)) as body:
            if bucket.uploads.get(upload.id) is not upload:
                raise no_such_upload(upload.id)
            self._store.keep_part(bucket, upload, replace(part, body=body))


def _repeated(request: Request, bucket: Bucket, key: str, rows: tuple[Row, ...]) -> Response | None:
    """The answer to the same completion as before; S3 gives it again too (measured in adobe/S3Mock#2586)."""
    done = bucket.completed.get(request.query.get("uploadId", ""))
    return Response(200, done.document, XML) if done and (done.key, done.rows) == (key, rows) else None


def _completed(bucket: Bucket, stored: StoredObject) -> Iterator[str]:
    checksum = stored.content.checksum
    yield text("Bucket", bucket.name)
    yield text("Key", stored.key)
    yield text("ETag", f'"{stored.etag}"')
    yield text(checksum.element, checksum.value)
    yield text("ChecksumType", checksum.kind)


def _fields(part: Part) -> Iterator[str]:
    yield text("PartNumber", part.number)
    yield text("LastModified", timestamp(part.modified))
    yield text("ETag", f'"{part.etag}"')
    yield text("Size", part.size)
    if part.declared:
        yield text(part.checksum.element, part.checksum.value)


def _upload(request: Request, bucket: Bucket, key: str) -> Upload:
    """The upload that a request names; ApiError NoSuchUpload, also for one of another key."""
    upload_id = request.query.get("uploadId", "")
    upload = bucket.uploads.get(upload_id)
    if upload is None or upload.key != key:
        raise no_such_upload(upload_id)
    return upload


def _part_of(number: int, body: Body, start: int, stop: int, algorithm: str, declared: bool) -> Part:
    piece = bytes_of(body, start, stop)
    etag = s3_checksums.raw_digest("MD5", piece).hex()
    checksum = s3_checksums.checksum_of(algorithm, piece)
    return Part(number, stop - start, etag, checksum, declared, datetime.now(UTC), piece)


def _kind(algorithm: str | None, wanted: str) -> str:
    """Whether the object's checksum will be that of its bytes or of its parts' checksums."""
    if wanted not in {"", s3_checksums.FULL_OBJECT, s3_checksums.COMPOSITE}:
        raise invalid_argument("Value for x-amz-checksum-type header is invalid.", "x-amz-checksum-type", wanted)
    if algorithm is None:
        if wanted:
            raise invalid_request(
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
            )
        return s3_checksums.FULL_OBJECT
    kind = wanted or (s3_checksums.FULL_OBJECT if algorithm == s3_checksums.DEFAULT else s3_checksums.COMPOSITE)
    linear, composite = algorithm in s3_checksums.LINEAR, algorithm != s3_checksums.DEFAULT
    if not (linear if kind == s3_checksums.FULL_OBJECT else composite):
        raise invalid_request(
            f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm."
        )
    return kind


def _check_algorithm(upload: Upload, sent: str | None) -> None:
    """ApiError when a part's checksum is not of the upload's algorithm; composite ones must be sent."""
    wanted = upload.algorithm
    if wanted is None or sent == wanted or (sent is None and upload.kind == s3_checksums.FULL_OBJECT):
        return
    raise invalid_request(
        f"Checksum Type mismatch occurred, expected checksum Type: {wanted.lower()}, "
        f"actual checksum Type: {sent.lower() if sent else 'null'}"
    )
