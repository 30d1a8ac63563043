"""Input and output JSON, event parsing and the names of objects."""

import json
import string
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import pytest

from serverless_mlperf_sut import protocol
from serverless_mlperf_sut.protocol import Query, QueryError


def s3_event(*keys: str) -> dict[str, Any]:
    """An event as S3 sends it, as far as the function reads it."""
    return {"Records": [{"s3": {"bucket": {"name": "other"}, "object": {"key": key}}} for key in keys]}


def test_seed_input_is_read_and_folders_get_their_slash() -> None:
    """The seed's input JSON, without trailing slashes, becomes folders with them; unknown keys are ignored."""
    document = (
        b'{"CompletedPath": "completed/ssd_tf", "ImageFilenames": ["coco/1.jpg"], '
        b'"OutputPath": "output/ssd_tf", "x": 1}'
    )
    assert protocol.parse_query(document) == Query(("coco/1.jpg",), "output/ssd_tf/", "completed/ssd_tf/")


def test_folders_are_optional_and_follow_the_input() -> None:
    """Without folders the top ones are meant, or those of the cell that the input lies in."""
    assert protocol.parse_query({"ImageFilenames": ["coco/1.jpg"]}).output_path == "output/"
    inside = protocol.parse_query({"ImageFilenames": ["coco/1.jpg"]}, "input/cell/r-1.json")
    assert (inside.output_path, inside.completed_path) == ("output/cell/", "completed/cell/")


def test_rendered_query_is_read_back() -> None:
    """What the client writes is what the function reads."""
    query = Query(("imagenet/a.JPEG", "imagenet/b.JPEG"), "output/c/", "completed/c/")
    assert protocol.parse_query(protocol.render_query(query)) == query


def test_rendered_invocation_is_read_back() -> None:
    """An event with an image gives its bytes, one without gives none."""
    event = json.loads(protocol.render_invocation("coco/1.jpg", b"\xff\xd8 image"))
    query = protocol.parse_query(event)
    assert query.image_filenames == ("coco/1.jpg",)
    assert protocol.parse_image_bytes(event, query) == b"\xff\xd8 image"
    bare = json.loads(protocol.render_invocation("coco/1.jpg"))
    assert bare == {"ImageFilenames": ["coco/1.jpg"]}
    assert protocol.parse_image_bytes(bare, query) is None


@pytest.mark.parametrize(
    ("image", "count"),
    [
        ("", 1),
        (3, 1),
        (["/9g="], 1),
        ("/9g", 1),
        ("/9g=\n", 1),
        ("/9g=/9g=", 1),
        ("/9ä=", 1),
        ("-_8=", 1),
        ("A" * protocol.MAX_REQUEST_BYTES, 1),
        ("/9g=", 2),
    ],
)
def test_bad_image_bytes_are_query_errors(image: object, count: int) -> None:
    """One image, as strict base64, no longer than a request: anything else is refused by name."""
    with pytest.raises(QueryError, match="BadInput: ImageBytes"):
        protocol.parse_image_bytes({"ImageBytes": image}, Query(("coco/1.jpg",) * count))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"ImageFilenames": []}',
        b'{"ImageFilenames": "coco/1.jpg"}',
        b'{"ImageFilenames": [1]}',
        b'{"ImageFilenames": ["coco/1.jpg"], "OutputPath": 3}',
        b'{"ImageFilenames": ["coco/1.jpg"], "OutputPath": "input/again"}',
        b'{"ImageFilenames": ["coco/1.jpg"], "OutputPath": ""}',
        b'{"ImageFilenames": ["coco/1.jpg"], "CompletedPath": "completed/../models"}',
        b" " * (protocol.MAX_INPUT_BYTES + 1),
        json.dumps({"ImageFilenames": ["coco/1.jpg"] * 65}).encode(),
    ],
)
def test_bad_inputs_are_query_errors(document: bytes) -> None:
    """Whatever is wrong with an input, it is one kind of error, fit for an error record."""
    with pytest.raises(QueryError):
        protocol.parse_query(document)


@pytest.mark.parametrize(
    "key",
    [
        "/coco/1.jpg",
        "coco/../models/x",
        "coco/./1.jpg",
        "coco//1.jpg",
        "coco/",
        "coco\\1.jpg",
        "coco/1\0.jpg",
        "coco/1.jpg\n",
        "coco/ä.jpg",
        "models/mobilenetv1/FP32/x.bin",
        "other/1.jpg",
        "coco/" + "x" * 513,
        "",
    ],
)
def test_hostile_image_keys_are_refused(key: str) -> None:
    """No key leaves the image folders, whatever its spelling."""
    with pytest.raises(QueryError, match="BadKey"):
        protocol.check_key(key, protocol.IMAGE_ROOTS)


@given(st.text(alphabet=string.ascii_letters + "./-_\\%\0 ", max_size=40))
def test_accepted_keys_stay_below_their_root(tail: str) -> None:
    """An accepted key has no part that a path would resolve away."""
    try:
        parts = protocol.check_key(f"coco/{tail}", ("coco",)).split("/")
    except QueryError:
        return
    assert parts[0] == "coco"
    assert not {"", ".", ".."} & set(parts)


def test_s3_event_gives_all_decoded_keys() -> None:
    """Every record counts, keys are url-decoded, and the bucket of the event is not even read."""
    event = s3_event("input/a%2Bb.json", "input/c+d.json")
    assert protocol.parse_s3_event(event) == ("input/a+b.json", "input/c d.json")


def test_s3_test_event_is_an_event_without_records() -> None:
    """S3 announces a new notification by an event of another shape."""
    event = {"Service": "Amazon S3", "Event": "s3:TestEvent"}
    assert protocol.is_s3_event(event)
    assert protocol.parse_s3_event(event) == ()


@pytest.mark.parametrize("records", [[{}], [{"s3": {"object": {}}}], [None], [{"s3": {"object": {"key": 3}}}], "x"])
def test_malformed_records_are_query_errors(records: object) -> None:
    """A record without a key is refused by name."""
    with pytest.raises(QueryError, match="BadEvent"):
        protocol.parse_s3_event({"Records": records})


def test_names_follow_the_input() -> None:
    """Output, error record and kept input are found from the input's base name."""
    query, key = Query(("coco/1.jpg",), "output/c/", "completed/c/"), "input/c/run-00000001.json"
    assert protocol.output_key(query, key) == "output/c/run-00000001.json"
    assert protocol.error_key(query, key) == "output/c/errors/run-00000001.json"
    assert protocol.completed_key(query, key) == "completed/c/run-00000001.json"
    assert protocol.failed_key(key) == "failed/c/run-00000001.json"


def test_error_record_of_an_unsafe_key_has_a_safe_name() -> None:
    """A key that must not be used in a name still gets its error record."""
    name = protocol.error_key(protocol.default_query("input/../x.json"), "input/../x.json")
    assert name.startswith("output/errors/rejected-")
    protocol.check_key(name, ("output",))


def test_every_pair_has_a_folder_and_structure_before_weights() -> None:
    """Each engine-and-format knows its files for both tasks; the structure is the smaller, textual one."""
    for (task, engine), names in protocol.MODEL_FILES.items():
        assert task in protocol.MODEL_FOLDERS
        if len(names) == 2:
            assert names[0].endswith((".xml", ".prototxt", ".pbtxt")), engine
