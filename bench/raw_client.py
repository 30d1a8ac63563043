"""Keep-alive connections that send requests signed beforehand: a client that takes next to nothing of the host."""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
import socket
import time
import zlib

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

CREDENTIALS = Credentials("test", "test")
REGION = "us-east-1"
HEAD_END = b"\r\n\r\n"


def message(port: int, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """A request as an SDK sends it over http: signature, the body's SHA-256 and, of an object, its CRC-32."""
    host = f"127.0.0.1:{port}"
    given = {"host": host, "content-length": str(len(body)), **(headers or {})}
    service = "lambda" if path.startswith("/2015-03-31/") else "s3"
    if service == "s3" and body:
        given["x-amz-checksum-crc32"] = b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    request = AWSRequest(method, f"http://{host}{path}", headers=given, data=body)
    sign = S3SigV4Auth if service == "s3" else SigV4Auth
    sign(CREDENTIALS, service, REGION).add_auth(request)
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers.items())]
    return "\r\n".join(lines).encode() + HEAD_END + body


@dataclass(frozen=True)
class Answers:
    """What one window gave."""

    latencies_ns: Sequence[int]
    took_s: float

    @property
    def per_s(self) -> float:
        """Answers in a second."""
        return len(self.latencies_ns) / self.took_s


class Connection(asyncio.Protocol):
    """One connection that sends the next request when an answer is whole; what is not 2xx ends the benchmark."""

    def __init__(self, messages: Sequence[bytes], go_on: Callable[[], bool], latencies_ns: list[int]) -> None:
        self._messages, self._go_on, self._latencies_ns = messages, go_on, latencies_ns
        self._buffer = bytearray()
        self._wanted = -1
        self._keep = True
        self._sent = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Count whole answers."""
        self._buffer += data
        if self._wanted < 0:
            self._wanted, self._keep = answer_bytes(self._buffer)
        if 0 <= self._wanted <= len(self._buffer):
            self._latencies_ns.append(time.perf_counter_ns() - self._sent_ns)
            self._buffer.clear()
            self._wanted = -1
            if self._keep and self._go_on():
                self._send()
            else:
                self._transport.close()

    def _send(self) -> None:
        self._sent_ns = time.perf_counter_ns()
        self._transport.write(self._messages[self._sent % len(self._messages)])
        self._sent += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """The window is over, or the server closes after each answer (moto's does)."""
        if exc or self._buffer:
            self.done.set_exception(exc or ConnectionError("hung up within an answer"))
        else:
            self.done.set_result(None)


def answer_bytes(buffer: bytearray) -> tuple[int, bool]:
    """How long the answer at the start of a buffer is, -1 while its head is not whole; whether to keep the connection.

    AssertionError for an answer that is no success.
    """
    end = buffer.find(HEAD_END)
    if end < 0:
        return -1, True
    head = bytes(buffer[:end]).lower()
    assert head.startswith(b"http/1.1 2"), bytes(buffer)
    at = head.find(b"\r\ncontent-length:")
    length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return end + len(HEAD_END) + length, b"connection: close" not in head


async def _worker(port: int, messages: Sequence[bytes], go_on: Callable[[], bool], latencies_ns: list[int]) -> None:
    """Requests one after the other; connects again when the server has closed."""
    loop = asyncio.get_running_loop()
    while go_on():
        _, connection = await loop.create_connection(
            lambda: Connection(messages, go_on, latencies_ns), "127.0.0.1", port
        )
        await connection.done


async def _all(port: int, messages: Sequence[Sequence[bytes]], go_on: Callable[[], bool]) -> Answers:
    latencies_ns: list[int] = []
    begun_s = time.perf_counter()
    await asyncio.gather(*(_worker(port, mine, go_on, latencies_ns) for mine in messages))
    return Answers(latencies_ns, time.perf_counter() - begun_s)


def window(port: int, messages: Sequence[Sequence[bytes]], seconds: float) -> Answers:
    """One connection for each list of messages, which it sends in turn, for so long."""
    until_s = time.perf_counter() + seconds
    return asyncio.run(_all(port, messages, lambda: time.perf_counter() < until_s))


def burst(port: int, messages: Sequence[Sequence[bytes]], requests: int) -> Answers:
    """The same for so many requests, give or take one a connection."""
    left = iter(range(requests))
    return asyncio.run(_all(port, messages, lambda: next(left, None) is not None))


class Line:
    """A blocking connection for one request at a time, from whose sending a time is measured."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send and wait for the answer; the wall clock just before the sending, and the body."""
        buffer, wanted = bytearray(), -1
        sent_ns = time.time_ns()
        self._socket.sendall(request)
        while not 0 <= wanted <= len(buffer):
            data = self._socket.recv(1 << 18)
            assert data, "hung up within an answer"
            buffer += data
            wanted, _ = answer_bytes(buffer)
        return sent_ns, bytes(buffer[buffer.find(HEAD_END) + len(HEAD_END) :])

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
