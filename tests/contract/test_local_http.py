"""The local platform's HTTP, byte by byte: versions, connections, expectations, chunks, large answers."""

from collections.abc import Iterator
from contextlib import contextmanager
import os
import socket
from typing import Any

import pytest

LARGE = os.urandom(3 << 20)


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    """A connection that waits twenty seconds for an answer."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        yield connection


def receive(connection: socket.socket, *, head_only: bool = False) -> tuple[str, dict[str, str], bytes]:
    """Status line, headers and body of the next answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(1)
        assert piece, f"closed after {data!r}"
        data += piece
    first, *lines = data.decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = b""
    while not head_only and len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    return first, headers, body


def closed(connection: socket.socket) -> bool:
    """Whether the server has closed: it waits for the end."""
    return connection.recv(1) == b""


def message(method: str, path: str, body: bytes = b"", *headers: str, version: str = "1.1") -> bytes:
    """A request."""
    lines = [f"{method} {path} HTTP/{version}", "Host: 127.0.0.1", *headers]
    lines += [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("version", "headers", "keeps"),
    [("1.1", (), True), ("1.1", ("Connection: close",), False), ("1.1", ("Connection: Upgrade, Close",), False),
     ("1.0", (), False), ("1.0", ("Connection: keep-alive",), True)],
)  # fmt: skip
def test_connection_is_kept_as_asked(
    s3_url: str, bucket: str, version: str, headers: tuple[str, ...], keeps: bool
) -> None:
    """HTTP/1.1 keeps a connection unless told to close it, HTTP/1.0 closes it unless asked to keep it."""
    with connected(s3_url) as connection:
        connection.sendall(message("GET", f"/{bucket}", b"", *headers, version=version))
        status, found, body = receive(connection)
        assert status == "HTTP/1.1 200 OK"
        assert body.endswith(b"</ListBucketResult>")
        if keeps:
            connection.sendall(message("HEAD", f"/{bucket}", b"", *headers, version=version))
            assert receive(connection, head_only=True)[0] == "HTTP/1.1 200 OK"
        else:
            assert found["connection"] == "close"
            assert closed(connection)


def test_body_waits_for_its_permission(s3_url: str, s3: Any, bucket: str) -> None:
    """With `Expect: 100-continue` the server asks for the body, and answers when it has it."""
    with connected(s3_url) as connection:
        whole = message("PUT", f"/{bucket}/k", b"12345", "Expect: 100-continue")
        connection.sendall(whole[:-5])
        assert receive(connection)[0] == "HTTP/1.1 100 Continue"
        connection.sendall(whole[-5:])
        assert receive(connection)[0] == "HTTP/1.1 200 OK"
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == 5


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / FTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nname : value\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\na: b\r\n folded\r\n\r\n", 400),
        (b"PUT /b/k HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
        (b"PUT /b/k HTTP/1.1\r\nContent-Length: +1\r\n\r\nx", 400),
        (b"PUT /b/k HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"PUT /b/k HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"PUT /b/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"PUT /b/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
        (b"PUT /b/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n", 400),
        (b"PUT /b/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", 413),
        (b"PUT /b/k HTTP/1.1\r\nContent-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n", 413),
        (b"PUT /b/k HTTP/1.1\r\nExpect: miracles\r\n\r\n", 417),
        (b"GET /" + b"x" * 65_532, 431),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(s3_url: str, request_: bytes, status: int) -> None:
    """Damaged and ambiguous requests are refused, and the connection is closed behind them."""
    with connected(s3_url) as connection:
        connection.sendall(request_)
        first, headers, _ = receive(connection)
        assert first.startswith(f"HTTP/1.1 {status} ")
        assert headers["connection"] == "close"
        assert closed(connection)


def test_chunked_body_with_trailers_is_read(s3_url: str, s3: Any, bucket: str) -> None:
    """HTTP's own chunks come in any pieces, with extensions and trailers; the connection goes on."""
    head = message("PUT", f"/{bucket}/k", b"", "Transfer-Encoding: chunked")
    body = b"3;name=value\r\nabc\r\n" + b"%x\r\n%s\r\n" % (len(LARGE), LARGE) + b"0\r\nTrailer: x\r\n\r\n"
    with connected(s3_url) as connection:
        for piece in (head, body[:1], body[1:20], body[20:100_000], body[100_000:-3], body[-3:]):
            connection.sendall(piece)
        assert receive(connection)[0] == "HTTP/1.1 200 OK"
        connection.sendall(message("GET", f"/{bucket}/k"))
        assert receive(connection)[2] == b"abc" + LARGE
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == 3 + len(LARGE)


def test_requests_may_be_sent_ahead(s3_url: str, bucket: str) -> None:
    """Requests that come together are answered in their order."""
    with connected(s3_url) as connection:
        connection.sendall(message("PUT", f"/{bucket}/a", b"1") + message("GET", f"/{bucket}/a") + b"GET /")
        assert receive(connection)[0] == "HTTP/1.1 200 OK"
        assert receive(connection)[2] == b"1"
        connection.sendall(message("GET", f"/{bucket}/absent")[len(b"GET /") :])
        assert receive(connection)[0] == "HTTP/1.1 404 Not Found"


def test_slow_reader_gets_a_large_answer(s3_url: str, s3: Any, bucket: str) -> None:
    """A large answer is sent as its reader takes it, while others are served."""
    s3.put_object(Bucket=bucket, Key="k", Body=LARGE)
    with connected(s3_url) as connection:
        connection.sendall(message("GET", f"/{bucket}/k"))
        first = connection.recv(1)
        assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == len(LARGE)
        assert first == b"H"
        rest = b""
        while len(rest) < len(LARGE):
            rest += connection.recv(65536)
        assert rest.endswith(LARGE[-100_000:])


def test_reader_that_leaves_does_no_harm(s3_url: str, s3: Any, bucket: str) -> None:
    """A client that goes away in the middle of an answer leaves the server as it was."""
    s3.put_object(Bucket=bucket, Key="k", Body=LARGE)
    for _ in range(3):
        with connected(s3_url) as connection:
            connection.sendall(message("GET", f"/{bucket}/k"))
            assert connection.recv(1) == b"H"
    with s3.get_object(Bucket=bucket, Key="k")["Body"] as body:
        assert body.read() == LARGE


def test_path_may_be_absolute_or_raw(s3_url: str, s3: Any, bucket: str) -> None:
    """A proxy's absolute target and UTF-8 that is not percent-coded name the same objects."""
    s3.put_object(Bucket=bucket, Key="ü", Body=b"1")
    with connected(s3_url) as connection:
        for path in (f"http://127.0.0.1/{bucket}/%C3%BC", f"/{bucket}/ü"):
            connection.sendall(message("GET", path))
            assert receive(connection)[2] == b"1"


def test_answers_carry_a_date(s3_url: str, bucket: str) -> None:
    """Clients correct their clocks by it; a bodiless answer has no content-length."""
    with connected(s3_url) as connection:
        connection.sendall(message("DELETE", f"/{bucket}/k"))
        status, headers, _ = receive(connection, head_only=True)
        assert status == "HTTP/1.1 204 No Content"
        assert headers["date"].endswith(" GMT")
        assert "content-length" not in headers
