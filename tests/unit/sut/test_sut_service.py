"""The pipeline on the shipped fakes: every query ends in one result or one error record."""

from collections import Counter
import json
from typing import Any

import numpy as np
import pytest

from serverless_mlperf.pricing.cost import REQUESTS
from serverless_mlperf_sut import images, protocol, service
from serverless_mlperf_sut.engines.base import EngineError, Tensor
from serverless_mlperf_sut.engines.fake import FakeEngine
from serverless_mlperf_sut.settings import Settings
from serverless_mlperf_sut.stopwatch import Stopwatch
from serverless_mlperf_sut.storage import MemoryStorage, StorageError

KEY = "input/c/r-00000001.json"
PHASES = {"fetch_input", "fetch", "decode", "preprocess", "forward", "postprocess"}


@pytest.fixture
def storage() -> MemoryStorage:
    """A bucket with one picture and one query for it."""
    picture = images.encode(np.full((40, 60, 3), 200, np.uint8))
    query = {"ImageFilenames": ["coco/1.jpg"], "OutputPath": "output/c", "CompletedPath": "completed/c"}
    return MemoryStorage({"coco/1.jpg": picture, KEY: json.dumps(query).encode()})


def started(storage: MemoryStorage, task: str = "classification") -> service.Service:
    """An environment that has initialised."""
    return service.start(Settings("b", "fake", task), storage, FakeEngine(), Stopwatch())


def s3_event(*keys: str) -> dict[str, Any]:
    """An event as S3 sends it, as far as the function reads it."""
    return {"Records": [{"s3": {"object": {"key": key}}} for key in keys]}


def read(storage: MemoryStorage, key: str) -> dict[str, Any]:
    """An object as JSON."""
    document: dict[str, Any] = json.loads(storage.objects[key])
    return document


def test_query_is_served_in_the_seeds_format(storage: MemoryStorage) -> None:
    """The output has the seed's keys, with ours beside them."""
    assert started(storage).handle(s3_event(KEY), "id-1") == {"delivered": 1, "errors": 0, "duplicates": 0}
    output = read(storage, "output/c/r-00000001.json")
    assert set(output) == {"ImageFilenames", "inf_perf", "result", "start_time", "finish_time", "sut"}
    assert output["ImageFilenames"] == ["coco/1.jpg"]
    assert set(output["inf_perf"][0]) == {"load_model", "image_operations", "forward"}
    assert len(output["result"]) == 5
    assert output["result"][0] == [201, 1.0]
    assert output["finish_time"] >= output["start_time"]


def test_input_moves_to_completed(storage: MemoryStorage) -> None:
    """The input is kept under completed/ and gone from input/."""
    source = storage.objects[KEY]
    started(storage).handle(s3_event(KEY), "id-1")
    assert storage.objects["completed/c/r-00000001.json"] == source
    assert KEY not in storage.objects


def test_few_round_trips_and_the_input_goes_last(storage: MemoryStorage) -> None:
    """Two reads, two writes, one removal, which comes when all else is safe."""
    started(storage).handle(s3_event(KEY), "id-1")
    assert storage.log[:2] == [f"GET {KEY}", "GET coco/1.jpg"]
    assert set(storage.log[2:4]) == {"PUT output/c/r-00000001.json", "PUT completed/c/r-00000001.json"}
    assert storage.log[4:] == [f"DELETE {KEY}"]


def test_requests_are_those_that_a_query_is_priced_by(storage: MemoryStorage) -> None:
    """The client adds the PUT of the input and the GET of the output; DELETE is free."""
    started(storage).handle(s3_event(KEY), "id-1")
    verbs = Counter(line.split()[0] for line in storage.log)
    priced = REQUESTS["s3", None]
    assert (verbs["PUT"] + verbs["COPY"] + 1, verbs["GET"] + 1) == (priced.puts, priced.gets)


def test_phases_are_measured_by_both_clocks(storage: MemoryStorage) -> None:
    """Wall and CPU time for every phase inside the function, and for the initialisation."""
    started(storage).handle(s3_event(KEY), "id-1")
    sut = read(storage, "output/c/r-00000001.json")["sut"]
    assert set(sut["phases_ns"]) == set(sut["cpu_ns"]) == PHASES
    assert set(sut["init"]["phases_ns"]) == {
        *("fetch_model", "verify_model", "load_model", "compile", "first_inference")
    }
    assert sum(sut["phases_ns"].values()) <= sut["finish_ns"] - sut["start_ns"] + 5_000_000
    assert sut["engine"] == {"name": "fake", "version": "1", "precision": "f32", "threads": 1}
    assert sut["event_key"] == KEY


