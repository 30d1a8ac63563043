"""A few S3 and SQS answers on aiohttp, with a function that echoes; what S3Transport is tested against.

Not the local platform: this one can be told to misbehave.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
import json
from typing import Any, Self
from urllib.parse import quote_plus

from aiohttp import web

from serverless_mlperf.platforms.base import Target


@dataclass
class TinyCloud:
    """One bucket and one queue; every PUT below `input/` is answered at once by an object below `output/`."""

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
    objects: dict[str, bytes] = field(default_factory=dict)
    messages: deque[str] = field(default_factory=deque)
    deleted: list[str] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._filled = asyncio.Event()
        self._sequence = 0
        app = web.Application()
        app.router.add_post("/", self._sqs)
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

    async def _s3(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        self.requests.append((request.method, key, {k.lower(): v for k, v in request.headers.items()}))
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
