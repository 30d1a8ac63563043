"""S3's REST API on the object store: path style, and `<bucket>.localhost`."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
import logging
import secrets
from typing import Final
from urllib.parse import quote

from serverless_mlperf.platforms.local.faults import FaultBoard
from serverless_mlperf.platforms.local.gateway import s3_xml
from serverless_mlperf.platforms.local.gateway.errors import ApiError, not_implemented, not_kept
from serverless_mlperf.platforms.local.gateway.http import Request, Response
from serverless_mlperf.platforms.local.gateway.notifications import Notifier
from serverless_mlperf.platforms.local.gateway.s3_buckets import BucketOperations
from serverless_mlperf.platforms.local.gateway.s3_faults import disturbed
from serverless_mlperf.platforms.local.gateway.s3_headers import OVERRIDES
from serverless_mlperf.platforms.local.gateway.s3_multipart import MultipartOperations
from serverless_mlperf.platforms.local.gateway.s3_objects import ObjectOperations
from serverless_mlperf.platforms.local.gateway.s3_presign import accepted
from serverless_mlperf.platforms.local.gateway.s3_store import Bucket, ObjectStore
from serverless_mlperf.platforms.local.journal.base import NotKeptError
from serverless_mlperf.platforms.local.journal.bodies import DamagedBodyError
from serverless_mlperf.platforms.local.model import ACCOUNT_ID

MAX_KEY_BYTES: Final = 1024
"""AmazonS3/latest/userguide/object-keys."""
HOST_SUFFIX: Final = ".localhost"
PLAIN: Final = frozenset(("versionId", *OVERRIDES))
"""Parameters of a request about the object itself."""
PARTS: Final = frozenset(("uploadId", "partNumber", "max-parts", "part-number-marker"))
SUB_RESOURCES: Final = frozenset(("uploads", "uploadId", "tagging", "attributes", "acl"))
_log = logging.getLogger(__name__)

Operation = Callable[[Request, Bucket, str], Awaitable[Response]]


class S3Api:
    """Routes a request to its operation; errors become S3's XML."""

    INTERNAL_ERROR: Final = "InternalError"
    """AWS's code for an error of its own."""

    def __init__(self, store: ObjectStore, notifier: Notifier, faults: FaultBoard | None = None) -> None:
        self._store = store
        self._buckets = BucketOperations(store, notifier)
        self._faults = faults or FaultBoard()
        self._host_id = secrets.token_urlsafe(48)
        objects, uploads = ObjectOperations(store, notifier), MultipartOperations(store, notifier)
        # Method and sub-resource -> operation and the parameters that it knows.
        self._operations: dict[tuple[str, str], tuple[Operation, frozenset[str]]] = {
            ("PUT", ""): (objects.put, frozenset()),
            ("GET", ""): (objects.get, PLAIN | {"partNumber"}),
            ("HEAD", ""): (objects.get, PLAIN | {"partNumber"}),
            ("DELETE", ""): (objects.delete, PLAIN),
            ("GET", "tagging"): (objects.get_tags, PLAIN),
            ("PUT", "tagging"): (objects.put_tags, PLAIN),
            ("DELETE", "tagging"): (objects.delete_tags, PLAIN),
            ("GET", "attributes"): (objects.attributes, PLAIN),
            ("GET", "acl"): (objects.get_acl, PLAIN),
            ("PUT", "acl"): (objects.put_acl, PLAIN),
            ("POST", "uploads"): (uploads.begin, frozenset()),
            ("PUT", "uploadId"): (uploads.put_part, PARTS),
            ("GET", "uploadId"): (uploads.list_parts, PARTS),
            ("POST", "uploadId"): (uploads.complete, PARTS),
            ("DELETE", "uploadId"): (uploads.abort, PARTS),
        }

    @staticmethod
    def takes(request: Request) -> bool:
        """Whether a request says itself that it is for S3: by its signature's scope, or by a bucket's host."""
        headers = request.headers
        return "/s3/aws4_request" in headers.get("authorization", "") or _host(headers).endswith(HOST_SUFFIX)

    async def handle(self, request: Request) -> Response:
        """Serve one request."""
        try:
            response = await self._route(accepted(request) if request.query else request)
        except ApiError as error:
            return self.refusal(request, error)
        except NotKeptError as error:
            return self.refusal(request, not_kept(self.INTERNAL_ERROR, error))
        except DamagedBodyError as error:
            _log.error("%s", error)
            return self.refusal(request, ApiError(500, self.INTERNAL_ERROR, str(error)))
        return self._named(request, response)

    def refusal(self, request: Request, error: ApiError) -> Response:
        """The answer to an error."""
        return self._named(request, self._document(request, error))

    def _named(self, request: Request, response: Response) -> Response:
        response.headers = {**response.headers, "x-amz-request-id": request.id, "x-amz-id-2": self._host_id}
        return response

    def _document(self, request: Request, error: ApiError) -> Response:
        """The answer to an error: a document, but for HEAD and 304, which have no body."""
        if error.status == 304:
            return Response(304, b"", error.headers)
        if request.method == "HEAD":
            return Response(error.status, b"", {**s3_xml.XML, **error.headers})
        body = s3_xml.error_document(error, request.id, self._host_id)
        return Response(error.status, body, {**s3_xml.XML, **error.headers})

    async def _route(self, request: Request) -> Response:
        bucket, key = _address(request)
        if not bucket:
            return self._buckets.service(request)
        if request.headers.get("x-amz-expected-bucket-owner", ACCOUNT_ID) != ACCOUNT_ID:
            raise ApiError(403, "AccessDenied", "Access Denied")
        if not key:
            return await self._buckets.bucket(request, bucket)
        operation = self._operation(request)
        found = self._store.bucket(bucket)
        if (plan := self._faults.plan) is None or not key.startswith(plan.settings.prefix):
            return await operation(request, found, key)
        return await disturbed(plan, request, key, partial(operation, request, found, key))

    def _operation(self, request: Request) -> Operation:
        """What a request about an object asks for; ApiError NotImplemented."""
        if not request.query:
            found = self._operations.get((request.method, ""))
            named: set[str] = set()
        else:
            # x-id and the like name an operation for logs alone: S3 ignores them.
            named = {name for name in request.query if not name.startswith("x-")}
            sub_resource = min(named & SUB_RESOURCES, default="")
            found = self._operations.get((request.method, sub_resource))
            named.discard(sub_resource)
        if found is None or not named <= found[1]:
            raise not_implemented(f"{request.method} of an object with {', '.join(request.query) or 'no parameter'}")
        return found[0]


def _address(request: Request) -> tuple[str, str]:
    """Bucket and key of a request; ApiError for a path that is no UTF-8 or a key that is too long."""
    path = request.path
    if "\ufffd" in path and quote("\ufffd") not in request.raw_path.upper():
        raise ApiError(400, "InvalidURI", "Couldn't parse the specified URI.", {"URI": request.raw_path})
    host = _host(request.headers)
    if host.endswith(HOST_SUFFIX):
        bucket, key = host.removesuffix(HOST_SUFFIX).removesuffix(".s3"), path[1:]
    else:
        bucket, _, key = path[1:].partition("/")
    if len(key) > MAX_KEY_BYTES // 4 and (size := len(key.encode())) > MAX_KEY_BYTES:
        raise ApiError(400, "KeyTooLongError", "Your key is too long", {"Size": size, "MaxSizeAllowed": MAX_KEY_BYTES})
    return bucket, key


def _host(headers: Mapping[str, str]) -> str:
    return headers.get("host", "").partition(":")[0]
