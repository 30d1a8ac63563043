"""Lambda's Runtime API for one environment: a port of its own on 127.0.0.1, HTTP/1.1 as awslambdaric speaks it.

Routes: AWS, lambda/latest/dg/runtimes-api. Connections have no idle timeout: a frozen environment keeps its socket.
"""

import asyncio
from dataclasses import dataclass
import socket
from typing import Final, Protocol

from serverless_mlperf.platforms.local.access import foreign_page

_BASE: Final = "/2018-06-01/runtime/"
PAYLOAD_LIMIT_BYTES: Final = 6 * 2**20 + 100
"""Largest response Lambda takes (6,291,556 bytes)."""
_HEAD_LIMIT_BYTES: Final = 1 << 21
"""An error carries its X-Ray cause in a header of up to 1 MiB."""


class Runtime(Protocol):
    """What the API tells its environment; called on the event loop, must not block."""

    def on_next(self) -> bool:
        """The runtime asks for its next invocation; False when it must not, having one under way."""

    def on_response(self, request_id: str, body: bytes, error_type: str | None, too_large: bool) -> bool:
        """An invocation's result (`error_type` None) or error; False when it is not the one under way."""

    def on_init_error(self, body: bytes) -> None:
        """The runtime could not load the handler."""


@dataclass(frozen=True, slots=True)
class NextInvocation:
    """The answer to /next."""

    request_id: str
    payload: bytes
    deadline_ms: int
    function_arn: str
    trace_id: str
    client_context: str = ""
    """One line of JSON."""


class RuntimeApi:
    """Owns the port; `close` it only when the environment's process is gone."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.waiting: _Connection | None = None
        """The connection that has asked for the next invocation."""
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    async def open(self) -> int:
        """Listen; returns the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def give(self, invocation: NextInvocation) -> None:
        """Answer the /next that is waiting."""
        connection, self.waiting = self.waiting, None
        if connection is None:
            raise RuntimeError("no /next is waiting")
        client = invocation.client_context
        client_header = f"Lambda-Runtime-Client-Context: {client}\r\n" if client else ""
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(invocation.payload)}\r\n"
            f"Lambda-Runtime-Aws-Request-Id: {invocation.request_id}\r\n"
            f"Lambda-Runtime-Deadline-Ms: {invocation.deadline_ms}\r\n"
            f"Lambda-Runtime-Invoked-Function-Arn: {invocation.function_arn}\r\n"
            f"Lambda-Runtime-Trace-Id: {invocation.trace_id}\r\n"
            f"{client_header}\r\n"
        )
        connection.write(head.encode() + invocation.payload)

    async def close(self) -> None:
        """Stop listening and drop what is connected."""
        for connection in list(self._connections):
            connection.abort()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def connected(self, connection: "_Connection") -> None:
        """Note a connection."""
        self._connections.add(connection)

    def disconnected(self, connection: "_Connection") -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        if self.waiting is connection:
            self.waiting = None

    def handle(self, connection: "_Connection", request: "_Request") -> None:
        """Answer one request, or keep it waiting if it is for the next invocation."""
        path = request.path.removeprefix(_BASE)
        if request.method == "GET" and path == "invocation/next":
            self._ask(connection)
        elif request.method == "POST" and path == "init/error":
            self.runtime.on_init_error(request.body)
            connection.answer(202)
        elif request.method == "POST" and path.startswith("invocation/"):
            connection.answer(self._result(path.split("/"), request))
        else:
            connection.answer(404)

    def _ask(self, connection: "_Connection") -> None:
        if self.waiting is not None:
            connection.answer(403)  # there is one invocation at a time
            return
        self.waiting = connection
        if not self.runtime.on_next():
            self.waiting = None
            connection.answer(403)

    def _result(self, parts: list[str], request: "_Request") -> int:
        if len(parts) != 3 or parts[2] not in {"response", "error"}:
            return 404
        error_type = request.error_type if parts[2] == "error" else None
        if not self.runtime.on_response(parts[1], request.body, error_type, request.too_large):
            return 403
        return 413 if request.too_large else 202


class _Request:
    """One request while it is read."""

    __slots__ = ("body", "error_type", "left_bytes", "method", "path", "too_large")

    def __init__(self, head: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = lines[0].split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        self.left_bytes = int(headers.get("content-length", "0"))
        self.too_large = self.left_bytes > PAYLOAD_LIMIT_BYTES
        self.error_type = headers.get("lambda-runtime-function-error-type", "Unhandled")
        self.body = b""
        if not headers.get("host", "127.0.0.1").startswith("127.0.0.1") or foreign_page(headers):
            raise ValueError("asked by a page in a browser")
        if self.left_bytes < 0 or "transfer-encoding" in headers:
            raise ValueError("the length of the body is not given")


class _Connection(asyncio.Protocol):
    """Minimal HTTP/1.1 with keep-alive; one request at a time, as the runtime sends them."""

    def __init__(self, api: RuntimeApi) -> None:
        self._api = api
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._request: _Request | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; answers must not wait for Nagle's algorithm."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        connected: socket.socket = transport.get_extra_info("socket")
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._api.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget it; the end of the process is noticed by the controller."""
        self._api.disconnected(self)

    def data_received(self, data: bytes) -> None:
        """Collect one request and hand it over."""
        self._buffer += data
        try:
            while (request := self._complete()) is not None:
                self._api.handle(self, request)
        except ValueError:
            self.answer(400)
            self.abort()

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if self._transport is not None:
            self._transport.write(data)

    def answer(self, status: int) -> None:
        """Send a small JSON answer."""
        body = b'{"status":"OK"}\n' if status == 202 else b'{"errorType":"InvalidRequest"}\n'
        head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.write(head.encode() + body)

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _complete(self) -> _Request | None:
        if self._request is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > _HEAD_LIMIT_BYTES:
                    raise ValueError("request head too long")
                return None
            self._request = _Request(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
        request = self._request
        if request.too_large:
            dropped = min(len(self._buffer), request.left_bytes)
            del self._buffer[:dropped]
            request.left_bytes -= dropped
            if request.left_bytes:
                return None
        elif len(self._buffer) < request.left_bytes:
            return None
        request.body = bytes(self._buffer[: request.left_bytes])
        del self._buffer[: request.left_bytes]
        self._request = None
        return request
