"""Bytes of any kind at the front and at the Runtime API: each connection is answered or closed, nothing fails inside.

A few hundred cases of each kind; SERVERLESS_MLPERF_FUZZ_CASES says how many (`make fuzz`: 100,000).
"""

import asyncio
from collections.abc import Callable, Iterator
import os
from pathlib import Path
import socket
from typing import Any
from urllib.parse import quote

from fuzzed_documents import ACTIONS, ATTRIBUTES, CALLS, FIELDS, QUEUE, entries, texts, values
from fuzzed_front import DOCUMENTS, IdleExecutor, front_case, in_thread, json_text, request, runtime_case, throw
from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from local_server import raw
from serverless_mlperf.platforms.local.gateway.http import Request, Response, serve_http
from serverless_mlperf.platforms.local.gateway.server import LocalServer
from serverless_mlperf.platforms.local.gateway.stale import give_up_stale
from serverless_mlperf.platforms.local.runtime_api import NextInvocation, RuntimeApi

CASES = int(os.environ.get("SERVERLESS_MLPERF_FUZZ_CASES", "300"))
SEED = int(os.environ.get("SERVERLESS_MLPERF_FUZZ_SEED", "1"))
fuzzed = settings(
    max_examples=max(100, settings().max_examples) if os.environ.get("HYPOTHESIS_PROFILE") else 60, deadline=None
)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server's working folder, alone in a folder."""
    folder = tmp_path_factory.mktemp("fuzz") / "work"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def front(work: Path) -> Iterator[tuple[int, list[str]]]:
    """A server with a bucket, an object, a queue and a function: its port and its failures."""

    async def serve(tell: Callable[[int], None], ended: asyncio.Event) -> None:
        async with LocalServer(0, work, IdleExecutor) as server:
            tell(server.port)
            await ended.wait()

    with in_thread(serve) as (port, failures):
        url = f"http://127.0.0.1:{port}"
        raw(url, "PUT", "/bucket")
        raw(url, "PUT", "/bucket/k", b"content")
        raw(url, "POST", "/", b'{"QueueName": "q"}', {"X-Amz-Target": "AmazonSQS.CreateQueue"})
        yield port, failures
        # What it serves is as it was, and it has written nowhere else.
        assert raw(url, "GET", "/_platform/status").status == 200
        assert [path.name for path in work.parent.iterdir()] == ["work"]
    assert failures == []


def test_every_connection_is_answered_or_closed(front: tuple[int, list[str]]) -> None:
    """No bytes make the server fail, hang or answer with something else than HTTP."""
    port, failures = front
    for number in range(CASES):
        case, cuts = front_case(SEED, number)
        answer = throw(port, case, cuts)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 "), f"case {number}: {case[:300]!r} -> {answer[:100]!r}"
        assert not failures, f"case {number}: {case[:300]!r}: {failures[-1]}"


class Spoken:
    """Implements runtime_api.Runtime: takes everything."""

    def __init__(self) -> None:
        self.api: RuntimeApi = RuntimeApi(self)

    def on_next(self) -> bool:
        """Answer at once, every other time."""
        if self.api.waiting is not None and id(self.api.waiting) % 2:
            self.api.give(NextInvocation("id", b"{}", 0, "arn", "trace"))
        return True

    def on_response(self, request_id: str, body: bytes, error_type: str | None, too_large: bool) -> bool:  # noqa: ARG002
        """Only one is under way."""
        return request_id == "id"

    def on_init_error(self, body: bytes) -> None:
        """Take it."""


def test_runtime_api_stands_a_hostile_handler() -> None:
    """No bytes of a handler's make its Runtime API fail or hang."""

    async def serve(tell: Callable[[int], None], ended: asyncio.Event) -> None:
        spoken = Spoken()
        tell(await spoken.api.open())
        await ended.wait()
        await spoken.api.close()

    with in_thread(serve) as (port, failures):
        for number in range(CASES):
            case, cuts = runtime_case(SEED, number)
            throw(port, case, cuts)
            assert not failures, f"case {number}: {case[:300]!r}: {failures[-1]}"


def answered(front: tuple[int, list[str]], method: str, target: str, headers: list[str], body: bytes) -> None:
    """A request of this form has an answer that is no failure."""
    port, failures = front
    answer = throw(port, request(method, target, headers, body))
    assert answer.startswith(b"HTTP/1.1 "), answer
    assert int(answer[9:12]) < 500 or int(answer[9:12]) == 501, answer[:300]
    assert not failures, failures[-1]


