"""A server whose every failure is remembered, in a thread of its own, and the bytes that are thrown at it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
import json
import logging
from pathlib import Path
import random
import select
import socket
import threading
from typing import Any, Final

from serverless_mlperf.platforms.local.executor_protocol import Resolve, Send
from serverless_mlperf.platforms.local.journal.base import Entry
from serverless_mlperf.platforms.local.model import FunctionSpec, Invocation
from serverless_mlperf.platforms.local.scaled_clock import checked_speed

PATIENCE_S: Final = 20
"""Within this time every connection must have been answered or closed."""
ANSWER_S: Final = 0.005
"""As long as an answer to a case is waited for before the client says that nothing more will come."""

LAUGHS: Final = (
    '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><Delete><Object><Key>&i;</Key></Object></Delete>"
)
"""Ten to the eighth times `ha`."""
OUTSIDE: Final = '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><Tagging><TagSet>&x;</TagSet></Tagging>'
DOCUMENTS: Final = (
    LAUGHS.encode(),
    LAUGHS.encode("utf-16"),
    OUTSIDE.encode(),
    OUTSIDE.encode("utf-16-be"),
    b"<Delete>" * 20_000,
    b"<a>" * 50_000 + b"</a>" * 50_000,
    b'<?xml version="1.0" encoding="no-such"?><Tagging/>',
    b'<?xml version="1.0" encoding="shift_jis"?><Tagging/>',
    b"<Delete><Object><Key>k</Key></Object></Delete>",
    b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
    b"<NotificationConfiguration><QueueConfiguration><Id>i</Id><Queue>arn:aws:sqs:us-east-1:000000000000:q</Queue>"
    b"<Event>s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>",
)
"""For S3: bombs, files of the host, depth, and what is asked for."""
VALUES: Final = (
    b"{}", b"[" * 100_000, b'{"a":' * 50_000, b"9" * 5_000, b'{"MemorySize": 1e999}', b'{"Timeout": NaN}',
    b'{"Description": "\\ud800"}', b'{"QueueName": "\\udfff"}', b'{"FunctionName": "../../x"}', b"\xff\xfe", b"null",
    b'{"QueueUrl": "http://127.0.0.1/000000000000/q", "MessageBody": "\\ud800"}',
    b'{"QueueUrl": "http://127.0.0.1/000000000000/q", "MaxNumberOfMessages": 10, "WaitTimeSeconds": 0}',
)  # fmt: skip
"""For Lambda and SQS."""
TARGETS: Final = (
    "/", "/bucket", "/bucket/k", "/bucket/new%20key", "/bucket?delete", "/bucket?tagging", "/bucket?notification",
    "/bucket/k?uploads", "/bucket/k?uploadId=x", "/bucket/k?tagging", "/bucket?list-type=2&prefix=k&max-keys=1",
    "/bucket/..%2f..%2f..%2fetc%2fpasswd", "/../../etc/passwd", "/%00/%ff", "//", "/bucket/%F0%9F%92%A5",
    "/2015-03-31/functions", "/2015-03-31/functions/f", "/2015-03-31/functions/f/invocations",
    "/2015-03-31/functions/f/configuration", "/2017-10-31/functions/f/concurrency", "/2018-10-31/layers/l/versions",
    "/2019-09-25/functions/f/event-invoke-config", "/2015-03-31/functions/f/versions",
    "/2015-03-31/functions/f/aliases", "/2015-03-31/functions/..%2f..%2fx", "/2016-08-19/account-settings",
    "/_platform/status", "/_platform/reports?function=f", "/_platform/usage?since_ns=x", "/_platform/none",
)  # fmt: skip
ACTIONS: Final = ("CreateQueue", "SendMessage", "ReceiveMessage", "DeleteMessage", "SetQueueAttributes", "PurgeQueue")
HEADERS: Final = (
    "Host: 127.0.0.1", "Host: bucket.localhost", "Host: evil.example", "Host: [", "Origin: null", "Connection: close",
    "Connection: keep-alive, upgrade", "Expect: 100-continue", "Expect: x", "Range: bytes=0-0", "Range: bytes=9-1,2-3",
    "x-amz-copy-source: /bucket/k", "x-amz-copy-source: %ff", "Content-MD5: x", "x-amz-checksum-crc32: AAAAAA==",
    "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-amz-trailer: x-amz-checksum-crc32",
    "x-amz-decoded-content-length: 5", "x-amz-invocation-type: Event", "x-amz-log-type: Tail", "If-Match: *",
    "x-amz-meta-a: \u00fc", "Authorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request",
    "x-amz-tagging: a=b&a=c", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Content-Length: 1",
    "Content-Length: 99999999999999999999", "Content-Length: -1", "Content-Length: 0x10", "Upgrade: websocket",
)  # fmt: skip
NOISE: Final = (
    b"\0", b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"%", b"%zz", b"%00", b"%c0%af", b"/../", b"\xff", b"\xc3\xbc",
    b"\xed\xa0\x80", b";", b"?", b"&", b"=", b"-1", b"0", b"99999999999999999999", b"A" * 300, b"A" * 70_000,
)  # fmt: skip


class IdleExecutor:
    """Implements executor_protocol.Executor without a process: an invocation's answer is its event."""

    account_concurrency = 1000

    def __init__(self, _url: str, _work_dir: Path) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def prepare(self, spec: FunctionSpec | None = None) -> None:
        """Nothing to make ready."""

    async def invoke(
        self,
        spec: FunctionSpec,
        payload: bytes,
        *,
        log_tail: bool = False,  # noqa: ARG002
        client_context: str = "",  # noqa: ARG002
    ) -> Invocation:
        """Echo."""
        return Invocation("id", payload, None, b"log", spec.version)

    def resume(self, kept: Sequence[Entry]) -> None:
        """No earlier process."""

    def submit_event(self, spec: FunctionSpec, payload: bytes, *, from_s3: bool = False) -> str:  # noqa: ARG002
        """Take it."""
        return "id"

    async def retire(self, function_name: str, version: str | None = None) -> None:
        """Nothing runs."""

    def renew(self, spec: FunctionSpec) -> None:
        """Nothing runs."""

    def bound(self, function_name: str, environments: int) -> None:
        """Nothing runs."""

    def connect(self, send: Send, resolve: Resolve) -> None:
        """No event ends here."""

    def set_clock(self, speed: float | None = None, advance_s: float | None = None) -> dict[str, Any]:
        """What a clock refuses is refused."""
        checked_speed(speed or 0)
        return {"speed": speed, "advance_s": advance_s}

    def reports(self, function_name: str) -> list[dict[str, Any]]:  # noqa: ARG002
        """Nothing ran."""
        return []

    def means(self) -> dict[str, str]:
        """None."""
        return {}

    def status(self) -> dict[str, Any]:
        """Nothing to tell."""
        return {}

    async def close(self) -> None:
        """Nothing to end."""