def test_only_the_first_invocation_is_cold(storage: MemoryStorage) -> None:
    """Cold says that this environment had served nothing before; the environment's name stays."""
    running, query = started(storage), storage.objects[KEY]
    running.handle(s3_event(KEY), "id-1")
    storage.put("input/c/r-00000002.json", query)
    running.handle(s3_event("input/c/r-00000002.json"), "id-2")
    first, second = (read(storage, f"output/c/r-0000000{n}.json")["sut"] for n in (1, 2))
    assert [(sut["cold"], sut["invocation"], sut["request_id"]) for sut in (first, second)] == [
        (True, 1, "id-1"),
        (False, 2, "id-2"),
    ]
    assert first["environment_id"] == second["environment_id"]


def test_delivery_is_told_by_the_next_output(storage: MemoryStorage) -> None:
    """A query's own delivery cannot be in its output: the next one carries it."""
    running, query = started(storage), storage.objects[KEY]
    running.handle(s3_event(KEY), "id-1")
    storage.put(KEY, query)
    assert read(storage, "output/c/r-00000001.json")["sut"]["previous_deliver"] is None
    running.handle(s3_event(KEY), "id-2")
    told = read(storage, "output/c/r-00000001.json")["sut"]["previous_deliver"]
    assert told["request_id"] == "id-1"
    assert told["wall_ns"] > 0


def test_every_record_of_an_event_is_served(storage: MemoryStorage) -> None:
    """An event with three records, one of them bad, gives two results and one error record."""
    storage.put("input/c/r-00000002.json", storage.objects[KEY])
    storage.put("input/c/bad.json", b"{")
    counts = started(storage).handle(s3_event(KEY, "input/c/bad.json", "input/c/r-00000002.json"), "id-1")
    assert counts == {"delivered": 2, "errors": 1, "duplicates": 0}
    assert {"output/c/r-00000001.json", "output/c/r-00000002.json"} <= set(storage.objects)
    assert read(storage, "output/c/errors/bad.json")["error"]["type"] == "BadInput"


def test_missing_image_becomes_an_error_record(storage: MemoryStorage) -> None:
    """The record says what was missing and how far the query came; the input is moved to failed/."""
    del storage.objects["coco/1.jpg"]
    assert started(storage).handle(s3_event(KEY), "id-1")["errors"] == 1
    record = read(storage, "output/c/errors/r-00000001.json")
    assert record["error"]["type"] == "Missing"
    assert "coco/1.jpg" in record["error"]["message"]
    assert record["ImageFilenames"] == ["coco/1.jpg"]
    assert "fetch_input" in record["sut"]["phases_ns"]
    assert "failed/c/r-00000001.json" in storage.objects
    assert KEY not in storage.objects


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8\xff"])
def test_bad_image_becomes_an_error_record(storage: MemoryStorage, data: bytes) -> None:
    """A file that does not decode fails its own query and nothing else."""
    storage.objects["coco/1.jpg"] = data
    started(storage).handle(s3_event(KEY), "id-1")
    assert read(storage, "output/c/errors/r-00000001.json")["error"]["type"] == "BadImage"


def test_large_objects_are_refused(storage: MemoryStorage) -> None:
    """An input above its cap is never read; it is moved on the server's side."""
    storage.objects[KEY] = b" " * 300_000
    started(storage).handle(s3_event(KEY), "id-1")
    assert read(storage, "output/c/errors/r-00000001.json")["error"]["type"] == "TooLarge"
    assert "failed/c/r-00000001.json" in storage.objects


@pytest.mark.parametrize("key", ["models/x.json", "input/../x.json", "input/x.txt", "input/a b.json"])
def test_unsafe_event_key_is_recorded_and_never_used(storage: MemoryStorage, key: str) -> None:
    """No request is made with such a key, and still there is an error record."""
    assert started(storage).handle(s3_event(key), "id-1")["errors"] == 1
    assert [line.split("/")[0] for line in storage.log] == ["PUT output"]


def test_second_delivery_of_an_event_is_no_error(storage: MemoryStorage) -> None:
    """Events come at least once: an input that was served already gives neither a result nor an error record."""
    running = started(storage)
    running.handle(s3_event(KEY), "id-1")
    assert running.handle(s3_event(KEY), "id-1") == {"delivered": 0, "errors": 0, "duplicates": 1}
    assert not [key for key in storage.objects if "errors" in key]


def test_input_that_never_was_is_an_error(storage: MemoryStorage) -> None:
    """A missing input without a trace of having been served is told."""
    assert started(storage).handle(s3_event("input/c/none.json"), "id-1")["errors"] == 1
    assert read(storage, "output/c/errors/none.json")["error"]["type"] == "Missing"


