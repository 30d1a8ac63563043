"""Credentials on their way to a run: where they are not, and that renewed ones sign the requests from then on."""

from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import json
import os
from pathlib import Path
import threading
import time
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
import pytest

from serverless_mlperf.mlperf.launch import Renewal, run_process
from serverless_mlperf.mlperf.spec import RunSpec
from serverless_mlperf.platforms.base import Credentials, Target

FIRST = Credentials("ASIAFIRST", "first-hush", "first-token")
SECOND = Credentials("ASIASECOND", "second-hush", "second-token")
SECRETS = (FIRST.secret_access_key, "first-token", SECOND.secret_access_key, "second-token", "outer-hush")
FUNCTION = "f:live"
SERVICE_S = 0.005
AFTER = 12
"""Requests, after which there are newer credentials."""


class Service(ThreadingHTTPServer):
    """Lambda for one function; keeps who signed each request, and whether the signature is botocore's."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.signers: list[str] = []
        self.wrong: list[str] = []
        self.busy = threading.Event()
        """Never set: an invocation takes its time."""
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def check(self, path: str, headers: Mapping[str, str], body: bytes) -> None:
        """Sign what came as botocore does, with the secret of the key that it names."""
        said = headers["authorization"]
        key = said.partition("Credential=")[2].partition("/")[0]
        mine = next(each for each in (FIRST, SECOND) if each.access_key_id == key)
        names = said.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        request = AWSRequest("POST", f"{self.url}{path}", {name: headers[name] for name in names}, body)
        request.context["timestamp"] = headers["x-amz-date"]
        boto = BotoCredentials(mine.access_key_id, mine.secret_access_key, mine.session_token)
        auth = SigV4Auth(boto, "lambda", "eu-west-1")
        expected = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
        self.signers.append(key)
        if not said.endswith(f"Signature={expected}") or headers["x-amz-security-token"] != mine.session_token:
            self.wrong.append(said)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Service

    def do_POST(self) -> None:
        """Answer an invocation as a function of one environment does."""
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        self.server.check(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        dry = self.headers["x-amz-invocation-type"] == "DryRun"
        if not dry:
            self.server.busy.wait(SERVICE_S)
        answer = b"" if dry else json.dumps(_result(len(self.server.signers))).encode()
        self.send_response(204 if dry else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


def _result(number: int) -> dict[str, Any]:
    now_ns = time.time_ns()
    sut = {
        "environment_id": "e", "request_id": f"r{number}", "cold": number == 1, "invocation": number,
        "start_ns": now_ns - round(SERVICE_S * 1e9), "finish_ns": now_ns, "phases_ns": {"forward": 4_000_000},
        "cpu_ns": {"forward": 4_000_000},
        "init": {"phases_ns": {}, "cpu_ns": {}},
    }  # fmt: skip
    perf = [{"load_model": 2.0, "image_operations": 0.0, "forward": 4.0}]
    return {"ImageFilenames": ["0"], "inf_perf": perf, "result": [[1, 1.0]], "sut": sut}


@pytest.fixture
def service() -> Iterator[Service]:
    """It is gone after the test."""
    made = Service()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def spec(url: str, output: Path) -> RunSpec:
    """A run that lasts for some progress events."""
    queue = f"{url}/q"
    target = Target("p", "eu-west-1", url, url, url, "b", FUNCTION, "input/c/", "output/c/", "completed/c/", queue, 1)
    return RunSpec(
        run="r", target=target, samples=("a",), task="classification", loadgen_model="mobilenet", output=output,
        timeout_s=30, query_count=150, scenario="SingleStream", performance_sample_count=1,
        transport="invoke", transport_options={"payload": "s3ref"}, credentials=FIRST,
    )  # fmt: skip


def _child_texts() -> list[bytes]:
    """Command line and environment of the run's process, as everybody with the same user sees them."""
    folders = [path for path in Path("/proc").iterdir() if path.name.isdecimal()]
    children = [path for path in folders if f"\nPPid:\t{os.getpid()}\n" in _text(path / "status").decode()]
    runs = [path for path in children if b"serverless_mlperf.mlperf.process" in _text(path / "cmdline")]
    return [_text(path / name) for path in runs for name in ("cmdline", "environ")]


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # ended meanwhile


def test_credentials_travel_by_pipe_and_are_renewed(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither environment nor command line nor a file of the run holds any; renewed ones sign what comes later."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "outer-hush")
    seen: list[bytes] = []

    def identify() -> Credentials:
        return FIRST if len(service.signers) < AFTER else SECOND

    result = run_process(
        spec(service.url, tmp_path),
        lambda _: None if seen else seen.extend(_child_texts()),
        identify=identify,
        renew_every_s=0,
    )
    assert (result.aborted, result.errors, result.send_errors) == (None, 0, 0)
    assert service.wrong == []
    change = service.signers.index(SECOND.access_key_id)
    assert change >= AFTER
    assert set(service.signers[:change]) == {FIRST.access_key_id}
    assert set(service.signers[change:]) == {SECOND.access_key_id}
    assert len(seen) == len(("cmdline", "environ"))
    assert all(seen)
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for text in [*seen, *files]:
        assert not any(secret.encode() in text for secret in SECRETS)


def test_run_without_credentials_gets_none() -> None:
    """Nobody is asked for credentials where requests are not signed."""

    def identify() -> Credentials:
        raise AssertionError("asked for credentials")

    assert Renewal(identify, None, every_s=0).newer() is None


def test_credentials_are_asked_for_now_and_then() -> None:
    """Not before the time has come, and the same ones are not sent again."""
    now_s, held = [0.0], [FIRST]
    renewal = Renewal(lambda: held[0], FIRST, every_s=30, clock_s=lambda: now_s[0])
    found = []
    for now_s[0], held[0] in ((29.0, SECOND), (30.0, SECOND), (59.0, FIRST), (61.0, SECOND), (100.0, FIRST)):
        found.append(renewal.newer())
    assert found == [None, SECOND, None, None, FIRST]
