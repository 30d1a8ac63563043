"""Configurations of a bucket that ordinary tools ask for.

Kept and given back, and no more: tags, policy, lifecycle, public access block. There are no credentials here that a
policy could refuse and no days that a lifecycle could wait for. Encryption and ownership have S3's defaults, and only
these can be put. What is never there is answered as S3 answers for a bucket without it; to put it is NotImplemented.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from serverless_mlperf.platforms.local.gateway.errors import ApiError, not_implemented
from serverless_mlperf.platforms.local.gateway.http import Request, Response
from serverless_mlperf.platforms.local.gateway.notifications import Notifier
from serverless_mlperf.platforms.local.gateway.s3_acl import acl_answer, refuse_acl
from serverless_mlperf.platforms.local.gateway.s3_errors import malformed_xml
from serverless_mlperf.platforms.local.gateway.s3_payload import receive
from serverless_mlperf.platforms.local.gateway.s3_rules import read_rules, rules_document
from serverless_mlperf.platforms.local.gateway.s3_store import Bucket, ObjectStore, Rule
from serverless_mlperf.platforms.local.gateway.s3_tags import MAX_BUCKET_TAGS, read_tagging, tagging_answer
from serverless_mlperf.platforms.local.gateway.s3_xml import XML, answer, document, element, parse, text
from serverless_mlperf.platforms.local.json_text import read_json
from serverless_mlperf.platforms.local.model import REGION

Operation = Callable[[Request, Bucket], Awaitable[Response]]

ROOTS: Final = {
    "lifecycle": "LifecycleConfiguration",
    "publicAccessBlock": "PublicAccessBlockConfiguration",
    "encryption": "ServerSideEncryptionConfiguration",
    "ownershipControls": "OwnershipControls",
}
"""Root elements of the documents that are kept."""
_BLOCKS: Final = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
DEFAULTS: Final = {
    "publicAccessBlock": document(ROOTS["publicAccessBlock"], *(text(name, "true") for name in _BLOCKS)),
    "encryption": document(
        ROOTS["encryption"],
        element(
            "Rule",
            element("ApplyServerSideEncryptionByDefault", text("SSEAlgorithm", "AES256")),
            text("BucketKeyEnabled", "false"),
        ),
    ),
    "ownershipControls": document(
        ROOTS["ownershipControls"], element("Rule", text("ObjectOwnership", "BucketOwnerEnforced"))
    ),
}
"""What a new bucket has (AmazonS3/latest/userguide/creating-buckets-s3)."""
ABSENT: Final = {
    "lifecycle": ("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"),
    "publicAccessBlock": (
        "NoSuchPublicAccessBlockConfiguration",
        "The public access block configuration was not found",
    ),
    "encryption": (
        "ServerSideEncryptionConfigurationNotFoundError",
        "The server side encryption configuration was not found",
    ),
    "ownershipControls": ("OwnershipControlsNotFoundError", "The bucket ownership controls were not found"),
    "policy": ("NoSuchBucketPolicy", "The bucket policy does not exist"),
    "policyStatus": ("NoSuchBucketPolicy", "The bucket policy does not exist"),
    "cors": ("NoSuchCORSConfiguration", "The CORS configuration does not exist"),
    "website": ("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"),
    "replication": ("ReplicationConfigurationNotFoundError", "The replication configuration was not found"),
    "object-lock": (
        "ObjectLockConfigurationNotFoundError",
        "Object Lock configuration does not exist for this bucket",
    ),
}
FIXED: Final = {
    "versioning": document("VersioningConfiguration"),
    "logging": document("BucketLoggingStatus"),
    "accelerate": document("AccelerateConfiguration"),
    "requestPayment": document("RequestPaymentConfiguration", text("Payer", "BucketOwner")),
}
"""Answers that cannot change here."""
REMOVABLE: Final = frozenset(("tagging", "policy", "lifecycle", "publicAccessBlock"))
UNCHECKED: Final = "x-amz-skip-destination-validation"
"""Header of PutBucketNotificationConfiguration."""
REMOVED: Final = b""
"""Stands for a default that was deleted."""


async def configuration(request: Request, store: ObjectStore, bucket: Bucket, notifier: Notifier) -> Response:
    """GET, PUT or DELETE of a bucket's sub-resource."""
    names = [name for name in request.query if not name.startswith("x-")]
    if len(names) == 1:
        match request.method:
            case "GET":
                return _get(bucket, names[0])
            case "PUT":
                return await _put(request, store, bucket, names[0], notifier)
            case "DELETE" if names[0] in REMOVABLE:
                _remove(store, bucket, names[0])
                return Response(204)
    raise not_implemented(f"{request.method} of a bucket with {', '.join(names) or 'no parameter'}")