@pytest.mark.parametrize("broken", [KEY, "coco/1.jpg", "output/c/r-00000001.json", "completed/c/r-00000001.json"])
def test_transient_faults_raise_and_keep_the_input(storage: MemoryStorage, broken: str) -> None:
    """When the store fails, the invocation fails, and a retry finds its input and serves it."""
    running = started(storage)
    storage.broken.add(broken)
    with pytest.raises(StorageError):
        running.handle(s3_event(KEY), "id-1")
    assert KEY in storage.objects
    storage.broken.clear()
    assert running.handle(s3_event(KEY), "id-1")["delivered"] == 1


def test_direct_invocation_returns_the_output(storage: MemoryStorage) -> None:
    """The input JSON itself as the event gives the output JSON as the answer, and writes nothing."""
    before = set(storage.objects)
    output = started(storage, "object_detection").handle({"ImageFilenames": ["coco/1.jpg"]}, "id-1")
    assert output["result"] == [[0, 21, 0.5, 0.25, 0, 0.75, 1]]
    assert set(output["sut"]["phases_ns"]) == PHASES - {"fetch_input"}
    assert set(storage.objects) == before


def test_image_in_the_event_is_used_instead_of_the_object(storage: MemoryStorage) -> None:
    """Inline, the bucket is not asked: `unpack` takes the place of `fetch`, and counts as image operation."""
    picture, by_key = storage.objects["coco/1.jpg"], started(storage).handle({"ImageFilenames": ["coco/1.jpg"]}, "id")
    storage.log.clear()
    running = started(storage)
    event = json.loads(protocol.render_invocation("coco/none.jpg", picture))
    output = running.handle(event, "id-1")
    assert storage.log == []
    assert output["result"] == by_key["result"]
    assert output["ImageFilenames"] == ["coco/none.jpg"]
    assert set(output["sut"]["phases_ns"]) == PHASES - {"fetch_input", "fetch"} | {"unpack"}
    phases = output["sut"]["phases_ns"]
    operations_ns = phases["unpack"] + phases["decode"] + phases["preprocess"]
    assert output["inf_perf"][0]["image_operations"] == pytest.approx(operations_ns / 1e6)


def test_bad_image_in_the_event_is_answered(storage: MemoryStorage) -> None:
    """Bytes that are no base64 or no image give an error record; the next query is served."""
    running, names = started(storage), ["coco/1.jpg"]
    answers = [running.handle({"ImageFilenames": names, "ImageBytes": text}, "id") for text in ("!", "/9g=")]
    assert [answer["error"]["type"] for answer in answers] == ["BadInput", "BadImage"]
    assert "result" in running.handle({"ImageFilenames": names}, "id-3")


def test_image_bytes_count_in_direct_invocations_alone(storage: MemoryStorage) -> None:
    """In an input object they are one of the unknown keys that are ignored."""
    storage.objects[KEY] = json.dumps({"ImageFilenames": ["coco/1.jpg"], "ImageBytes": "!"}).encode()
    assert started(storage).handle(s3_event(KEY), "id-1")["delivered"] == 1


def test_direct_invocation_returns_error_records(storage: MemoryStorage) -> None:
    """A bad input JSON is answered, not raised."""
    answer = started(storage).handle({"ImageFilenames": ["../etc/passwd"]}, "id-1")
    assert answer["error"]["type"] == "BadKey"


def test_several_images_give_one_list_each(storage: MemoryStorage) -> None:
    """Two images: two entries of inf_perf and a list of rows for each."""
    output = started(storage).handle({"ImageFilenames": ["coco/1.jpg", "coco/1.jpg"]}, "id-1")
    assert len(output["inf_perf"]) == len(output["result"]) == 2
    assert output["result"][0] == output["result"][1]


def test_engine_that_fails_on_an_image_gives_an_error_record(storage: MemoryStorage) -> None:
    """An engine's refusal belongs to the query, not to the environment."""

    class Refusing(FakeEngine):
        def infer(self, batch: Tensor) -> Tensor:
            if batch.max() > 0.1:
                raise EngineError("too bright")
            return super().infer(batch)

    running = service.start(Settings("b", "fake", "classification"), storage, Refusing(), Stopwatch())
    assert running.handle(s3_event(KEY), "id-1")["errors"] == 1
    assert read(storage, "output/c/errors/r-00000001.json")["error"]["message"] == "too bright"


def test_missing_model_fails_the_initialisation() -> None:
    """An environment without its model never becomes ready."""
    with pytest.raises(Exception, match="mobilenet_v1_224_frozen"):
        service.start(Settings("b", "ie-ir", "classification"), MemoryStorage(), FakeEngine(), Stopwatch())
