"""Objects that are larger than what the server reads at once, from a data folder."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
import http.client
import json
from pathlib import Path
from random import Random
import re
import subprocess
import sys

import pytest

from local_server import PLATFORM, raw

SIZE = 24 << 20
MIB = 1 << 20
READERS = 8
CONTENT = Random(7).randbytes(SIZE)  # noqa: S311 - bytes of a test
KEY = "/large/k"


class Server:
    """A server process with a data folder and one large object."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        assert process.stdout is not None
        self.url = f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        self.process, self.folder = process, folder
        assert raw(self.url, "PUT", "/large").status == 200
        self.put()

    def put(self) -> None:
        """The object, anew."""
        assert raw(self.url, "PUT", KEY, CONTENT).status == 200

    def begin(self) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """A GET whose head has come, and nothing else is read of."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=60)
        connection.request("GET", KEY)
        return connection, connection.getresponse()

    def peak_kib(self) -> int:
        """Most memory that it had since the last call of `forget_peak`."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1])  # type: ignore[index]

    def forget_peak(self) -> None:
        """Let the peak be what it has now (proc(5), clear_refs)."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Ended by the end of its standard input."""
    folder = tmp_path / "data"
    command = [sys.executable, *PLATFORM, "--data", str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield Server(process, folder)
        finally:
            if process.stdin and not process.stdin.closed:
                process.stdin.close()
            process.wait(120)


def test_memory_does_not_grow_with_the_object(server: Server) -> None:
    """Clients that read slowly cost a few MiB each; all of them get the object."""
    server.forget_peak()
    before_kib = server.peak_kib()
    with ExitStack() as stack:
        begun = [server.begin() for _ in range(READERS)]
        for connection, _ in begun:
            stack.enter_context(closing(connection))
        bodies = [bytearray() for _ in begun]
        while any(len(body) < SIZE for body in bodies):
            for body, (_, response) in zip(bodies, begun, strict=True):
                body.extend(response.read(4 * MIB))
        assert all(body == CONTENT for body in bodies)
    assert server.peak_kib() - before_kib < READERS * SIZE // 1024 // 3


@pytest.mark.parametrize("change", ["PUT", "DELETE"])
def test_an_answer_goes_on_when_its_object_changes(server: Server, change: str) -> None:
    """What is replaced or deleted while it is sent comes whole, as it was; its room is given back."""
    connection, response = server.begin()
    with closing(connection):
        assert raw(server.url, change, KEY, b"").status in {200, 204}
        assert not list((server.folder / "bodies").iterdir())
        assert response.read() == CONTENT


def test_ranges_begin_and_end_anywhere(server: Server) -> None:
    """A large range is streamed from the byte that was asked for to the last one."""
    for first, last in ((1, SIZE - 2), (MIB - 1, 9 * MIB), (3 * MIB, SIZE - 1)):
        answer = raw(server.url, "GET", KEY, headers={"range": f"bytes={first}-{last}"})
        assert (answer.status, answer.headers["content-length"]) == (206, str(last + 1 - first))
        assert answer.body == CONTENT[first : last + 1]


def test_damage_breaks_the_answer_off(server: Server) -> None:
    """Damage behind the first MiB closes the connection before the whole has come, with a line; else it is a 500."""
    (body,) = (server.folder / "bodies").iterdir()
    flip(body, 9 * MIB)
    connection, response = server.begin()
    with closing(connection), pytest.raises(http.client.IncompleteRead) as caught:
        response.read()
    assert bytes(caught.value.partial) == CONTENT[: 9 * MIB]
    assert raw(server.url, "GET", KEY, headers={"range": "bytes=0-99"}).body == CONTENT[:100]
    flip(body, 0)
    answer = raw(server.url, "GET", KEY)
    assert (answer.status, answer.code) == (500, "InternalError")
    assert server.process.stdin is not None
    assert server.process.stderr is not None
    server.process.stdin.close()
    assert server.process.stderr.read().decode().splitlines() == [
        f"{body}: damaged in the MiB at byte {9 * MIB}; put the object again",
        f"{body}: damaged in the MiB at byte 0; put the object again",
    ]


def flip(path: Path, offset: int) -> None:
    """Change one byte."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
