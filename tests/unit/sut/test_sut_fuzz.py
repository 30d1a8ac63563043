"""Events and inputs of any kind: the function serves or refuses each, loses none and writes nowhere else.

170 examples of each kind, 5,000 with HYPOTHESIS_PROFILE=thorough (`make fuzz`).
"""

from collections.abc import Mapping
import json
from typing import Any
from urllib.parse import quote_plus

from hostile_service import PICTURE, started
from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from serverless_mlperf_sut.storage import MemoryStorage, StorageError

fuzzed = settings(max_examples=max(170, settings().max_examples), deadline=None)
STORAGE = MemoryStorage()
SERVICE = started(STORAGE)
FIXED = {"coco/1.jpg": PICTURE, "coco/cut.jpg": PICTURE[:200], "imagenet/a.png": b"text", "models/m.bin": b"model"}
GOOD = b'{"ImageFilenames": ["coco/1.jpg"]}'
INPUTS = {
    "input/c/good.json": GOOD,
    "input/c/two.json": b'{"ImageFilenames": ["coco/1.jpg", "coco/1.jpg"], "OutputPath": "output/o"}',
    "input/top.json": GOOD,
    "input/c/cut.json": b'{"ImageFilenames": ["coco/cut.jpg"]}',
    "input/c/none.json": b'{"ImageFilenames": ["coco/none.jpg"]}',
    "input/c/bad.json": b"{",
    "input/c/large.json": b" " * 300_000,
}
PLACES = [
    *INPUTS,
    *FIXED,
    "output/c/good.json",
    "completed/c/good.json",
    "failed/c/bad.json",
    "output/c/errors/bad.json",
]

Anything = st.SearchStrategy[Any]
names = st.sampled_from(
    ["", ".", "..", "input", "output", "failed", "models", "coco", "c", "errors", "x.json", "%2e%2e", "a+b", "%00", "ä"]
)
paths = st.lists(names | st.text(max_size=6) | st.just("x" * 600), min_size=1, max_size=5).map("/".join)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | paths
values: Anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
)
known_keys = st.sampled_from([*INPUTS, "input/c/absent.json"])
keys = known_keys | known_keys.map(quote_plus) | paths | paths.map(lambda path: f"input/{path}.json")
records: Anything = (keys | values).map(lambda key: {"s3": {"object": {"key": key}}}) | values
events: Anything = (
    st.lists(records, max_size=5).map(lambda found: {"Records": found})
    | values.map(lambda value: {"Records": value})
    | st.just({"Service": "Amazon S3", "Event": "s3:TestEvent"})
    | values
)
images = st.sampled_from(["coco/1.jpg", "coco/cut.jpg", "coco/none.jpg", "imagenet/a.png", "models/m.bin"]) | paths
queries: Anything = st.fixed_dictionaries(
    {},
    optional={
        "ImageFilenames": st.lists(images, min_size=1, max_size=3) | values,
        "OutputPath": st.sampled_from(["output", "output/x/", "output/c/errors", "models"]) | paths | values,
        "CompletedPath": st.sampled_from(["completed", "completed/x/", "input/c"]) | paths | values,
        "Other": values,
    },
)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """An input JSON, whole or with a part of it cut out and other bytes put in."""
    document = draw(queries.map(lambda query: json.dumps(query).encode()) | st.just(GOOD) | st.binary(max_size=40))
    if draw(st.booleans()):
        return document
    start = draw(st.integers(0, len(document)))
    return document[:start] + draw(st.binary(max_size=6)) + document[start + draw(st.integers(0, 20)) :]


def records_in(event: object) -> int | None:
    """How many ends an event must have; None for a direct invocation."""
    if not isinstance(event, Mapping) or not ("Records" in event or event.get("Event") == "s3:TestEvent"):
        return None
    found = event.get("Records", [])
    return len(found) if isinstance(found, list) else 1


