"""Events nobody should send: each record ends in one error record, and good ones beside it are served."""

from typing import Any
from urllib.parse import quote, quote_plus

from hostile_service import GOOD, bucket, errors, only_error, record, served, started, unchanged
import pytest

from serverless_mlperf_sut.storage import MemoryStorage

NO_OBJECT: list[tuple[object, str]] = [
    ({}, "a record has no s3.object.key"),
    (None, "a record has no s3.object.key"),
    ("input/c/a.json", "a record has no s3.object.key"),
    (7, "a record has no s3.object.key"),
    ({"s3": {}}, "a record has no s3.object.key"),
    ({"s3": None}, "a record has no s3.object.key"),
    ({"s3": {"object": {}}}, "a record has no s3.object.key"),
    ({"s3": {"object": []}}, "a record has no s3.object.key"),
    (record(None), "s3.object.key is None, not text"),
    (record(3), "s3.object.key is 3, not text"),
    (record(["input/c/a.json"]), "s3.object.key is a list, not text"),
    (record({"key": "input/c/a.json"}), "s3.object.key is a dict, not text"),
]

BAD_KEYS = [
    ("input/../models/x.json", "has an empty or dotted part"),
    ("input/%2E%2E/models/x.json", "has an empty or dotted part"),
    ("input%2F..%2Fx.json", "has an empty or dotted part"),
    ("input/./x.json", "has an empty or dotted part"),
    ("input//x.json", "has an empty or dotted part"),
    ("/input/x.json", "is not a key below input/"),
    ("//input/x.json", "is not a key below input/"),
    ("", "'' is not a key below input/"),
    ("input/", "is not a key below input/"),
    ("input", "is not a key below input/"),
    ("models/x.json", "is not below input/"),
    ("output/c/x.json", "is not below input/"),
    ("input/x.txt", "does not end in .json"),
    ("input/x.json/", "has an empty or dotted part"),
    ("input/x.JSON", "does not end in .json"),
    ("input/a+b.json", "'input/a b.json' is not a key below input/"),
    (quote("input/größe.json"), "'input/größe.json' is not a key below input/"),
    ("input/%ff%fe.json", "is not a key below input/"),
    ("input/a%00.json", r"'input/a\x00.json' is not a key below input/"),
    ("input/a%0Ab.json", r"'input/a\nb.json' is not a key below input/"),
    ("input/a\\b.json", "is not a key below input/"),
    ("input/\ud800.json", r"'input/\ud800.json' is not a key below input/"),
    ("input/" + "x" * (1024 - 11) + ".json", "... is not a key below input/, of at most 512"),
]


@pytest.mark.parametrize(("malformed", "said"), NO_OBJECT)
def test_record_without_an_object_does_not_stop_the_others(malformed: object, said: str) -> None:
    """It gets an error record of its own; the good records before and after it are served."""
    storage = bucket(a=GOOD, b=GOOD)
    before = dict(storage.objects)
    counts = served(storage, record("input/c/a.json"), malformed, record("input/c/b.json"))
    assert counts == {"delivered": 2, "errors": 1, "duplicates": 0}
    assert {"output/c/a.json", "output/c/b.json", "completed/c/a.json", "completed/c/b.json"} <= set(storage.objects)
    assert only_error(storage).startswith("BadEvent: ")
    assert said in only_error(storage)
    assert unchanged(before, storage)


@pytest.mark.parametrize(("key", "said"), BAD_KEYS)
def test_bad_key_does_not_stop_the_others(key: str, said: str) -> None:
    """No request is made with the key; its error record says what it was; the good records are served."""
    storage = bucket(a=GOOD, b=GOOD)
    before = dict(storage.objects)
    counts = served(storage, record("input/c/a.json"), record(key), record("input/c/b.json"))
    assert counts == {"delivered": 2, "errors": 1, "duplicates": 0}
    assert only_error(storage).startswith("BadEventKey: ")
    assert said in only_error(storage)
    (name,) = errors(storage)
    assert name.startswith("output/errors/rejected-")
    assert unchanged(before, storage)


def test_url_encoded_key_is_the_key_it_encodes() -> None:
    """A key that S3 encodes in part or in full names the same object."""
    for encoded in ("input/c/a_b-1.json", quote_plus("input/c/a_b-1.json"), "%69nput/c/%61_b-1%2Ejson"):
        storage = bucket(**{"a_b-1": GOOD})
        assert served(storage, record(encoded))["delivered"] == 1
        assert "output/c/a_b-1.json" in storage.objects


