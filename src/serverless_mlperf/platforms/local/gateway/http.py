"""A thin HTTP/1.1 server for the measured path: parse, dispatch, answer, keep the connection.

One request at a time per connection; a client that goes away cancels the handler of its request, so that a long
poll never takes messages for nobody.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cached_property, lru_cache
from http import HTTPStatus
import itertools
import logging
import secrets
import time
from typing import Final
from urllib.parse import parse_qsl, unquote

from serverless_mlperf.platforms.local.access import Access
from serverless_mlperf.platforms.local.gateway.errors import BadRequestError, BrokenOffError
from serverless_mlperf.platforms.local.gateway.http_head import Head, read_head

MAX_HEAD_BYTES: Final = 64 << 10
HEAD_END: Final = b"\r\n\r\n"
SLICE_BYTES: Final = 256 << 10
"""What one write hands to the kernel; a larger body goes in several."""
BODILESS: Final = frozenset((204, 304))
"""Answers that carry no content-length (RFC 9110, 8.6)."""
LOCAL: Final = Access()
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}
_request_ids: Final = itertools.count(secrets.randbits(56))
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Response:
    """What goes back; `content-length` is added."""

    status: int = 200
    body: bytes | memoryview = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Sequence[str] = ()
    """Each in a set-cookie header of its own (RFC 6265, 3)."""
    rest: AsyncIterator[bytes] | None = None
    """What follows `body`, made while it is sent; `content-length` must then be among the headers. May end with a
    BrokenOffError."""
    sent_bytes: int | None = None
    """A fault on demand: after so many bytes of the body the connection is closed; -1: before the head."""


@dataclass
class Request:
    """One request; header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def path(self) -> str:
        """The decoded path; a client may also send UTF-8 as it is."""
        raw = self.raw_path
        return unquote(raw if raw.isascii() else raw.encode("latin-1").decode("utf-8", "replace"))

    @cached_property
    def raw_path(self) -> str:
        """The path as sent."""
        return self.target.partition("?")[0]

    @cached_property
    def query(self) -> dict[str, str]:
        """Query parameters; one without a value is an empty string."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @cached_property
    def id(self) -> str:
        """What answers and events name this request by."""
        return f"{next(_request_ids):016X}"


Handler = Callable[[Request], Awaitable[Response]]


class HttpConnection(asyncio.Protocol):
    """One client connection."""

    def __init__(self, handler: Handler, connections: set["HttpConnection"], access: Access) -> None:
        self._handler = handler
        self._access = access
        self._connections = connections
        self._buffer = bytearray()
        self._head: Head | None = None
        self._task: asyncio.Task[None] | None = None
        self._served = 0
        self._transport: asyncio.Transport | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()

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

    def pause_writing(self) -> None:
        """The client reads slower than we write."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._may_write.set()

    @property
    def incomplete(self) -> tuple[int, int] | None:
        """Which request has begun to come, and how much there is of its body (-1: no head yet); None without one."""
        if self._task is not None or not (self._buffer or self._head):
            return None
        if self._head is None:
            return self._served, -1
        return self._served, len(self._buffer) + (self._head.chunked.received if self._head.chunked else 0)

    def give_up(self, reason: str) -> None:
        """Refuse a request that does not come, and close."""
        self._write(Response(408, reason.encode(), {"connection": "close"}))
        self.close()

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
            whole = self._take()
        except BadRequestError as error:
            self._write(Response(error.status, str(error).encode(), {"connection": "close"}))
            self.close()
            return
        if whole is not None:
            self._served += 1
            self._task = asyncio.get_running_loop().create_task(self._serve(*whole))

    def _take(self) -> tuple[Head, Request] | None:
        """The next whole request of the buffer, or None."""
        if self._head is None:
            self._head = self._take_head()
        if self._head is None:
            return None
        head = self._head
        body = self._take_bytes(head.length) if head.chunked is None else head.chunked.take(self._buffer)
        if body is None:
            return None
        self._head = None
        return head, Request(head.method, head.target, head.headers, body)

    def _take_head(self) -> Head | None:
        end = self._buffer.find(HEAD_END)
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise BadRequestError(431, "request head too large")
            return None
        head = read_head(self._buffer[:end].decode("latin-1"))
        del self._buffer[: end + len(HEAD_END)]
        # Without the interim answer curl and boto3 hold a body back for a second.
        if "expect" in head.headers and head.version == "HTTP/1.1" and self._transport:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return head

    def _take_bytes(self, length: int) -> bytes | None:
        if len(self._buffer) < length:
            return None
        body = bytes(memoryview(self._buffer)[:length])
        del self._buffer[:length]
        return body

    async def _serve(self, head: Head, request: Request) -> None:
        refusal = self._access.refusal(request.headers, request.target)
        try:
            response = await self._handler(request) if refusal is None else Response(403, refusal.encode())
        except Exception:
            # The last line of defence of a server: told in full on stderr, answered as what it is.
            _log.exception("%s %s", request.method, request.target)
            response = Response(500, b"internal error; see the server's messages")
        if response.sent_bytes is not None:
            self._break_off(response, response.sent_bytes)
            return
        keeps = head.keeps_connection
        if not keeps or head.version == "HTTP/1.0":
            response.headers = {**response.headers, "connection": "keep-alive" if keeps else "close"}
        whole = await self._send(response, head_only=request.method == "HEAD")
        self._task = None
        if not keeps or not whole:
            self.close()
        elif self._buffer:
            self._advance()

    async def _send(self, response: Response, *, head_only: bool) -> bool:
        """Write an answer, a large body in slices, so that no copy of it holds the loop; False: it was broken off."""
        body = response.body
        if head_only or len(body) <= SLICE_BYTES:
            self._write(response, head_only=head_only)
        else:
            self._write(response, head_only=True)
            await self._write_slices(body)
        if response.rest is None or head_only:
            return True
        try:
            async for piece in response.rest:
                await self._write_slices(piece)
        except BrokenOffError as error:
            _log.error("%s", error)
            return False
        return True

    async def _write_slices(self, body: bytes | memoryview) -> None:
        view = memoryview(body)
        for start in range(0, len(body), SLICE_BYTES):
            await self._may_write.wait()
            if self._transport:
                self._transport.write(view[start : start + SLICE_BYTES])

    def _break_off(self, response: Response, sent_bytes: int) -> None:
        if sent_bytes >= 0:
            self._write(response, head_only=True)
            if self._transport:
                self._transport.write(response.body[:sent_bytes])
        self.close()

    def _write(self, response: Response, *, head_only: bool = False) -> None:
        lines = [f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Unknown')}", f"date: {http_date()}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        lines += [f"set-cookie: {cookie}" for cookie in response.cookies]
        if "content-length" not in response.headers and response.status not in BODILESS:
            lines.append(f"content-length: {len(response.body)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        if self._transport:
            self._transport.write(head if head_only else head + response.body)


def http_date() -> str:
    """The time as HTTP writes it; made once a second."""
    return _date_of(int(time.time()))


@lru_cache(maxsize=1)
def _date_of(moment_s: int) -> str:
    return formatdate(moment_s, usegmt=True)


async def serve_http(handler: Handler, port: int, access: Access = LOCAL) -> tuple[asyncio.Server, set[HttpConnection]]:
    """Listen where `access` says, 127.0.0.1 else; returns the server and the set of its live connections."""
    connections: set[HttpConnection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: HttpConnection(handler, connections, access), access.addresses, port)
    return server, connections