def fill(inputs: Mapping[str, bytes]) -> dict[str, bytes]:
    """Give the bucket these inputs and nothing left from before; returns what is in it."""
    STORAGE.objects, STORAGE.broken = {**FIXED, **inputs}, set()
    STORAGE.log.clear()
    return dict(STORAGE.objects)


def check_bucket(before: Mapping[str, bytes]) -> None:
    """Only `output/`, `completed/` and `failed/` were written, and whatever left `input/` is kept in one of these."""
    after = STORAGE.objects
    for key in after.keys() | before.keys():
        if after.get(key) != before.get(key):
            assert key.startswith(("output/", "completed/", "failed/")) or (
                key.startswith("input/") and key not in after
            )
            assert not {"", ".", ".."} & set(key.split("/"))
            assert len(key) <= 1024  # of ASCII, as keys here are
    kept = [data for key, data in after.items() if key.startswith(("completed/", "failed/"))]
    assert all(before[key] in kept for key in before.keys() - after.keys())
    for key in (key for key in after if key.startswith("output/")):
        assert ("error" if "/errors/" in key else "result") in json.loads(after[key])


def check_counts(counts: Mapping[str, int], expected: int) -> None:
    """Every record has one end: an output with its input kept, an error record, or it was a duplicate."""
    assert counts.keys() == {"delivered", "errors", "duplicates"}
    assert sum(counts.values()) == expected
    written = [line.removeprefix("PUT ") for line in STORAGE.log if line.startswith("PUT ")]
    assert sum("/errors/" in key for key in written) == counts["errors"]
    assert sum(key.startswith("completed/") for key in written) == counts["delivered"]
    assert len(written) == counts["errors"] + 2 * counts["delivered"]


@fuzzed
@given(events)
def test_every_record_of_any_event_has_one_end(event: object) -> None:
    """Nothing is raised, lost, or written elsewhere; an event that is none is answered and changes nothing."""
    before, expected = fill(INPUTS), records_in(event)
    answer = SERVICE.handle(event, "id")
    json.dumps(answer, allow_nan=False)
    check_bucket(before)
    if expected is None:
        assert ("error" in answer) != ("result" in answer)
        assert STORAGE.objects == before
    else:
        check_counts(answer, expected)


@fuzzed
@given(documents())
def test_any_input_is_served_or_refused(document: bytes) -> None:
    """It ends in an output or in an error record with its reason, and the good query beside it is served."""
    before = fill({"input/c/q.json": document, "input/c/good.json": GOOD})
    found = [{"s3": {"object": {"key": key}}} for key in ("input/c/q.json", "input/c/good.json")]
    counts = SERVICE.handle({"Records": found}, "id")
    check_bucket(before)
    check_counts(counts, 2)
    assert counts["delivered"] >= 1
    assert not any(key.startswith("input/") for key in STORAGE.objects)


@fuzzed
@given(st.lists(records, min_size=1, max_size=3), st.sets(st.sampled_from(PLACES), min_size=1, max_size=3))
def test_store_that_fails_is_the_only_thing_raised(found: list[Any], broken: set[str]) -> None:
    """Whatever fails in the middle, the same event again, as the platform retries it, ends every record."""
    before = fill(INPUTS)
    STORAGE.broken = broken
    try:
        counts = SERVICE.handle({"Records": found}, "id")
    except StorageError:
        check_bucket(before)
        STORAGE.broken = set()
        STORAGE.log.clear()
        counts = SERVICE.handle({"Records": found}, "id")
    check_bucket(before)
    assert sum(counts.values()) == len(found)


@pytest.mark.parametrize("event", [[], {}, {"ImageFilenames": ["coco/1.jpg"]}])
def test_direct_invocations_write_nothing(event: object) -> None:
    """The kinds of event that no example above may miss."""
    before = fill(INPUTS)
    answer = SERVICE.handle(event, "id")
    assert ("error" in answer) != ("result" in answer)
    assert STORAGE.objects == before
