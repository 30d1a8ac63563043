"""Serves function URLs: a host of its own per function, permissions, CORS, the answer as HTTP."""

from collections.abc import Mapping
from datetime import UTC, datetime
import json
import re
from typing import Any, Final
import uuid

from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.http import Request, Response
from serverless_mlperf.platforms.local.gateway.lambda_errors import error_answer
from serverless_mlperf.platforms.local.gateway.lambda_invoke import MAX_SYNC_BYTES, Invoker
from serverless_mlperf.platforms.local.gateway.lambda_names import LATEST, FunctionRef
from serverless_mlperf.platforms.local.gateway.lambda_policy import url_may_be_called
from serverless_mlperf.platforms.local.gateway.lambda_state import Function, FunctionUrl, LambdaState
from serverless_mlperf.platforms.local.gateway.lambda_urls import DOMAIN
from serverless_mlperf.platforms.local.gateway.url_events import JSON, MalformedAnswerError, url_answer, url_event

HOST: Final = re.compile(rf"([a-z0-9]+)\.{re.escape(DOMAIN)}(:\d+)?")
SIGNED: Final = "/lambda/aws4_request"
"""Scope of a signature for a function URL; credentials are not looked at here, as everywhere."""
FORBIDDEN: Final = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)
FAILED: Final = Response(502, b"Internal Server Error", {"content-type": JSON})


class FunctionUrls:
    """Routes by host."""

    def __init__(self, state: LambdaState, invoker: Invoker) -> None:
        self._state = state
        self._invoker = invoker

    @staticmethod
    def takes(headers: Mapping[str, str]) -> bool:
        """Whether a request is for a function's host."""
        return DOMAIN in headers.get("host", "")

    async def handle(self, request: Request) -> Response:
        """Serve one request."""
        found = self._find(request.headers.get("host", ""))
        if found is None:
            return _forbidden(None)
        function, qualifier, url = found
        origin = request.headers.get("origin")
        shared = _shared(url.cors, origin)
        if request.method == "OPTIONS" and origin and "access-control-request-method" in request.headers and url.cors:
            return Response(200, b"", shared | (_preflight(url.cors) if shared else {}))
        response = await self._call(request, function, qualifier, url)
        response.headers = {**response.headers, **shared}
        return response

    async def _call(self, request: Request, function: Function, qualifier: str, url: FunctionUrl) -> Response:
        signed = SIGNED in request.headers.get("authorization", "")
        if not (signed or (url.auth_type == "NONE" and url_may_be_called(function, qualifier, "NONE"))):
            return _forbidden(FORBIDDEN)
        request_id = str(uuid.uuid4())
        event = json.dumps(url_event(request, url.id, request_id, datetime.now(UTC))).encode()
        if len(event) > MAX_SYNC_BYTES:
            return Response(413, json.dumps({"message": "Request Too Long"}).encode(), {"content-type": JSON})
        ref = FunctionRef(function.name, None if qualifier == LATEST else qualifier)
        try:
            done = await self._invoker.run(self._invoker.spec(ref), event)
            answer = FAILED if done.function_error else url_answer(done.payload)
        except MalformedAnswerError:
            answer = FAILED
        except ApiError as error:
            return error_answer(error)
        return Response(answer.status, answer.body, {**answer.headers, "x-amzn-requestid": request_id}, answer.cookies)

    def _find(self, host: str) -> tuple[Function, str, FunctionUrl] | None:
        match = HOST.fullmatch(host)
        for function in self._state.functions.values() if match else ():
            for qualifier, url in function.urls.items():
                if match and url.id == match[1]:
                    return function, qualifier, url
        return None


def _forbidden(message: str | None) -> Response:
    headers = {"content-type": JSON, "x-amzn-errortype": "AccessDeniedException"}
    return Response(403, json.dumps({"Message": message}).encode(), headers)


def _shared(cors: Mapping[str, Any], origin: str | None) -> dict[str, str]:
    """What lets a page of an origin read the answer; nothing for an origin that is not allowed."""
    origins = cors.get("AllowOrigins", [])
    if origin is None or not ({"*", origin} & set(origins)):
        return {}
    anyone = "*" in origins and not cors.get("AllowCredentials")
    headers = {"access-control-allow-origin": "*" if anyone else origin, "vary": "Origin"}
    if cors.get("AllowCredentials"):
        headers["access-control-allow-credentials"] = "true"
    if cors.get("ExposeHeaders"):
        headers["access-control-expose-headers"] = ",".join(cors["ExposeHeaders"])
    return headers


def _preflight(cors: Mapping[str, Any]) -> dict[str, str]:
    headers = {}
    for name, members in (("methods", "AllowMethods"), ("headers", "AllowHeaders")):
        if cors.get(members):
            headers[f"access-control-allow-{name}"] = ",".join(cors[members])
    if "MaxAge" in cors:
        headers["access-control-max-age"] = str(cors["MaxAge"])
    return headers
