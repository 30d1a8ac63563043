"""PUT and GET through the local platform's server process, beside moto in the same run.

Prints the medians of interleaved rounds: rates, their ratio, the server's CPU time per request and how late its event
loop was under that load.
Client and servers share the host's cores: the rates are those of the whole, not of a server alone.

Run: python bench/s3_front.py [rounds]
"""

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
import hashlib
import http.client
import json
from pathlib import Path
from statistics import median
import subprocess
import sys
import time
import zlib

ROUNDS = 5
WINDOW_S = 0.6
CONCURRENCY = (1, 4, 16)
KEYS = 8
SIZES = {"1 KB": 1_000, "100 KB": 100_000}
TARGET_PER_S = {"1 KB": 2_500, "100 KB": 1_500}
TARGET_RATIO = 5
PLATFORM = ("-m", "serverless_mlperf.platforms.local.service", "--parent-stdin")
MOTO = (str(Path(__file__).parents[1] / "tools" / "moto_server.py"),)


@dataclass(frozen=True)
class Load:
    """One kind of load."""

    method: str
    size: str
    connections: int

    def __str__(self) -> str:
        return f"{self.method} {self.size} x{self.connections}"


@contextmanager
def server(command: tuple[str, ...]) -> Iterator[int]:
    """A server process; its port."""
    process = subprocess.Popen([sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(json.loads(process.stdout.readline())["port"])
    finally:
        process.stdin.close()
        process.wait(120)
        process.stdout.close()


def requests(port: int, load: Load, connection: int) -> list[bytes]:
    """Requests with the headers of an SDK: they cost what a client's cost, checks included.

    Each connection has keys of its own: moto answers 500 when two replace one object at once.
    """
    body = bytes(range(256)) * (SIZES[load.size] // 256 + 1)
    body = body[: SIZES[load.size]] if load.method == "PUT" else b""
    headers = [
        f"Host: 127.0.0.1:{port}",
        "User-Agent: bench",
        "X-Amz-Date: 20260101T000000Z",
        "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, "
        f"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={'0' * 64}",
        f"X-Amz-Content-SHA256: {hashlib.sha256(body).hexdigest()}",
        f"Content-Length: {len(body)}",
    ]
    if body:
        crc32 = b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
        headers += ["Content-Type: application/json", f"x-amz-checksum-crc32: {crc32}"]
    name = load.size.replace(" ", "-").lower()
    tail = "\r\n".join(headers).encode() + b"\r\n\r\n" + body
    return [f"{load.method} /bench/{name}/{connection}/{n} HTTP/1.1\r\n".encode() + tail for n in range(KEYS)]


class Client(asyncio.Protocol):
    """One keep-alive connection that sends the next request when an answer is whole."""

    def __init__(self, messages: list[bytes], until_s: float) -> None:
        self._messages = messages
        self._until_s = until_s
        self._buffer = bytearray()
        self._wanted = -1
        self._keep = True
        self.answers = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._messages[0])

    def data_received(self, data: bytes) -> None:
        """Count whole answers."""
        self._buffer += data
        if self._wanted < 0 and (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            assert head.startswith(b"http/1.1 200"), bytes(head)
            at = head.find(b"\r\ncontent-length:")
            length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            self._wanted = end + 4 + length
            self._keep = b"connection: close" not in head
        if 0 <= self._wanted <= len(self._buffer):
            self._next()

    def _next(self) -> None:
        self._buffer.clear()
        self._wanted = -1
        self.answers += 1
        if self._keep and time.perf_counter() < self._until_s:
            self._transport.write(self._messages[self.answers % KEYS])
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The window is over, or the server closes after each answer (moto's does)."""
        if exc or self._buffer:
            self.done.set_exception(exc or ConnectionError("hung up within an answer"))
        else:
            self.done.set_result(None)


async def worker(port: int, messages: list[bytes], until_s: float) -> int:
    """Answers to one client until then; it connects again when the server has closed."""
    answers = 0
    while time.perf_counter() < until_s:
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: Client(messages, until_s), "127.0.0.1", port)
        await client.done
        answers += client.answers
    return answers


async def answers_in_window(port: int, load: Load) -> tuple[int, float]:
    """Answers of one window, and how long it was."""
    messages = [requests(port, load, connection) for connection in range(load.connections)]
    begun_s = time.perf_counter()
    counts = await asyncio.gather(*(worker(port, mine, begun_s + WINDOW_S) for mine in messages))
    return sum(counts), time.perf_counter() - begun_s


def ask(port: int, method: str, path: str) -> bytes:
    """One request outside the windows."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request(method, path)
    body = connection.getresponse().read()
    connection.close()
    return body


@dataclass
class Figures:
    """What the windows of one load gave, a value a window."""

    platform_per_s: list[float] = field(default_factory=list)
    moto_per_s: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    """CPU time of the platform's process per request."""
    lag_p99_ms: list[float] = field(default_factory=list)
    """How late the platform's event loop was."""

    def measure_platform(self, port: int, load: Load) -> None:
        """One window on the platform."""
        since_ns = time.time_ns()
        answers, took_s = asyncio.run(answers_in_window(port, load))
        usage = json.loads(ask(port, "GET", f"/_platform/usage?since_ns={since_ns}&until_ns={time.time_ns()}"))
        self.platform_per_s.append(answers / took_s)
        self.cpu_us.append(usage["cpu_ns"] / 1e3 / answers)
        self.lag_p99_ms.append(usage["loop_lag_p99_ns"] / 1e6)

    def measure_moto(self, port: int, load: Load) -> None:
        """One window on moto."""
        answers, took_s = asyncio.run(answers_in_window(port, load))
        self.moto_per_s.append(answers / took_s)

    def line(self, load: Load) -> str:
        """Medians; a target that was missed says so."""
        ours, theirs = median(self.platform_per_s), median(self.moto_per_s)
        missed = ours < TARGET_PER_S[load.size] or ours / theirs < TARGET_RATIO
        return (
            f"{load!s:14s} {ours:10.0f} {theirs:7.0f} {ours / theirs:6.1f} {median(self.cpu_us):9.0f} us"
            f" {median(self.lag_p99_ms):9.2f} ms"
            + (f"   below {TARGET_PER_S[load.size]}/s or ratio {TARGET_RATIO}" if missed else "")
        )


def main() -> None:
    """Run all rounds and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    figures = {Load(m, size, n): Figures() for size in SIZES for m in ("PUT", "GET") for n in CONCURRENCY}
    with server(PLATFORM) as platform, server(MOTO) as moto:
        for port in (platform, moto):
            ask(port, "PUT", "/bench")
        for _ in range(rounds):
            for load, found in figures.items():
                found.measure_platform(platform, load)
                found.measure_moto(moto, load)
    print(f"{'load':14s} {'platform/s':>10s} {'moto/s':>7s} {'ratio':>6s} {'CPU each':>12s} {'loop lag p99':>12s}")
    for load, found in figures.items():
        print(found.line(load))


if __name__ == "__main__":
    main()
