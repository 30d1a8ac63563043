"""Access control lists, which a new bucket of S3 has disabled (AmazonS3/latest/userguide/about-object-ownership)."""

from collections.abc import Mapping
from typing import Final

from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.http import Response
from serverless_mlperf.platforms.local.gateway.s3_xml import answer, element, owner, text
from serverless_mlperf.platforms.local.model import ACCOUNT_ID

GRANTS: Final = tuple(f"x-amz-grant-{right}" for right in ("full-control", "read", "read-acp", "write", "write-acp"))
EQUIVALENT: Final = frozenset(("private", "bucket-owner-full-control"))
"""Canned lists that say what is so anyway."""


def acl_answer() -> Response:
    """The list of a bucket or object: its owner may do everything."""
    scheme = '<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">'
    grantee = f"{scheme}{text('ID', ACCOUNT_ID)}</Grantee>"
    grant = element("Grant", grantee, text("Permission", "FULL_CONTROL"))
    return answer("AccessControlPolicy", owner(), element("AccessControlList", grant))


def refuse_acl(headers: Mapping[str, str]) -> None:
    """ApiError unless the canned list says what is so anyway."""
    if headers.get("x-amz-acl", "") not in EQUIVALENT:
        raise not_supported()


def check_acl_headers(headers: Mapping[str, str]) -> None:
    """ApiError for a write that asks for another list than the owner's."""
    if headers.get("x-amz-acl", "private") not in EQUIVALENT or any(name in headers for name in GRANTS):
        raise not_supported()


def not_supported() -> ApiError:
    """S3's answer to every list in a bucket that has them disabled."""
    return ApiError(400, "AccessControlListNotSupported", "The bucket does not allow ACLs")