class Listener(logging.Handler):
    """What a server logs, and what its event loop finds unhandled: each is a failure."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it with its traceback."""
        self.failures.append(logging.Formatter().format(record))

    def on_unhandled(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception in a callback of asyncio's."""
        self.failures.append(f"{context['message']}: {context.get('exception')!r}")


@contextmanager
def in_thread(
    serve: Callable[[Callable[[int], None], asyncio.Event], Awaitable[None]],
) -> Iterator[tuple[int, list[str]]]:
    """Run a server in a thread; its port, and the list of its failures. It says its port and serves until the event."""
    listener, ports, ended = Listener(), list[int](), asyncio.Event()
    ready, loops = threading.Event(), list[asyncio.AbstractEventLoop]()

    def tell(port: int) -> None:
        ports.append(port)
        ready.set()

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        loops[0].set_exception_handler(listener.on_unhandled)
        await serve(tell, ended)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    logger = logging.getLogger("serverless_mlperf")
    logger.addHandler(listener)
    thread.start()
    try:
        assert ready.wait(PATIENCE_S)
        yield ports[0], listener.failures
    finally:
        loops[0].call_soon_threadsafe(ended.set)
        thread.join(PATIENCE_S)
        logger.removeHandler(listener)


def throw(port: int, case: bytes, cuts: Sequence[int] = ()) -> bytes:
    """Send a case in pieces and say after a while that no more comes; what is answered until the connection ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        answer = b""
        try:
            for start, end in zip((0, *cuts), (*cuts, len(case)), strict=True):
                connection.sendall(case[start:end])
            if select.select([connection], [], [], ANSWER_S)[0]:
                answer = connection.recv(1 << 16)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(1 << 16):
                answer += piece
        except TimeoutError:
            raise
        except OSError:
            return answer  # closed with bytes of ours unread, which a refusal does
        return answer


def request(method: str, target: str, headers: Sequence[str], body: bytes) -> bytes:
    """A request as it should be."""
    length = [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([f"{method} {target} HTTP/1.1", *headers, *length, "", ""]).encode() + body


def chunked(generator: random.Random, body: bytes) -> bytes:
    """HTTP's chunks, and now and then AWS's inside, some of them damaged."""
    pieces, rest = [], body
    while rest:
        size = generator.randint(1, len(rest))
        pieces.append(b"%x%s\r\n%s\r\n" % (size, generator.choice((b"", b";chunk-signature=0")), rest[:size]))
        rest = rest[size:]
    end = generator.choice(
        (b"0\r\n\r\n", b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", b"0\r\n", b"", b"-1\r\n", b"\r\n")
    )
    return b"".join(pieces) + end


def front_case(seed: int, number: int) -> tuple[bytes, list[int]]:
    """The n-th case for the front and where it is cut; the same for the same seed."""
    generator = random.Random(f"{seed}/{number}")  # noqa: S311 - reproducible, not secret
    case = b"".join(_request(generator) for _ in range(generator.choice((1, 1, 1, 2, 3))))
    for _ in range(generator.choice((0, 1, 1, 2, 4))):
        case = _mutated(generator, case)
    cuts = sorted(generator.randint(0, len(case)) for _ in range(generator.choice((0, 0, 0, 1, 3))))
    return case, cuts


def _request(generator: random.Random) -> bytes:
    method = generator.choice(("GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "TRACE", "get", ""))
    headers = generator.sample(HEADERS, generator.choice((0, 1, 1, 2, 4)))
    target = generator.choice(TARGETS)
    body = generator.choice(
        (b"", b"x" * generator.randint(1, 3000), generator.choice(DOCUMENTS), generator.choice(VALUES))
    )
    if generator.random() < 0.2:
        headers.append(f"X-Amz-Target: AmazonSQS.{generator.choice(ACTIONS)}")
    if generator.random() < 0.2:
        wire = chunked(generator, body[:4000])
        coding = generator.choice(("Transfer-Encoding: chunked", "Content-Encoding: aws-chunked"))
        return request(method, target, [*headers, coding], b"" if "Transfer" in coding else wire) + (
            wire if "Transfer" in coding else b""
        )
    return request(method, target, headers, body)


def runtime_case(seed: int, number: int) -> tuple[bytes, list[int]]:
    """The n-th case for the Runtime API, which a hostile handler can reach."""
    generator = random.Random(f"runtime/{seed}/{number}")  # noqa: S311 - reproducible, not secret
    base = "/2018-06-01/runtime/"
    case = b""
    for _ in range(generator.choice((1, 1, 2, 4))):
        method = generator.choice(("GET", "POST", "PUT"))
        ends = (
            "invocation/next",
            "init/error",
            "invocation/id/response",
            "invocation/id/error",
            "invocation//",
            "x",
            "",
        )
        case += request(
            method, base + generator.choice(ends), [], generator.choice((b"", b"{}", b"[" * 9_999, b"\xff"))
        )
    for _ in range(generator.choice((0, 1, 2, 4))):
        case = _mutated(generator, case)
    return case, sorted(generator.randint(0, len(case)) for _ in range(generator.choice((0, 0, 1, 3))))


def _mutated(generator: random.Random, case: bytes) -> bytes:
    if not case:
        return generator.choice(NOISE)
    start = generator.randrange(min(len(case), generator.choice((40, 200, len(case)))))
    end = min(len(case), start + generator.choice((0, 1, 1, 3, 20)))
    match generator.randrange(5):
        case 0:
            return case[:start] + generator.choice(NOISE) + case[end:]
        case 1:
            return case[:start] + bytes(generator.randrange(256) for _ in range(generator.randint(1, 8))) + case[end:]
        case 2:
            return case[:start] + case[end:]
        case 3:
            return case[:start]
    return case[:end] + case[start:]


def json_text(value: Any) -> bytes:
    """JSON with whatever Python can put into it."""
    return json.dumps(value).encode()
