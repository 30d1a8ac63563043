"""S3's REST API on the object store: path style, and `<bucket>.localhost`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from email.utils import format_datetime
import re
import secrets
from typing import Final
from urllib.parse import unquote

from serverless_mlperf.platforms.local.gateway import s3_xml
from serverless_mlperf.platforms.local.gateway.chunks import plain_body
from serverless_mlperf.platforms.local.gateway.errors import ApiError, not_implemented
from serverless_mlperf.platforms.local.gateway.http import Request, Response
from serverless_mlperf.platforms.local.gateway.notifications import Notifier
from serverless_mlperf.platforms.local.gateway.s3_store import (
    Bucket,
    ObjectStore,
    StoredObject,
    Upload,
    digest,
    list_objects,
)
from serverless_mlperf.platforms.local.model import REGION

HASH_INLINE_BYTES: Final = 256 << 10
"""MD5 of a larger body takes over half a millisecond: it is computed in a thread, off the event loop."""
XML: Final = {"content-type": "application/xml"}
BUCKET_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
PLAIN_OBJECT_QUERY: Final = frozenset({"x-id"})
"""Query parameters that do not choose another operation."""


class S3Api:
    """Routes a request to its operation; errors become S3's XML."""

    def __init__(self, store: ObjectStore, notifier: Notifier) -> None:
        self._store = store
        self._notifier = notifier
        self._object_operations: dict[str, Callable[[Request, Bucket, str], Awaitable[Response]]] = {
            "PUT": self._put,
            "GET": self._get,
            "HEAD": self._get,
            "DELETE": self._delete,
            "POST": self._post,
        }

    async def handle(self, request: Request) -> Response:
        """Serve one request."""
        try:
            bucket, key = _address(request)
            if not bucket:
                return self._service(request)
            if not key:
                return await self._bucket(request, bucket)
            operation = self._object_operations.get(request.method)
            if operation is None:
                raise not_implemented(f"{request.method} of an object")
            return await operation(request, self._store.bucket(bucket), key)
        except ApiError as error:
            body = b"" if request.method == "HEAD" else s3_xml.error_document(error, request.path)
            return Response(error.status, body, XML)

    # Buckets

    def _service(self, request: Request) -> Response:
        if request.method != "GET":
            raise not_implemented(f"{request.method} of the service")
        return Response(200, s3_xml.buckets_document(self._store.buckets), XML)

    async def _bucket(self, request: Request, name: str) -> Response:
        query = request.query
        match request.method:
            case "PUT" if not query:
                return self._create_bucket(name)
            case "GET" if query.keys() <= LIST_PARAMETERS:
                return self._list(self._store.bucket(name), query)
            case "HEAD":
                self._store.bucket(name)
                return Response(200, b"", {"x-amz-bucket-region": REGION})
            case "DELETE" if not query:
                self._store.delete(name)
                return Response(204)
            case "POST" if "delete" in query:
                return self._delete_many(request, self._store.bucket(name))
        return self._sub_resource(request, self._store.bucket(name))

    def _create_bucket(self, name: str) -> Response:
        if not BUCKET_NAME.fullmatch(name):
            raise ApiError(400, "InvalidBucketName", "The specified bucket is not valid.")
        self._store.create(name)
        return Response(200, b"", {"location": f"/{name}"})

    def _sub_resource(self, request: Request, bucket: Bucket) -> Response:
        """`?notification` and `?location`."""
        match (request.method, *request.query):
            case ("PUT", "notification"):
                bucket.rules = s3_xml.read_rules(plain_body(request.body, request.headers))
                return Response()
            case ("GET", "notification"):
                return Response(200, s3_xml.rules_document(bucket.rules), XML)
            case ("GET", "location"):
                return Response(200, s3_xml.document("LocationConstraint"), XML)
        raise not_implemented(f"{request.method} of a bucket with {', '.join(request.query) or 'no parameter'}")

    def _list(self, bucket: Bucket, query: dict[str, str]) -> Response:
        try:
            limit = min(int(query.get("max-keys", "1000")), 1000)
            token = bytes.fromhex(query.get("continuation-token", "")).decode()
        except ValueError:
            raise ApiError(400, "InvalidArgument", "max-keys or continuation-token is not valid") from None
        after = token or query.get("start-after") or query.get("marker") or ""
        page = list_objects(bucket, query.get("prefix", ""), query.get("delimiter", ""), after, limit)
        return Response(200, s3_xml.listing_document(bucket.name, page, query, limit), XML)

    def _delete_many(self, request: Request, bucket: Bucket) -> Response:
        root = s3_xml.parse(plain_body(request.body, request.headers))
        keys = [node.findtext("Key") or "" for node in root.iter("Object")]
        for key in keys:
            bucket.objects.pop(key, None)
        quiet = (root.findtext("Quiet") or "").lower() == "true"
        rows = [] if quiet else [s3_xml.element("Deleted", s3_xml.text("Key", key)) for key in keys]
        return Response(200, s3_xml.document("DeleteResult", *rows), XML)

    # Objects

    async def _put(self, request: Request, bucket: Bucket, key: str) -> Response:
        if "partNumber" in request.query:
            return await self._put_part(request, bucket)
        _only(request, PLAIN_OBJECT_QUERY)
        if "x-amz-copy-source" in request.headers:
            return self._copy(request, bucket, key)
        _check_conditions(request.headers, bucket.objects.get(key))
        body = plain_body(request.body, request.headers)
        stored = self._store.put(bucket, key, body, await _etag(body), _kept_headers(request.headers))
        self._notifier.created(bucket, stored, "Put")
        checksums = {k: v for k, v in stored.headers.items() if k.startswith("x-amz-checksum-")}
        return Response(200, b"", {"etag": f'"{stored.etag}"', **checksums})

    def _copy(self, request: Request, bucket: Bucket, key: str) -> Response:
        name, _, source_key = unquote(request.headers["x-amz-copy-source"]).lstrip("/").partition("/")
        source = self._store.get(self._store.bucket(name), source_key)
        replaced = request.headers.get("x-amz-metadata-directive", "COPY").upper() == "REPLACE"
        headers = _kept_headers(request.headers) if replaced else source.headers
        stored = self._store.put(bucket, key, source.body, source.etag, headers)
        self._notifier.created(bucket, stored, "Copy")
        return _copied("CopyObjectResult", stored)

    async def _get(self, request: Request, bucket: Bucket, key: str) -> Response:
        overrides = {k.removeprefix("response-"): v for k, v in request.query.items() if k.startswith("response-")}
        _only(request, PLAIN_OBJECT_QUERY | {f"response-{k}" for k in overrides} | SIGNED_URL)
        stored = self._store.get(bucket, key)
        if request.headers.get("if-none-match", "").strip('"') == stored.etag:
            return Response(304, b"", {"etag": f'"{stored.etag}"'})
        status, body, headers = _ranged(stored, request.headers.get("range", ""))
        described = {
            "etag": f'"{stored.etag}"',
            "last-modified": format_datetime(stored.modified, usegmt=True),
            "accept-ranges": "bytes",
            **stored.headers,
            **headers,
            **overrides,
        }
        if request.method == "HEAD":
            described["content-length"] = str(len(body))
        return Response(status, body, described)

    async def _delete(self, request: Request, bucket: Bucket, key: str) -> Response:
        if upload_id := request.query.get("uploadId"):
            bucket.uploads.pop(upload_id, None)
            return Response(204)
        _only(request, PLAIN_OBJECT_QUERY)
        bucket.objects.pop(key, None)
        return Response(204)

    async def _post(self, request: Request, bucket: Bucket, key: str) -> Response:
        if "uploads" in request.query:
            upload_id = secrets.token_hex(16)
            bucket.uploads[upload_id] = Upload(key, _kept_headers(request.headers))
            parts = (s3_xml.text("Bucket", bucket.name), s3_xml.text("Key", key), s3_xml.text("UploadId", upload_id))
            return Response(200, s3_xml.document("InitiateMultipartUploadResult", *parts), XML)
        if "uploadId" in request.query:
            return await self._complete(request, bucket, key)
        raise not_implemented("POST of an object")

    # Multipart uploads

    async def _put_part(self, request: Request, bucket: Bucket) -> Response:
        upload = _upload(request, bucket)
        number = request.query["partNumber"]
        if not number.isdecimal() or not 1 <= int(number) <= 10_000:
            raise ApiError(400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
        body = plain_body(request.body, request.headers)
        upload.parts[int(number)] = body
        return Response(200, b"", {"etag": f'"{await _etag(body)}"'})

    async def _complete(self, request: Request, bucket: Bucket, key: str) -> Response:
        upload = _upload(request, bucket)
        root = s3_xml.parse(request.body)
        numbers = [int(node.findtext("PartNumber") or 0) for node in root.iter("Part")]
        if not numbers or numbers != sorted(numbers) or not set(numbers) <= upload.parts.keys():
            raise ApiError(400, "InvalidPart", "One or more of the specified parts could not be found.")
        parts = [upload.parts[number] for number in numbers]
        body, etag = await asyncio.to_thread(_join, parts)
        stored = self._store.put(bucket, key, body, etag, upload.headers)
        del bucket.uploads[request.query["uploadId"]]
        self._notifier.created(bucket, stored, "CompleteMultipartUpload")
        names = (s3_xml.text("Bucket", bucket.name), s3_xml.text("Key", key), s3_xml.text("ETag", f'"{etag}"'))
        return Response(200, s3_xml.document("CompleteMultipartUploadResult", *names), XML)


LIST_PARAMETERS: Final = frozenset(
    (
        "list-type",
        "prefix",
        "delimiter",
        "max-keys",
        "marker",
        "start-after",
        "continuation-token",
        "encoding-type",
        "fetch-owner",
        "x-id",
    )
)
SIGNED_URL: Final = frozenset(
    f"X-Amz-{name}"
    for name in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature", "Security-Token")
)


def _address(request: Request) -> tuple[str, str]:
    """Bucket and key of a request."""
    host = request.headers.get("host", "").partition(":")[0]
    if host.endswith(".localhost"):
        return host.removesuffix(".localhost").removesuffix(".s3"), request.path[1:]
    bucket, _, key = request.path[1:].partition("/")
    return bucket, key


def _only(request: Request, known: frozenset[str] | set[str]) -> None:
    unknown = request.query.keys() - known - SIGNED_URL
    if unknown:
        raise not_implemented(f"{request.method} of an object with {', '.join(sorted(unknown))}")


def _check_conditions(headers: Mapping[str, str], present: StoredObject | None) -> None:
    """Conditional writes: If-None-Match: * and If-Match."""
    if headers.get("if-none-match") == "*" and present is not None:
        raise ApiError(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
    wanted = headers.get("if-match")
    if wanted is not None and (present is None or wanted.strip('"') != present.etag):
        raise ApiError(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")


def _kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """What is stored with an object and given back."""
    kept = {k: v for k, v in headers.items() if k.startswith(("x-amz-meta-", "x-amz-checksum-")) or k in KEPT}
    coding = [c for c in headers.get("content-encoding", "").split(",") if c.strip() not in {"", "aws-chunked"}]
    return {"content-type": "binary/octet-stream", **kept, **({"content-encoding": ",".join(coding)} if coding else {})}


KEPT: Final = ("content-type", "cache-control", "content-disposition", "content-language")


async def _etag(body: bytes) -> str:
    return digest(body) if len(body) <= HASH_INLINE_BYTES else await asyncio.to_thread(digest, body)


def _join(parts: list[bytes]) -> tuple[bytes, str]:
    """Content and ETag of a multipart upload: the MD5 of the parts' MD5s, and their count."""
    digests = b"".join(bytes.fromhex(digest(part)) for part in parts)
    return b"".join(parts), f"{digest(digests)}-{len(parts)}"


def _upload(request: Request, bucket: Bucket) -> Upload:
    try:
        return bucket.uploads[request.query.get("uploadId", "")]
    except KeyError:
        raise ApiError(404, "NoSuchUpload", "The specified multipart upload does not exist.") from None


def _copied(name: str, stored: StoredObject) -> Response:
    moment = s3_xml.text("LastModified", s3_xml.timestamp(stored.modified))
    return Response(200, s3_xml.document(name, moment, s3_xml.text("ETag", f'"{stored.etag}"')), XML)


def _ranged(stored: StoredObject, wanted: str) -> tuple[int, bytes, dict[str, str]]:
    """Status, content and headers of a GET with one byte range, or of the whole."""
    size = len(stored.body)
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted)
    if not match or match.groups() == ("", ""):
        return 200, stored.body, {}
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= size or start >= stop:
        raise ApiError(416, "InvalidRange", "The requested range is not satisfiable")
    return 206, stored.body[start:stop], {"content-range": f"bytes {start}-{stop - 1}/{size}"}
