"""Invoke: synchronous, as an event, or as a question whether it could be."""

import base64
import json
from typing import Final

from serverless_mlperf.errors import BenchmarkError, PackageError
from serverless_mlperf.platforms.local.executor_protocol import Executor
from serverless_mlperf.platforms.local.gateway.errors import ApiError, not_implemented
from serverless_mlperf.platforms.local.gateway.http import Request, Response
from serverless_mlperf.platforms.local.gateway.lambda_call import JSON
from serverless_mlperf.platforms.local.gateway.lambda_errors import invalid
from serverless_mlperf.platforms.local.gateway.lambda_lookup import find_revision
from serverless_mlperf.platforms.local.gateway.lambda_names import FunctionRef, function_ref
from serverless_mlperf.platforms.local.gateway.lambda_specs import make_spec, spec_to_invoke
from serverless_mlperf.platforms.local.gateway.lambda_state import LambdaState
from serverless_mlperf.platforms.local.json_text import read_json
from serverless_mlperf.platforms.local.model import FunctionSpec, Invocation, ThrottledError

MAX_SYNC_BYTES: Final = 6 << 20
MAX_EVENT_BYTES: Final = 1 << 20
"""Payload limits of an invocation (lambda/latest/dg/gettingstarted-limits)."""
MAX_CLIENT_CONTEXT: Final = 3583
"""Characters in base64 (lambda/latest/api/API_Invoke)."""


class Invoker:
    """Gives invocations to the executor."""

    def __init__(self, state: LambdaState, executor: Executor) -> None:
        self._state = state
        self._executor = executor

    def spec(self, ref: FunctionRef) -> FunctionSpec:
        """What an invocation runs now; ApiError when there is nothing that can run."""
        function, _ = find_revision(self._state, ref)
        return spec_to_invoke(function, ref)

    async def invoke(self, request: Request, ref: FunctionRef) -> Response:
        """The Invoke operation."""
        kind = request.headers.get("x-amz-invocation-type", "RequestResponse")
        limit = MAX_EVENT_BYTES if kind == "Event" else MAX_SYNC_BYTES
        if len(request.body) > limit:
            message = f"Request must be smaller than {limit} bytes for the InvokeFunction operation"
            raise ApiError(413, "RequestTooLargeException", message)
        _refuse_headers(request)
        payload, client_context = _payload(request.body), _client_context(request)
        spec = self.spec(ref)
        match kind:
            case "DryRun":
                return Response(204)
            case "Event":
                request_id = self._executor.submit_event(spec, payload)
                return Response(202, b"", {"x-amzn-requestid": request_id})
            case "RequestResponse":
                return await self._wait(request, spec, payload, client_context)
        raise invalid(f"InvocationType {kind!r} must be RequestResponse, Event or DryRun")

    def accept(self, arn: str, payload: bytes, *, from_s3: bool = False) -> bool:
        """Take an event for the function of an ARN, which may still be on its way; whether there is one."""
        try:
            ref = function_ref(arn)
            function, revision = find_revision(self._state, ref)
        except ApiError:
            return False
        ready = function.serving is not None or revision.progress.state == "Active"
        spec = spec_to_invoke(function, ref) if ready else make_spec(function, revision, ref.qualifier)
        self._executor.submit_event(spec, payload, from_s3=from_s3)
        return True

    async def run(
        self, spec: FunctionSpec, payload: bytes, *, log_tail: bool = False, client_context: str = ""
    ) -> Invocation:
        """Invoke and wait; ApiError 429 where a limit is reached, else where the function cannot be run at all."""
        try:
            return await self._executor.invoke(spec, payload, log_tail=log_tail, client_context=client_context)
        except PackageError as error:
            raise ApiError(502, "InvalidZipFileException", str(error)) from error
        except BenchmarkError as error:
            raise ApiError(500, "ServiceException", str(error)) from error
        except ThrottledError as error:
            details = {"Reason": error.reason}
            raise ApiError(429, "TooManyRequestsException", "Rate Exceeded.", details) from error

    async def _wait(self, request: Request, spec: FunctionSpec, payload: bytes, client_context: str) -> Response:
        tail = request.headers.get("x-amz-log-type") == "Tail"
        done = await self.run(spec, payload, log_tail=tail, client_context=client_context)
        headers = {
            **JSON,
            "x-amz-executed-version": done.executed_version,
            "x-amzn-requestid": done.request_id,
            **({"x-amz-function-error": done.function_error} if done.function_error else {}),
            **({"x-amz-log-result": base64.b64encode(done.log_tail).decode()} if tail else {}),
        }
        return Response(200, done.payload, headers)


def _refuse_headers(request: Request) -> None:
    for name in ("x-amz-tenant-id", "x-amz-durable-execution-name"):
        if name in request.headers:
            raise not_implemented(f"the header {name} of Invoke")


def _client_context(request: Request) -> str:
    """What the caller says of itself, as one line; Lambda gives it to synchronous invocations only."""
    given = request.headers.get("x-amz-client-context")
    if given is None:
        return ""
    try:
        if len(given) > MAX_CLIENT_CONTEXT:
            raise ValueError(f"longer than {MAX_CLIENT_CONTEXT} characters")
        value = read_json(base64.b64decode(given, validate=True))
        if not isinstance(value, dict):
            raise ValueError("no object")
        return json.dumps(value)
    except ValueError as error:
        message = f"Client context must be a valid Base64-encoded JSON object. ({error})"
        raise ApiError(400, "InvalidRequestContentException", message) from None


def _payload(body: bytes) -> bytes:
    """The event as sent; `{}` without any."""
    try:
        json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        message = f"Could not parse request body into json: {error}"
        raise ApiError(400, "InvalidRequestContentException", message) from None
    return body or b"{}"
