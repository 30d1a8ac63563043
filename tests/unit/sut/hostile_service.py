"""A service on the shipped fakes, and what it left in its bucket, for the tests of hostile input."""

import json
from typing import Any

import numpy as np

from serverless_mlperf_sut import images, service
from serverless_mlperf_sut.engines.fake import FakeEngine
from serverless_mlperf_sut.settings import Settings
from serverless_mlperf_sut.stopwatch import Stopwatch
from serverless_mlperf_sut.storage import MemoryStorage

PICTURE = images.encode(np.full((40, 60, 3), 200, np.uint8))
GOOD = b'{"ImageFilenames": ["coco/1.jpg"]}'


def started(storage: MemoryStorage, task: str = "classification") -> service.Service:
    """An environment that has initialised."""
    return service.start(Settings("b", "fake", task), storage, FakeEngine(), Stopwatch())


def bucket(**inputs: bytes) -> MemoryStorage:
    """A bucket with one picture and some inputs `input/c/<name>.json`."""
    return MemoryStorage({"coco/1.jpg": PICTURE, **{f"input/c/{name}.json": data for name, data in inputs.items()}})


def record(key: object) -> dict[str, Any]:
    """A record of an S3 event, as far as the function reads it."""
    return {"s3": {"object": {"key": key}}}


def served(storage: MemoryStorage, *records: object) -> dict[str, Any]:
    """What a new environment answers to one event."""
    return started(storage).handle({"Records": list(records)}, "id-1")


def errors(storage: MemoryStorage) -> dict[str, str]:
    """Error records: key -> `type: message`; each message must be one line."""
    found = {}
    for key, data in storage.objects.items():
        if key.startswith("output/") and "/errors/" in key:
            error = json.loads(data)["error"]
            assert "\n" not in error["message"], error
            assert len(error["message"]) < 400, error
            found[key] = f"{error['type']}: {error['message']}"
    return found


def only_error(storage: MemoryStorage) -> str:
    """`type: message` of the one error record."""
    (error,) = errors(storage).values()
    return error


def unchanged(before: dict[str, bytes], storage: MemoryStorage) -> bool:
    """Whether nothing was written, changed or removed outside the folders of queries."""
    ours = ("input/", "output/", "completed/", "failed/")
    now = {key: data for key, data in storage.objects.items() if not key.startswith(ours)}
    return now == {key: data for key, data in before.items() if not key.startswith(ours)}
