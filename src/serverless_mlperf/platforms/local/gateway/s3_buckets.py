"""Operations on buckets: make, list, look at, delete; delete many objects."""

import re
from typing import Final
import xml.etree.ElementTree as ET

from serverless_mlperf.platforms.local.gateway import s3_listing
from serverless_mlperf.platforms.local.gateway.errors import ApiError, not_implemented
from serverless_mlperf.platforms.local.gateway.http import Request, Response
from serverless_mlperf.platforms.local.gateway.notifications import Notifier
from serverless_mlperf.platforms.local.gateway.s3_acl import GRANTS
from serverless_mlperf.platforms.local.gateway.s3_conditions import check_match
from serverless_mlperf.platforms.local.gateway.s3_configurations import configuration
from serverless_mlperf.platforms.local.gateway.s3_errors import invalid_request, malformed_xml
from serverless_mlperf.platforms.local.gateway.s3_payload import receive
from serverless_mlperf.platforms.local.gateway.s3_store import Bucket, ObjectStore
from serverless_mlperf.platforms.local.gateway.s3_upload_list import list_uploads
from serverless_mlperf.platforms.local.gateway.s3_versions import NULL_VERSION
from serverless_mlperf.platforms.local.gateway.s3_xml import answer, element, parse, text
from serverless_mlperf.platforms.local.model import REGION

BUCKET_NAME: Final = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""AmazonS3/latest/userguide/bucketnamingrules, but for reserved prefixes and suffixes."""
REGION_NAME: Final = re.compile(r"EU|[a-z]{2}(-[a-z]+)+-\d")
MAX_DELETED: Final = 1000


class BucketOperations:
    """What can be done to buckets and to the service."""

    def __init__(self, store: ObjectStore, notifier: Notifier) -> None:
        self._store = store
        self._notifier = notifier

    def service(self, request: Request) -> Response:
        """ListBuckets."""
        if request.method != "GET" or not _named(request) <= s3_listing.BUCKETS:
            raise not_implemented(
                f"{request.method} of the service with {', '.join(_named(request)) or 'no parameter'}"
            )
        return s3_listing.list_buckets(self._store.buckets, request.query)

    async def bucket(self, request: Request, name: str) -> Response:
        """Serve a request about a bucket."""
        named = _named(request)
        match request.method:
            case "PUT" if not named:
                return await self._create(request, name)
            case "HEAD" if not named:
                region = self._store.bucket(name).region
                return Response(200, b"", {"x-amz-bucket-region": region, "x-amz-access-point-alias": "false"})
            case "DELETE" if not named:
                self._store.delete(name)
                return Response(204)
            case "POST" if named == {"delete"}:
                return await self._delete_many(request, self._store.bucket(name))
            case "GET":
                listing = _listing(named, request.query, self._store.bucket(name))
                if listing is not None:
                    return listing
        return await configuration(request, self._store, self._store.bucket(name), self._notifier)

    async def _create(self, request: Request, name: str) -> Response:
        if not BUCKET_NAME.fullmatch(name):
            raise ApiError(400, "InvalidBucketName", "The specified bucket is not valid.", {"BucketName": name})
        _check_create(request)
        body = (await receive(request)).body
        region = _region(parse(body, "CreateBucketConfiguration")) if body else REGION
        self._store.create(name, region)
        return Response(200, b"", {"location": f"/{name}", "x-amz-bucket-arn": f"arn:aws:s3:::{name}"})

    async def _delete_many(self, request: Request, bucket: Bucket) -> Response:
        """DeleteObjects: each key succeeds or fails for itself; a body without any check of its bytes is refused."""
        payload = await receive(request)
        if not payload.declared and "content-md5" not in request.headers:
            raise invalid_request("Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
        root = parse(payload.body, "Delete")
        wanted = root.findall("Object")
        if not 0 < len(wanted) <= MAX_DELETED:
            raise malformed_xml()
        quiet = (root.findtext("Quiet") or "").lower() == "true"
        rows = [self._delete_one(request, bucket, node, quiet=quiet) for node in wanted]
        return answer("DeleteResult", *rows)

    def _delete_one(self, request: Request, bucket: Bucket, node: ET.Element, *, quiet: bool) -> str:
        key, version = node.findtext("Key") or "", node.findtext("VersionId")
        versioned = [text("VersionId", version)] if version else []
        try:
            if not key:
                raise ApiError(400, "UserKeyMustBeSpecified", "The bucket POST must contain the specified field name")
            if version not in {None, "", NULL_VERSION}:
                raise ApiError(404, "NoSuchVersion", "The specified version does not exist.")
            check_match(node.findtext("ETag"), key, bucket.objects.get(key))
        except ApiError as error:
            why = (text("Code", error.code), text("Message", error.message))
            return element("Error", text("Key", key), *versioned, *why)
        removed = self._store.remove(bucket, key)
        if removed:
            self._notifier.tell(bucket, removed, "ObjectRemoved:Delete", request.id)
        return "" if quiet else element("Deleted", text("Key", key), *versioned)


def _named(request: Request) -> set[str]:
    """The parameters that choose or shape an operation; S3 ignores those that begin with `x-`."""
    return {name for name in request.query if not name.lower().startswith("x-")}


def _listing(named: set[str], query: dict[str, str], bucket: Bucket) -> Response | None:
    """The listing that a GET asks for, if it asks for one."""
    if "versions" in named and named <= s3_listing.VERSIONS:
        return s3_listing.list_versions(bucket, query)
    if "uploads" in named:
        return list_uploads(bucket, named, query)
    if named <= s3_listing.VERSION_2 and query.get("list-type") == "2":
        return s3_listing.list_version_2(bucket, query)
    return s3_listing.list_version_1(bucket, query) if named <= s3_listing.VERSION_1 else None


def _check_create(request: Request) -> None:
    """ApiError for a bucket that this platform cannot give."""
    headers = request.headers
    if headers.get("x-amz-acl", "private") != "private" or any(name in headers for name in GRANTS):
        raise ApiError(
            400,
            "InvalidBucketAclWithObjectOwnership",
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        )
    if headers.get("x-amz-object-ownership", "BucketOwnerEnforced") != "BucketOwnerEnforced":
        raise not_implemented("another object ownership than BucketOwnerEnforced")
    if headers.get("x-amz-bucket-object-lock-enabled", "false").lower() != "false":
        raise not_implemented("object lock")


def _region(root: ET.Element) -> str:
    """The region that a bucket is wanted in: this platform is all of them."""
    beyond = [node.tag for node in root if node.tag != "LocationConstraint"]
    if beyond:
        raise not_implemented(f"{beyond[0]} of a new bucket")
    region = root.findtext("LocationConstraint") or REGION
    if not REGION_NAME.fullmatch(region):
        raise ApiError(
            400,
            "InvalidLocationConstraint",
            "The specified location-constraint is not valid",
            {"LocationConstraint": region},
        )
    return region