def test_longest_key_is_served_under_names_that_s3_takes() -> None:
    """A key of 512 characters in the longest folders still gives keys of at most 1024 bytes."""
    name = "n" * 500
    folder = "f" * 473
    query = f'{{"ImageFilenames": ["coco/1.jpg"], "OutputPath": "output/{folder}"}}'.encode()
    for image, expected in ((b"1.jpg", "delivered"), (b"none.jpg", "errors")):
        storage = MemoryStorage({**bucket().objects, f"input/{name}.json": query.replace(b"1.jpg", image)})
        assert served(storage, record(f"input/{name}.json"))[expected] == 1
        assert f"output/{folder}/" in " ".join(storage.objects)
        assert max(map(len, storage.objects)) <= 1024


def test_malformed_records_get_one_error_record_each() -> None:
    """Two records alike are two errors; the same event again, as a retry brings it, adds none."""
    storage = bucket()
    running = started(storage)
    for _ in range(2):
        assert running.handle({"Records": [{}, {}]}, "id-1")["errors"] == 2
    assert len(errors(storage)) == 2


@pytest.mark.parametrize(
    ("records", "shown"), [(3, "3"), (None, "None"), ("input/c/a.json", "'input/c/a.json'"), ({}, "a dict")]
)
def test_records_that_are_no_list_are_told_in_the_bucket(records: object, shown: str) -> None:
    """An event's answer is read by nobody: the error record says what Records was."""
    storage = bucket()
    assert started(storage).handle({"Records": records}, "id-1") == {"delivered": 0, "errors": 1, "duplicates": 0}
    assert only_error(storage) == f"BadEvent: Records is {shown}, not a list"


@pytest.mark.parametrize(
    "event",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-23T00:00:00Z", "Bucket": "b"},
        {"Records": []},
    ],
)
def test_events_without_objects_are_ignored(event: dict[str, Any]) -> None:
    """S3's test event and an event of no record do nothing and write nothing."""
    storage = bucket(a=GOOD)
    before = dict(storage.objects)
    assert started(storage).handle(event, "id-1") == {"delivered": 0, "errors": 0, "duplicates": 0}
    assert storage.objects == before
    assert storage.log == []


@pytest.mark.parametrize(
    ("event", "kind"), [([], "list"), ([{}], "list"), ("x", "str"), (None, "NoneType"), (1.5, "float"), (True, "bool")]
)
def test_event_that_is_no_object_is_answered(event: object, kind: str) -> None:
    """Only a direct invocation can send one: its answer is the error record, and nothing is written."""
    storage = bucket()
    before = dict(storage.objects)
    answer = started(storage).handle(event, "id-1")
    assert answer["error"] == {"type": "BadEvent", "message": f"the event is a {kind}: send an object"}
    assert storage.objects == before


def test_second_delivery_of_a_failed_event_keeps_its_reason() -> None:
    """The error record of the first delivery is not replaced by one that says the input is missing."""
    storage = bucket(a=b"{")
    running = started(storage)
    assert running.handle({"Records": [record("input/c/a.json")]}, "id-1")["errors"] == 1
    first = only_error(storage)
    assert running.handle({"Records": [record("input/c/a.json")]}, "id-1")["duplicates"] == 1
    assert only_error(storage) == first
    assert first.startswith("BadInput: input is not JSON")


def test_second_delivery_of_a_too_large_input_keeps_its_reason() -> None:
    """The kept input is larger than an input may be, and is found all the same."""
    storage = bucket(a=b" " * 300_000)
    running = started(storage)
    for expected in ("errors", "duplicates"):
        assert running.handle({"Records": [record("input/c/a.json")]}, "id-1")[expected] == 1
    assert only_error(storage) == "TooLarge: input/c/a.json of 300000 bytes is larger than 262144"


def test_same_object_twice_in_one_event_is_served_once() -> None:
    """The second record finds the input served."""
    storage = bucket(a=GOOD)
    counts = served(storage, record("input/c/a.json"), record("input/c/a.json"))
    assert counts == {"delivered": 1, "errors": 0, "duplicates": 1}
    assert errors(storage) == {}
