"""The S3 client and the whole function over HTTP, against a small object store on the loopback."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import json
import os
import subprocess
import sys
import threading
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from serverless_mlperf_sut import images
from serverless_mlperf_sut.protocol import QueryError
from serverless_mlperf_sut.storage import MissingError, S3Storage, StorageError

BUCKET = "bucket"
KEY = "input/c/r-00000001.json"
CALL = """
import json, sys, types
sys.path[:0] = sys.argv[1].split(":")
from serverless_mlperf_sut.handler import lambda_handler
for n, event in enumerate(json.loads(sys.argv[2])):
    print(json.dumps(lambda_handler(event, types.SimpleNamespace(aws_request_id=f"id-{n}"))))
"""


class Store(ThreadingHTTPServer):
    """Objects by path, and statuses to answer with instead."""

    daemon_threads = True

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.statuses: dict[str, list[int]] = {}
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    """GET, PUT (copies too) and DELETE, path style."""

    protocol_version = "HTTP/1.1"
    server: Store

    def do_GET(self) -> None:
        """Give an object."""
        if not self._refused():
            data = self.server.objects.get(self._key())
            self._answer(404 if data is None else 200, data or b"")

    def do_PUT(self) -> None:
        """Take an object, or copy one."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self._refused():
            return
        if source := self.headers.get("x-amz-copy-source"):
            body = self.server.objects[unquote(source).removeprefix("/").partition("/")[2]]
            self.server.objects[self._key()] = body
            self._answer(200, b"<CopyObjectResult><ETag>e</ETag></CopyObjectResult>")
            return
        self.server.objects[self._key()] = body
        self._answer(200, b"")

    def do_DELETE(self) -> None:
        """Forget an object."""
        if not self._refused():
            self.server.objects.pop(self._key(), None)
            self._answer(204, b"")

    def log_message(self, *_: Any) -> None:
        """Keep the test's output to the test."""

    def _key(self) -> str:
        return unquote(self.path.partition("?")[0]).removeprefix(f"/{BUCKET}/")

    def _refused(self) -> bool:
        pending = self.server.statuses.get(f"{self.command} {self._key()}", [])
        if pending:
            self._answer(pending.pop(0), b"<Error><Code>Told</Code></Error>")
            return True
        return False

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"e"')
        self.send_header("Last-Modified", "Mon, 23 Nov 2026 00:00:00 GMT")
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def store() -> Iterator[Store]:
    """A running object store."""
    with Store() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def environment(store: Store) -> dict[str, str]:
    """The function's environment, as the platform gives it."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{store.server_port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "BUCKET_NAME": BUCKET,
        "CV_TASK": "classification",
        "ENGINE_AND_FORMAT": "fake",
    }


@pytest.fixture
def storage(store: Store, monkeypatch: pytest.MonkeyPatch) -> S3Storage:
    """The function's client of that store."""
    for name, value in environment(store).items():
        monkeypatch.setenv(name, value)
    return S3Storage(BUCKET)


def call(store: Store, *events: dict[str, Any], **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the function in a process of its own, one call per event."""
    paths = ":".join(path for path in sys.path if path)
    command = [sys.executable, "-I", "-c", CALL, paths, json.dumps(events)]
    variables = {"PATH": os.environ["PATH"], **environment(store), **changes}
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def test_objects_go_there_and_back(store: Store, storage: S3Storage) -> None:
    """Put, get, copy and delete do what they say, over keys with every legal character."""
    storage.put("output/a_b-c.1/x.json", b"{}")
    assert storage.get("output/a_b-c.1/x.json", 2) == b"{}"
    storage.copy("output/a_b-c.1/x.json", "failed/x.json")
    storage.delete("output/a_b-c.1/x.json")
    storage.delete("output/a_b-c.1/x.json")
    assert store.objects == {"failed/x.json": b"{}"}


def test_large_object_is_refused_by_its_header(store: Store, storage: S3Storage) -> None:
    """The size is checked before the body is read."""
    store.objects["coco/1.jpg"] = bytes(1000)
    with pytest.raises(QueryError, match="TooLarge"):
        storage.get("coco/1.jpg", 999)


@pytest.mark.parametrize("status", [403, 404])
def test_forbidden_is_missing(store: Store, storage: S3Storage, status: int) -> None:
    """S3 says 403 for 404 to who may not list: both mean missing."""
    store.statuses["GET coco/1.jpg"] = [status] * 9
    with pytest.raises(MissingError):
        storage.get("coco/1.jpg", 10)


def test_forbidden_write_is_no_missing_object(store: Store, storage: S3Storage) -> None:
    """A role that may not write is a fault of the deployment, and raises."""
    store.statuses["PUT output/x.json"] = [403] * 9
    with pytest.raises(StorageError, match=r"PUT output/x\.json"):
        storage.put("output/x.json", b"{}")


def test_one_503_is_survived_and_many_are_not(store: Store, storage: S3Storage) -> None:
    """One quick retry; what lasts longer is the platform's to retry."""
    store.objects["coco/1.jpg"] = b"x"
    store.statuses["GET coco/1.jpg"] = [503]
    assert storage.get("coco/1.jpg", 10) == b"x"
    store.statuses["GET coco/1.jpg"] = [503] * 9
    with pytest.raises(StorageError):
        storage.get("coco/1.jpg", 10)


def test_function_serves_an_event(store: Store) -> None:
    """From a cold start to the output JSON, all through the handler that Lambda calls."""
    store.objects["coco/1.jpg"] = images.encode(np.full((40, 60, 3), 200, np.uint8))
    store.objects[KEY] = b'{"ImageFilenames": ["coco/1.jpg"]}'
    event = {"Records": [{"s3": {"object": {"key": KEY}}}]}
    done = call(store, event, {"ImageFilenames": ["coco/1.jpg"]})
    assert done.returncode == 0, done.stderr
    counts, direct = map(json.loads, done.stdout.splitlines())
    assert counts == {"delivered": 1, "errors": 0, "duplicates": 0}
    assert set(store.objects) == {"coco/1.jpg", "output/c/r-00000001.json", "completed/c/r-00000001.json"}
    written = json.loads(store.objects["output/c/r-00000001.json"])
    assert written["result"] == direct["result"]
    assert set(written["sut"]["init"]["phases_ns"]) == {
        *("imports", "fetch_model", "verify_model", "load_model", "compile", "first_inference")
    }
    assert (written["sut"]["cold"], direct["sut"]["cold"]) == (True, False)
    assert direct["sut"]["previous_deliver"]["request_id"] == "id-0"


def test_failed_input_is_moved(store: Store) -> None:
    """Over the real client too, a query without its image ends in errors/ and failed/."""
    store.objects[KEY] = b'{"ImageFilenames": ["coco/none.jpg"]}'
    done = call(store, {"Records": [{"s3": {"object": {"key": KEY}}}]})
    assert json.loads(done.stdout) == {"delivered": 0, "errors": 1, "duplicates": 0}
    assert set(store.objects) == {"output/c/errors/r-00000001.json", "failed/c/r-00000001.json"}


def test_initialisation_without_a_model_raises(store: Store) -> None:
    """A function whose model is missing fails to import, which the platform reports as an init error."""
    done = call(store, {}, ENGINE_AND_FORMAT="ie-ir")
    assert done.returncode != 0
    assert "models/mobilenetv1/FP32/mobilenet_v1_224_frozen.xml does not exist" in done.stderr
