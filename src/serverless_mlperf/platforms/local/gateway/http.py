"""A thin HTTP/1.1 server for the measured path: parse, dispatch, answer, keep the connection.

One request at a time per connection; a client that goes away cancels the handler of its request, so that a long
poll never takes messages for nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
import logging
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

MAX_HEAD_BYTES: Final = 64 << 10
MAX_BODY_BYTES: Final = 512 << 20
"""Above the largest single PUT that an experiment makes (a layer of 250 MiB unzipped) and below the host's memory."""
HEAD_END: Final = b"\r\n\r\n"
LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]", "::1")
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Response:
    """What goes back; `content-length` is added."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Request:
    """One request; header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def path(self) -> str:
        """The decoded path."""
        return unquote(self.raw_path)

    @cached_property
    def raw_path(self) -> str:
        """The path as sent."""
        return self.target.partition("?")[0]

    @cached_property
    def query(self) -> dict[str, str]:
        """Query parameters; one without a value is an empty string."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))


Handler = Callable[[Request], Awaitable[Response]]


class BadRequestError(Exception):
    """The bytes are no request that this server takes; the connection is closed after the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class HttpConnection(asyncio.Protocol):
    """One client connection."""

    def __init__(self, handler: Handler, connections: set["HttpConnection"]) -> None:
        self._handler = handler
        self._connections = connections
        self._buffer = bytearray()
        self._head: tuple[str, str, dict[str, str], int] | None = None
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a TCP server makes no other
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Cancel what nobody waits for any more."""
        self._connections.discard(self)
        if self._task:
            self._task.cancel()

    def close(self) -> None:
        """Close from our side."""
        if self._transport:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Collect bytes and serve a request when it is whole."""
        self._buffer += data
        if self._task is None:
            self._advance()

    def _advance(self) -> None:
        try:
            request = self._take()
        except BadRequestError as error:
            self._write(Response(error.status, str(error).encode(), {"connection": "close"}))
            self.close()
            return
        if request is not None:
            self._task = asyncio.get_running_loop().create_task(self._serve(request))

    def _take(self) -> Request | None:
        """The next whole request of the buffer, or None."""
        if self._head is None:
            self._head = self._take_head()
        if self._head is None:
            return None
        method, target, headers, length = self._head
        body = self._take_bytes(length) if length >= 0 else self._take_chunks()
        if body is None:
            return None
        self._head = None
        return Request(method, target, headers, body)

    def _take_head(self) -> tuple[str, str, dict[str, str], int] | None:
        end = self._buffer.find(HEAD_END)
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise BadRequestError(431, "request head too large")
            return None
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + len(HEAD_END)]
        parts = lines[0].split(" ")
        if len(parts) != 3:
            raise BadRequestError(400, "no HTTP request")
        pairs = (line.partition(":") for line in lines[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = _body_length(headers)
        if headers.get("expect", "").lower() == "100-continue" and self._transport:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return parts[0], parts[1], headers, length

    def _take_bytes(self, length: int) -> bytes | None:
        if len(self._buffer) < length:
            return None
        body = bytes(memoryview(self._buffer)[:length])
        del self._buffer[:length]
        return body

    def _take_chunks(self) -> bytes | None:
        """A whole chunked body; it is looked at again from its start when more has come (small bodies only)."""
        position, body = 0, bytearray()
        while (end := self._buffer.find(b"\r\n", position)) >= 0:
            try:
                size = int(self._buffer[position:end].split(b";")[0], 16)
            except ValueError as error:
                raise BadRequestError(400, "damaged chunk") from error
            if size + len(body) > MAX_BODY_BYTES:
                raise BadRequestError(413, "body too large")
            if len(self._buffer) < end + size + 4:
                return None
            body += self._buffer[end + 2 : end + 2 + size]
            position = end + 4 + size
            if size == 0:
                del self._buffer[:position]
                return bytes(body)
        return None

    async def _serve(self, request: Request) -> None:
        refusal = refuse_foreign(request.headers)
        try:
            response = refusal or await self._handler(request)
        except Exception:
            # The last line of defence of a server: told in full on stderr, answered as what it is.
            _log.exception("%s %s", request.method, request.target)
            response = Response(500, b"internal error; see the server's messages")
        self._write(response, head_only=request.method == "HEAD")
        self._task = None
        if request.headers.get("connection", "").lower() == "close":
            self.close()
        elif self._buffer:
            self._advance()

    def _write(self, response: Response, *, head_only: bool = False) -> None:
        lines = [f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        if not (head_only and "content-length" in response.headers):
            lines.append(f"content-length: {len(response.body)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        if self._transport:
            self._transport.write(head if head_only else head + response.body)


def _body_length(headers: Mapping[str, str]) -> int:
    """Bytes of the body; -1 for a chunked one."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return -1
    given = headers.get("content-length", "0")
    if not given.isdecimal():
        raise BadRequestError(400, "content-length is no number")
    if int(given) > MAX_BODY_BYTES:
        raise BadRequestError(413, "body too large")
    return int(given)


def refuse_foreign(headers: Mapping[str, str]) -> Response | None:
    """403 for a page of another site that found its way here (DNS rebinding), by Host and Origin."""
    for name in ("host", "origin"):
        value = headers.get(name)
        if value is None:
            continue
        host = urlsplit(value if "//" in value else f"//{value}").hostname or ""
        if host not in LOOPBACK and not host.endswith(".localhost"):
            return Response(403, f"{name} {value} is not this machine".encode())
    return None


async def serve_http(handler: Handler, port: int) -> tuple[asyncio.Server, set[HttpConnection]]:
    """Listen on 127.0.0.1; returns the server and the set of its live connections."""
    connections: set[HttpConnection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: HttpConnection(handler, connections), "127.0.0.1", port)
    return server, connections
