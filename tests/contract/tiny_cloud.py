"""A few S3, SQS and Lambda answers on aiohttp, with a function that echoes; what transports are tested against.

Not the local platform: this one can be told to misbehave.
"""

import asyncio
import base64
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
import json
from typing import Any, Self
from urllib.parse import quote_plus

from aiohttp import web

from serverless_mlperf.platforms.base import Target

LOG = (
    "START RequestId: {id} Version: $LATEST\nEND RequestId: {id}\nREPORT RequestId: {id}\tDuration: 12.34 ms\t"
    "Billed Duration: 13 ms\tMemory Size: 1536 MB\tMax Memory Used: 80 MB\t\n"
)
REFUSALS = {
    "throttle": (429, "TooManyRequestsException", {"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"}),
    "not_ready": (502, "ResourceNotReadyException:http://internal.amazon.com/coral/com.amazonaws/", {}),
    "service": (500, "ServiceException", {}),
    "denied": (403, "AccessDeniedException", {}),
}
FUNCTION_ERROR = {"errorMessage": "no good", "errorType": "ValueError", "requestId": "q", "stackTrace": []}
ERROR_RECORD = {"error": {"type": "BadImage", "message": "not a JPEG"}}


@dataclass
class TinyCloud:
    """One bucket and one queue; every PUT below `input/` is answered at once by an object below `output/`.

    And one function: every invocation is answered by its event, without the image, and a log.
    """

    faults: Sequence[str] = ()
    """What becomes of the first invocations, one word each: ok, one of REFUSALS, function_error, error_record, rubbish,
    cut (the response ends early), reset (no response), slow (no response before `released` is set)."""
    deny_dry_runs: bool = False

    refuse_puts: int = 0
    """So many PUTs are answered 503."""
    forbid_puts: bool = False
    """PUTs are answered 403."""
    refuse_receives: int = 0
    """So many ReceiveMessage calls are answered 500."""
    redeliver: bool = False
    """Every notice is delivered twice."""
    execute_twice: bool = False
    """Every input is served twice."""
    error_records: bool = False
    broken_results: bool = False
    cut_results: bool = False
    """Objects end before their end."""
    objects: dict[str, bytes] = field(default_factory=dict)
    messages: deque[str] = field(default_factory=deque)
    deleted: list[str] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    invocations: list[dict[str, Any]] = field(default_factory=list)
    """Events as they came, those of refused invocations too."""
    executed: int = 0
    in_flight: int = 0
    peak_in_flight: int = 0
    pause_s: float = 0.0
    """How long an invocation takes."""

    async def __aenter__(self) -> Self:
        self._filled = asyncio.Event()
        self.released = asyncio.Event()
        self._faults = deque(self.faults)
        self._sequence = 0
        app = web.Application(client_max_size=8 << 20)
        app.router.add_post("/", self._sqs)
        app.router.add_post("/2015-03-31/functions/{name}/invocations", self._invoke)
        app.router.add_route("*", "/{bucket}/{key:.*}", self._s3)
        # Else the long poll of a client that is gone would swallow the next client's messages.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port: int = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def target(self) -> Target:
        """As a platform would give it."""
        url = f"http://127.0.0.1:{self.port}"
        return Target(
            "local", "us-east-1", url, url, url, "bucket", "f", "input/c/", "output/c/", "completed/c/", f"{url}/q", 1
        )

    def notify(self, key: str, sequencer: str) -> None:
        """Put an S3 event into the queue."""
        record = {"s3": {"object": {"key": quote_plus(key, safe="/"), "sequencer": sequencer}}}
        self.messages.extend([json.dumps({"Records": [record]})] * (2 if self.redeliver else 1))
        self._filled.set()

    async def _s3(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["key"]
        self.requests.append((request.method, key, {k.lower(): v for k, v in request.headers.items()}))
        if request.method == "GET" and self.cut_results:
            return await _cut(request, web.Response())
        if request.method == "GET":
            return web.Response(body=self.objects[key]) if key in self.objects else web.Response(status=404)
        if request.method == "PUT":
            return await self._put(key, await request.read())
        return web.Response(status=404)

    async def _put(self, key: str, body: bytes) -> web.Response:
        if self.forbid_puts:
            return web.Response(status=403, text="AccessDenied")
        if self.refuse_puts:
            self.refuse_puts -= 1
            return web.Response(status=503, text="SlowDown")
        for _ in range(2 if self.execute_twice else 1):
            self._serve(key, json.loads(body))
        return web.Response()

    def _serve(self, key: str, document: dict[str, Any]) -> None:
        self._sequence += 1
        name = key.rpartition("/")[2]
        folder = document["OutputPath"] + ("errors/" if self.error_records else "")
        answer: dict[str, Any] = {"ImageFilenames": document["ImageFilenames"], "result": [[1, 1.0]]}
        if self.error_records:
            answer["error"] = {"type": "BadImage", "message": "not a JPEG"}
        self.objects[folder + name] = b"[" if self.broken_results else json.dumps(answer).encode()
        self.notify(folder + name, f"{self._sequence:016X}")

    async def _invoke(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(("POST", "Invoke", {k.lower(): v for k, v in request.headers.items()}))
        if request.headers["x-amz-invocation-type"] == "DryRun":
            return _refused("denied") if self.deny_dry_runs else web.Response(status=204)
        self.invocations.append(await request.json())
        fault = self._faults.popleft() if self._faults else "ok"
        if fault in REFUSALS:
            return _refused(fault)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            return await self._execute(request, fault)
        finally:
            self.in_flight -= 1

    async def _execute(self, request: web.Request, fault: str) -> web.StreamResponse:
        await asyncio.sleep(self.pause_s)
        self.executed += 1
        echo = {"ImageFilenames": self.invocations[-1]["ImageFilenames"], "result": [[1, 1.0]]}
        answer = web.json_response({"function_error": FUNCTION_ERROR, "error_record": ERROR_RECORD}.get(fault, echo))
        log = LOG.format(id=f"request-{self.executed}")
        answer.headers["X-Amz-Log-Result"] = base64.b64encode(log.encode()).decode()
        if fault == "function_error":
            answer.headers["X-Amz-Function-Error"] = "Unhandled"
        if fault == "rubbish":
            answer.body = b"["
        if fault == "slow":
            await self.released.wait()
        if fault == "reset":
            _abort(request)
        return await _cut(request, answer) if fault == "cut" else answer

    async def _sqs(self, request: web.Request) -> web.Response:
        action = request.headers["X-Amz-Target"].removeprefix("AmazonSQS.")
        body = await request.json()
        self.requests.append(("POST", action, {k.lower(): v for k, v in request.headers.items()}))
        if action == "DeleteMessageBatch":
            self.deleted += [entry["ReceiptHandle"] for entry in body["Entries"]]
            return web.json_response({"Successful": [], "Failed": []})
        if self.refuse_receives:
            self.refuse_receives -= 1
            return web.json_response({"__type": "InternalError"}, status=500)
        return web.json_response(await self._receive(body["MaxNumberOfMessages"]))

    async def _receive(self, limit: int) -> dict[str, Any]:
        while not self.messages:
            self._filled.clear()
            await self._filled.wait()
        taken = [self.messages.popleft() for _ in range(min(limit, len(self.messages)))]
        numbered = [(f"receipt-{id(self)}-{self._sequence}-{n}", body) for n, body in enumerate(taken)]
        return {"Messages": [{"MessageId": r, "ReceiptHandle": r, "Body": body} for r, body in numbered]}


def _refused(fault: str) -> web.Response:
    status, error_type, more = REFUSALS[fault]
    body = {"Type": "User", "message": f"{fault} on purpose", **more}
    return web.json_response(body, status=status, headers={"x-amzn-ErrorType": error_type})


async def _cut(request: web.Request, answer: web.Response) -> web.StreamResponse:
    """Promise more than is sent."""
    response = web.StreamResponse(headers={k: v for k, v in answer.headers.items() if k != "Content-Length"})
    response.content_length = 1000
    await response.prepare(request)
    await response.write(b'{"result":')
    _abort(request)
    return response


def _abort(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()
