"""HTTP and a function URL's payloads, format 2.0 (lambda/latest/dg/urls-invocation): values only."""

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
import json
import re
from typing import Any, Final
from urllib.parse import parse_qsl

from serverless_mlperf.platforms.local.gateway.http import Request, Response
from serverless_mlperf.platforms.local.model import ACCOUNT_ID

JSON: Final = "application/json"
_TEXT: Final = re.compile(r"text/.*|application/(json|javascript|xml|.*\+json|.*\+xml)")
"""Content types whose bodies come as they are; others come in base64, forms too."""
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS: Final = frozenset(("connection", "content-length", "date", "transfer-encoding", "keep-alive"))
"""Headers of an answer that are the server's own."""


class MalformedAnswerError(Exception):
    """What the function returned is no HTTP answer."""


def url_event(request: Request, url_id: str, request_id: str, moment: datetime) -> dict[str, Any]:
    """The event of an HTTP request."""
    headers = {name: value for name, value in request.headers.items() if name != "cookie"}
    cookies = [part.strip() for part in request.headers.get("cookie", "").split(";") if part.strip()]
    query = request.target.partition("?")[2]
    domain = request.headers.get("host", "").partition(":")[0]
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.raw_path,
        "rawQueryString": query,
        **({"cookies": cookies} if cookies else {}),
        "headers": {**headers, "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http"},
        **({"queryStringParameters": _parameters(query)} if query else {}),
        "requestContext": {
            "accountId": ACCOUNT_ID if _signer(request) else "anonymous",
            "apiId": url_id,
            "authentication": None,
            **_authorizer(request),
            "domainName": domain,
            "domainPrefix": url_id,
            "http": {
                "method": request.method,
                "path": request.raw_path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": request.headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": moment.astimezone(UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(moment.timestamp() * 1000),
        },
    }
    return event | _body(request)


def url_answer(payload: bytes) -> Response:
    """The HTTP answer to what a function returned; MalformedAnswerError."""
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise MalformedAnswerError(str(error)) from error
    if not isinstance(value, dict) or "statusCode" not in value:
        return Response(200, payload, {"content-type": JSON})
    status = value["statusCode"]
    if not str(status).isdecimal() or not 200 <= int(status) <= 599:
        raise MalformedAnswerError(f"statusCode {status!r}")
    headers = {"content-type": JSON, **_headers(value.get("headers") or {})}
    return Response(int(status), _content(value), headers, cookies=_cookies(value.get("cookies") or []))


def _parameters(query: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return {name: ",".join(values) for name, values in found.items()}


def _body(request: Request) -> dict[str, Any]:
    if not request.body:
        return {"isBase64Encoded": False}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if _TEXT.fullmatch(kind):
        try:
            return {"body": request.body.decode(), "isBase64Encoded": False}
        except UnicodeDecodeError:
            pass  # in base64 it is not changed
    return {"body": base64.b64encode(request.body).decode(), "isBase64Encoded": True}


def _signer(request: Request) -> str | None:
    """Access key of a signed request."""
    found = re.search(r"Credential=([^/,\s]+)/", request.headers.get("authorization", ""))
    return found[1] if found else None


def _authorizer(request: Request) -> dict[str, Any]:
    key = _signer(request)
    if key is None:
        return {}
    arn = f"arn:aws:iam::{ACCOUNT_ID}:root"
    caller = {"accessKey": key, "accountId": ACCOUNT_ID, "callerId": ACCOUNT_ID, "userArn": arn, "userId": ACCOUNT_ID}
    return {"authorizer": {"iam": {**caller, "cognitoIdentity": None, "principalOrgId": None}}}


def _headers(given: object) -> dict[str, str]:
    if not isinstance(given, dict):
        raise MalformedAnswerError("headers are no object")
    read = {str(name).lower(): _text(value) for name, value in given.items()}
    wrong = [name for name in read if not _HEADER.fullmatch(name)]
    if wrong:
        raise MalformedAnswerError(f"header {wrong[0]!r}")
    return {name: value for name, value in read.items() if name not in _OURS}


def _cookies(given: object) -> tuple[str, ...]:
    if not isinstance(given, list):
        raise MalformedAnswerError("cookies are no list")
    return tuple(_text(cookie) for cookie in given)


def _text(value: object) -> str:
    """A header's value; one with a line end would begin another header."""
    text = json.dumps(value) if isinstance(value, bool | int | float) else value
    if not isinstance(text, str) or re.search(r"[\r\n\0]", text):
        raise MalformedAnswerError(f"header value {value!r}")
    return text


def _content(value: Mapping[str, Any]) -> bytes:
    body = value.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        return json.dumps(body).encode()
    if not value.get("isBase64Encoded"):
        return body.encode(errors="replace")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedAnswerError("body is not base64") from error