@fuzzed
@given(
    st.sampled_from(CALLS),
    st.tuples(texts, texts),
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=6) | values,
    st.dictionaries(st.sampled_from(["Qualifier", "Marker", "MaxItems", "FunctionVersion"]), texts, max_size=2),
)
def test_lambda_answers_any_document(
    front: tuple[int, list[str]], call: tuple[str, str], names: tuple[str, str], document: Any, query: dict[str, str]
) -> None:
    """Fields of any type and value are refused or taken, never a 500."""
    path = call[1].format(*(quote(name, safe="", errors="replace") for name in names))
    words = "&".join(f"{name}={quote(value, errors='replace')}" for name, value in query.items())
    answered(front, call[0], f"{path}?{words}" if words else path, [], json_text(document))


@fuzzed
@given(
    st.sampled_from(ACTIONS),
    st.dictionaries(st.sampled_from(ATTRIBUTES), values, max_size=5)
    | st.fixed_dictionaries({"QueueUrl": st.just(QUEUE)}, optional=dict.fromkeys(ATTRIBUTES[:-1], values))
    | st.fixed_dictionaries({"QueueUrl": st.just(QUEUE), "Entries": st.lists(entries, max_size=3)})
    | values,
)  # fmt: skip
def test_sqs_answers_any_document(front: tuple[int, list[str]], action: str, document: Any) -> None:
    """Parameters of any type and value are refused or taken, never a 500; a queue that is gone is made again."""
    headers = [f"X-Amz-Target: AmazonSQS.{action}"]
    answered(front, "POST", "/", headers, json_text(document))
    answered(front, "POST", "/", ["X-Amz-Target: AmazonSQS.CreateQueue"], b'{"QueueName": "q"}')


@fuzzed
@given(
    st.sampled_from(["status", "usage", "reports", "prepare", "faults"]),
    st.sampled_from(["GET", "PUT", "POST"]),
    texts,
    st.dictionaries(st.sampled_from(["seed", "function", "prefix", "event_delay_s", "rates"]), values) | values,
)
def test_platform_pages_answer_anything(
    front: tuple[int, list[str]], page: str, method: str, word: str, document: Any
) -> None:
    """The platform's own pages refuse or take, never fail."""
    query = quote(word, errors="replace")
    answered(
        front, method, f"/_platform/{page}?function={query}&kind={query}&since_ns={query}", [], json_text(document)
    )


@pytest.mark.parametrize("target", ["/bucket?delete", "/bucket?tagging", "/bucket?notification", "/bucket?lifecycle"])
def test_documents_that_grow_are_refused(front: tuple[int, list[str]], target: str) -> None:
    """Entities in any encoding, depth, length, encodings that are none: refused at once."""
    for document in DOCUMENTS[:8]:
        answer = raw(f"http://127.0.0.1:{front[0]}", "POST" if "delete" in target else "PUT", target, document)
        assert answer.status in {400, 501}, (document[:60], answer)


@pytest.mark.parametrize(
    "begun",
    [b"GET / HTT", b"PUT /b/k HTTP/1.1\r\nContent-Length: 5\r\n\r\nab",
     b"PUT /b/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"],
)  # fmt: skip
def test_request_that_never_comes_is_given_up(begun: bytes) -> None:
    """What begins and does not go on is refused with 408 and closed; a connection at rest is kept."""

    async def serve(tell: Callable[[int], None], ended: asyncio.Event) -> None:
        async def answer(_: Request) -> Response:
            return Response(204)

        listener, connections = await serve_http(answer, 0)
        sweeping = asyncio.ensure_future(give_up_stale(connections, 0.1))
        tell(listener.sockets[0].getsockname()[1])
        await ended.wait()
        sweeping.cancel()
        for connection in list(connections):
            connection.close()
        listener.close()

    with (
        in_thread(serve) as (port, _),
        socket.create_connection(("127.0.0.1", port), timeout=20) as resting,
        socket.create_connection(("127.0.0.1", port), timeout=20) as stale,
    ):
        for connection in (resting, stale):
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 204")
        stale.sendall(begun)
        assert stale.recv(1000).startswith(b"HTTP/1.1 408 Request Timeout")
        assert stale.recv(1000) == b""
        resting.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert resting.recv(1000).startswith(b"HTTP/1.1 204")
