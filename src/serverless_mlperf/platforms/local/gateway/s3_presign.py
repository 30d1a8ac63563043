"""Presigned URLs: taken as they come until they expire.

The signature is not checked: the platform has no credentials, so there is no secret to check it with. What a client
can get wrong by itself is: parameters that are missing or damaged, and an expiry that has passed.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.http import Request

VERSION_4: Final = frozenset(
    f"X-Amz-{name}" for name in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")
)
VERSION_2: Final = frozenset(("AWSAccessKeyId", "Expires", "Signature"))
OTHERS: Final = frozenset(("X-Amz-Security-Token", "x-amz-security-token"))
MAX_EXPIRES_S: Final = 604_800
"""A week (AmazonS3/latest/API/sigv4-query-string-auth)."""
SKEW: Final = timedelta(minutes=15)


def accepted(request: Request) -> Request:
    """The request without its signature; parameters named like headers become headers, as S3 takes them.

    Raises ApiError AccessDenied when the URL has expired, AuthorizationQueryParametersError when it is damaged.
    """
    query = request.query
    if "X-Amz-Algorithm" in query or "X-Amz-Signature" in query:
        _check_version_4(query)
    elif "AWSAccessKeyId" in query and "Signature" in query:
        _check_version_2(query)
    else:
        return request
    signature = VERSION_4 | VERSION_2 | OTHERS
    hoisted = {n.lower(): v for n, v in query.items() if n.lower().startswith("x-amz-") and n not in signature}
    bare = Request(request.method, request.target, {**request.headers, **hoisted}, request.body)
    bare.__dict__["id"] = request.id
    bare.__dict__["query"] = {n: v for n, v in query.items() if n not in signature and n.lower() not in hoisted}
    return bare


def _check_version_4(query: dict[str, str]) -> None:
    if not query.keys() >= VERSION_4:
        raise _damaged(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
            "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
        )
    if query["X-Amz-Algorithm"] not in {"AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"}:
        raise _damaged('X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"')
    if query["X-Amz-Credential"].count("/") < 4:
        raise _damaged(
            "Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting "
            '"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
        )
    begun, lasts_s = _date(query["X-Amz-Date"]), _seconds(query["X-Amz-Expires"])
    now = datetime.now(UTC)
    if begun > now + SKEW:
        raise ApiError(403, "AccessDenied", "Request is not valid yet", {"ServerTime": _iso(now)})
    _check_expiry(begun + timedelta(seconds=lasts_s), now, {"X-Amz-Expires": lasts_s})


def _check_version_2(query: dict[str, str]) -> None:
    """The older form, which boto3 and the `aws` command still make by default for us-east-1."""
    expires = query.get("Expires", "")
    if not (expires.isascii() and expires.isdecimal()) or len(expires) > 11:
        raise ApiError(403, "AccessDenied", f"Invalid date (should be seconds since epoch): {expires}")
    _check_expiry(datetime.fromtimestamp(int(expires), UTC), datetime.now(UTC), {})


def _check_expiry(until: datetime, now: datetime, details: dict[str, object]) -> None:
    if until < now:
        times = {"Expires": _iso(until), "ServerTime": _iso(now)}
        raise ApiError(403, "AccessDenied", "Request has expired", {**details, **times})


def _date(given: str) -> datetime:
    try:
        return datetime.strptime(given, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise _damaged("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"") from None


def _seconds(given: str) -> int:
    if not (given.removeprefix("-").isascii() and given.removeprefix("-").isdecimal()):
        raise _damaged("X-Amz-Expires should be a number")
    if given.startswith("-"):
        raise _damaged("X-Amz-Expires must be non-negative")
    if len(given) > 6 or int(given) > MAX_EXPIRES_S:
        raise _damaged("X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be "
                       f"less than {MAX_EXPIRES_S} seconds")  # fmt: skip
    return int(given)


def _damaged(message: str) -> ApiError:
    return ApiError(400, "AuthorizationQueryParametersError", message)


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
