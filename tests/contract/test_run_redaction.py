"""AWS's words reach results by way of the transports; the account and the names in them do not."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import json
from pathlib import Path
import threading
import time
from typing import Any, Final

import pytest

from serverless_mlperf.errors import RunError
from serverless_mlperf.mlperf.launch import run_process
from serverless_mlperf.mlperf.spec import RunSpec
from serverless_mlperf.platforms.base import Target
from serverless_mlperf.tries import UNFINISHED, mark_unfinished

ACCOUNT: Final = "210987654321"
ROLE: Final = f"arn:aws:sts::{ACCOUNT}:assumed-role/deployers/jane.doe"
DENIED: Final = (
    f"User: {ROLE} is not authorized to perform: lambda:InvokeFunction on resource: "
    f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f because no identity-based policy allows it; account {ACCOUNT}"
)
WARM: Final = 8
"""Requests that are answered, where a refusal comes in the measured window: a warm-up has fewer."""


class Service(ThreadingHTTPServer):
    """Lambda and S3 that refuse, from some request on."""

    daemon_threads = True

    def __init__(self, answered: int, failing: Mapping[str, str] | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answered = answered
        self.failing = failing
        """The body of a function's error, in place of a refusal."""
        self.requests = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Service

    def do_POST(self) -> None:
        """Invoke a function, or receive no message."""
        self.rfile.read(int(self.headers["content-length"] or 0))
        if "/functions/" not in self.path:
            return self._answer(200, b"{}")
        self.server.requests += 1
        if self.server.requests <= self.server.answered:
            dry = self.headers["x-amz-invocation-type"] == "DryRun"
            return self._answer(204, b"") if dry else self._answer(200, json.dumps(_result()).encode())
        if self.server.failing is not None:
            return self._answer(200, json.dumps(self.server.failing).encode(), {"X-Amz-Function-Error": "Unhandled"})
        return self._answer(403, json.dumps({"Message": DENIED}).encode(), {"x-amzn-ErrorType": "AccessDenied"})

    def do_PUT(self) -> None:
        """Refuse an object."""
        self.rfile.read(int(self.headers["content-length"] or 0))
        self._answer(403, f"<Error><Code>AccessDenied</Code><Message>{DENIED}</Message></Error>".encode())

    def do_HEAD(self) -> None:
        """Know no object."""
        self._answer(404, b"")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _result() -> dict[str, Any]:
    now_ns = time.time_ns()
    sut = {
        "environment_id": "e", "request_id": "r", "cold": False, "invocation": 9, "start_ns": now_ns - 5_000_000,
        "finish_ns": now_ns, "phases_ns": {"forward": 1_000}, "cpu_ns": {"forward": 1_000},
    }  # fmt: skip
    perf = [{"load_model": 2.0, "image_operations": 0.0, "forward": 4.0}]
    return {"ImageFilenames": ["0"], "inf_perf": perf, "result": [[1, 1.0]], "sut": sut}


def spec(url: str, output: Path, transport: str) -> RunSpec:
    """A few queries to one environment."""
    target = Target("p", "eu-west-1", url, url, url, "b", "f", "input/c/", "output/c/", "completed/c/", f"{url}/q", 1)
    options = {"payload": "s3ref"} if transport == "invoke" else {}
    return RunSpec(
        run="r", target=target, samples=("a",), task="classification", loadgen_model="mobilenet", output=output,
        timeout_s=5, query_count=20, scenario="SingleStream", performance_sample_count=1,
        transport=transport, transport_options=options,
    )  # fmt: skip


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """It is gone after the test."""
    made = Service(*request.param)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


FAILURE: Final = {"errorType": "ClientError", "errorMessage": f"An error occurred (AccessDenied): {DENIED}"}


@pytest.mark.parametrize(
    ("service", "transport", "told"),
    [
        ((0, None), "invoke", "driver.json"),
        ((WARM, None), "invoke", "queries.jsonl"),
        ((WARM, FAILURE), "invoke", "queries.jsonl"),
        ((0, None), "s3", "driver.json"),
    ],
    indirect=["service"],
    ids=["refused at once", "refused later", "a function's error", "refused object"],
)
def test_refusal_names_nobody_in_the_results(service: Service, transport: str, told: str, tmp_path: Path) -> None:
    """Why is told, in the run's own file and as the reason of a run that is not finished; whom it concerns is not."""
    with suppress(RunError):
        run_process(spec(service.url, tmp_path, transport), lambda _: None)
    mark_unfinished(tmp_path, DENIED)
    for name in (told, UNFINISHED):
        assert "User: <arn:sts>" in (tmp_path / name).read_text()
    texts = {path: path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()}
    assert [path for path, each in texts.items() if ACCOUNT in each or "jane.doe" in each or "arn:aws" in each] == []