def _get(bucket: Bucket, name: str) -> Response:
    match name:
        case "location":
            return answer("LocationConstraint", bucket.region if bucket.region != REGION else "")
        case "notification":
            return Response(200, rules_document(bucket.rules), XML)
        case "acl":
            return acl_answer()
        case "tagging" if bucket.tags:
            return tagging_answer(bucket.tags)
        case "tagging":
            raise ApiError(404, "NoSuchTagSet", "The TagSet does not exist", {"BucketName": bucket.name})
        case "policyStatus" if "policy" in bucket.configurations:
            raise not_implemented("whether a policy makes a bucket public")
    return _kept(bucket, name)


def _kept(bucket: Bucket, name: str) -> Response:
    """A document that was put, a default, or what S3 says when there is none."""
    content = bucket.configurations.get(name, DEFAULTS.get(name, FIXED.get(name, REMOVED)))
    if content:
        return Response(200, content, {"content-type": "application/json"} if name == "policy" else XML)
    if name not in ABSENT:
        raise not_implemented(f"GET of a bucket with {name}")
    raise ApiError(404, *ABSENT[name], {"BucketName": bucket.name})


async def _put(request: Request, store: ObjectStore, bucket: Bucket, name: str, notifier: Notifier) -> Response:
    body = (await receive(request)).body
    match name:
        case "notification":
            _notify(request, store, bucket, read_rules(body), notifier)
        case "tagging":
            store.configure(bucket, tags=read_tagging(body, MAX_BUCKET_TAGS))
        case "acl":
            refuse_acl(request.headers)
        case "policy":
            _keep(store, bucket, name, _checked_policy(body))
        case _ if name in ROOTS:
            _keep(store, bucket, name, _checked_document(name, body))
        case _:
            raise not_implemented(f"PUT of a bucket with {name}")
    return Response(204) if name in {"policy", "tagging"} else Response()


def _notify(request: Request, store: ObjectStore, bucket: Bucket, rules: tuple[Rule, ...], notifier: Notifier) -> None:
    """A new notification configuration, whose targets are tried, unless it is asked not to."""
    tried = request.headers.get(UNCHECKED, "").lower() != "true"
    if tried:
        notifier.guard.check(bucket, rules)
    store.configure(bucket, rules=rules)
    if tried:
        notifier.test(bucket, request.id)


def _keep(store: ObjectStore, bucket: Bucket, name: str, content: bytes) -> None:
    store.configure(bucket, configurations={**bucket.configurations, name: content})


def _remove(store: ObjectStore, bucket: Bucket, name: str) -> None:
    if name == "tagging":
        store.configure(bucket, tags={})
    elif name in DEFAULTS:
        _keep(store, bucket, name, REMOVED)
    else:
        left = {other: content for other, content in bucket.configurations.items() if other != name}
        store.configure(bucket, configurations=left)


def _checked_policy(body: bytes) -> bytes:
    try:
        policy = read_json(body)
    except ValueError:
        policy = None
    if not isinstance(policy, dict) or "Statement" not in policy:
        raise ApiError(400, "MalformedPolicy", "Policies must be valid JSON with a Statement")
    return body


def _checked_document(name: str, body: bytes) -> bytes:
    """The document as it came; ApiError for another root, or for what S3's default does not do."""
    root = parse(body, ROOTS[name])
    wanted = {"encryption": ("SSEAlgorithm", "AES256"), "ownershipControls": ("ObjectOwnership", "BucketOwnerEnforced")}
    if name in wanted:
        tag, only = wanted[name]
        values = [node.text for node in root.iter(tag)]
        if not values:
            raise malformed_xml()
        if values != [only]:
            raise not_implemented(f"{tag} {values[0]}, only {only}")
    elif not len(root):
        raise malformed_xml()
    return body
