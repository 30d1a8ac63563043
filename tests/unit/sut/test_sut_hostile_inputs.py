"""Input JSON nobody should write: each ends in one error record that says why, its input kept in failed/."""

import json

from hostile_service import GOOD, bucket, only_error, record, served, unchanged
import pytest

IMAGE = '"ImageFilenames": ["coco/1.jpg"]'


def with_image(name: str) -> bytes:
    """An input of one image."""
    return json.dumps({"ImageFilenames": [name]}).encode()


BAD_INPUTS = [
    (b"", "BadInput: input is not JSON: Expecting value"),
    (b"not json", "BadInput: input is not JSON: Expecting value"),
    (GOOD[:-1], "BadInput: input is not JSON: Expecting ',' delimiter"),
    (GOOD[:12], "BadInput: input is not JSON: Unterminated string"),
    (GOOD + b"}", "BadInput: input is not JSON: Extra data"),
    ('{"a": "ä"}'.encode("latin-1"), "BadInput: input is not JSON: 'utf-8' codec can't decode"),
    (GOOD.decode().encode("utf-16"), "BadInput: input is not JSON: 'utf-8' codec can't decode"),
    (b"[" * 100_000, "BadInput: input is not JSON: maximum recursion depth"),
    (b'{"a":' * 50_000, "BadInput: input is not JSON: maximum recursion depth"),
    (b" " * 262_145, "TooLarge: input/c/bad.json of 262145 bytes is larger than 262144"),
    (b'{"ImageFilenames": NaN}', "BadInput: input is not JSON: NaN is not a number of JSON"),
    (b'{"n": -Infinity, ' + IMAGE.encode() + b"}", "BadInput: input is not JSON: -Infinity is not a number of JSON"),
    (b'{"n": ' + b"9" * 5000 + b"}", "BadInput: input is not JSON: Exceeds the limit"),
    (f"{{{IMAGE}, {IMAGE}}}".encode(), "BadInput: input is not JSON: 'ImageFilenames' occurs twice in one object"),
    (f'{{{IMAGE}, "x": {{"a": 1, "a": 2}}}}'.encode(), "BadInput: input is not JSON: 'a' occurs twice in one object"),
    (b"[]", "BadInput: input JSON is a list, not an object"),
    (b'"input"', "BadInput: input JSON is a str, not an object"),
    (b"null", "BadInput: input JSON is a NoneType, not an object"),
    (b"{}", "BadInput: ImageFilenames must be a list of 1 to 64 keys, not None"),
    (b'{"ImageFilenames": null}', "BadInput: ImageFilenames must be a list of 1 to 64 keys, not None"),
    (b'{"ImageFilenames": []}', "BadInput: ImageFilenames must be a list of 1 to 64 keys, not 0 of them"),
    (
        json.dumps({"ImageFilenames": ["coco/1.jpg"] * 65}).encode(),
        "BadInput: ImageFilenames must be a list of 1 to 64 keys, not 65 of them",
    ),
    (b'{"ImageFilenames": "coco/1.jpg"}', "not 'coco/1.jpg'"),
    (b'{"ImageFilenames": 7}', "not 7"),
    (b'{"ImageFilenames": {"0": "coco/1.jpg"}}', "not a dict"),
    (b'{"ImageFilenames": [null]}', "BadKey: None is not a key below coco/ or imagenet/ or synthetic/"),
    (b'{"ImageFilenames": [["coco/1.jpg"]]}', "BadKey: a list is not a key below coco/"),
    (b'{"ImageFilenames": [1.5]}', "BadKey: 1.5 is not a key below coco/"),
    (b'{"ImageFilenames": [' + b"[" * 900 + b"]" * 900 + b"]}", "BadKey: a list is not a key below coco/"),
    (with_image("../etc/passwd"), "BadKey: '../etc/passwd' is not a key below coco/"),
    (with_image("coco/../models/x"), "BadKey: 'coco/../models/x' has an empty or dotted part"),
    (with_image("coco/a/./b.jpg"), "BadKey: 'coco/a/./b.jpg' has an empty or dotted part"),
    (with_image("coco//1.jpg"), "BadKey: 'coco//1.jpg' has an empty or dotted part"),
    (with_image("/coco/1.jpg"), "BadKey: '/coco/1.jpg' is not a key below coco/"),
    (with_image("coco\\1.jpg"), r"BadKey: 'coco\\1.jpg' is not a key below coco/"),
    (with_image("coco/1\n.jpg"), r"BadKey: 'coco/1\n.jpg' is not a key below coco/"),
    (with_image("coco/\x1b[31m.jpg"), r"BadKey: 'coco/\x1b[31m.jpg' is not a key below coco/"),
    (with_image("models/mobilenetv1/FP32/x.bin"), "is not below coco/ or imagenet/ or synthetic/"),
    (with_image("input/c/bad.json"), "is not below coco/ or imagenet/ or synthetic/"),
    (with_image("coco/" + "x" * 100_000), "... is not a key below coco/"),
    (f'{{{IMAGE}, "OutputPath": null}}'.encode(), "BadKey: None is not a folder below output/"),
    (f'{{{IMAGE}, "OutputPath": ["output"]}}'.encode(), "BadKey: a list is not a folder below output/"),
    (f'{{{IMAGE}, "OutputPath": ""}}'.encode(), "BadKey: '' is not a key below output/"),
    (f'{{{IMAGE}, "OutputPath": "/output"}}'.encode(), "BadKey: '/output' is not a key below output/"),
    (f'{{{IMAGE}, "OutputPath": "output/../models"}}'.encode(), "'output/../models' has an empty or dotted part"),
    (f'{{{IMAGE}, "OutputPath": "output//"}}'.encode(), "is not a key below output/"),
    (f'{{{IMAGE}, "OutputPath": "models/mobilenetv1"}}'.encode(), "'models/mobilenetv1' is not below output/"),
    (f'{{{IMAGE}, "OutputPath": "output/c/errors"}}'.encode(), "'output/c/errors' is for error records"),
    (f'{{{IMAGE}, "OutputPath": "output/{"x" * 474}"}}'.encode(), "has more than 480 characters"),
    (f'{{{IMAGE}, "CompletedPath": 3}}'.encode(), "BadKey: 3 is not a folder below completed/"),
    (f'{{{IMAGE}, "CompletedPath": "completed/../input"}}'.encode(), "has an empty or dotted part"),
    (f'{{{IMAGE}, "CompletedPath": "input/c"}}'.encode(), "'input/c' is not below completed/"),
    (
        f'{{{IMAGE}, "CompletedPath": "completed/a\\u0000"}}'.encode(),
        r"'completed/a\x00' is not a key below completed/",
    ),
    (f'{{{IMAGE}, "CompletedPath": "completed\\\\..\\\\x"}}'.encode(), "is not a key below completed/"),
    (with_image("coco/none.jpg"), "Missing: coco/none.jpg does not exist or may not be read"),
]


@pytest.mark.parametrize(("document", "said"), BAD_INPUTS)
def test_bad_input_is_one_error_record_and_kept(document: bytes, said: str) -> None:
    """The record says what is wrong, the input is in failed/ as it was, and a good query beside it is served."""
    storage = bucket(bad=document, good=GOOD)
    before = dict(storage.objects)
    counts = served(storage, record("input/c/bad.json"), record("input/c/good.json"))
    assert counts == {"delivered": 1, "errors": 1, "duplicates": 0}
    assert said in only_error(storage)
    assert storage.objects["failed/c/bad.json"] == document
    assert set(storage.objects) == {
        "coco/1.jpg",
        "failed/c/bad.json",
        "output/c/errors/bad.json",
        "output/c/good.json",
        "completed/c/good.json",
    }
    assert unchanged(before, storage)


@pytest.mark.parametrize(
    ("more", "output", "completed"),
    [
        ("", "output/c/", "completed/c/"),
        (', "OutputPath": "output/o"', "output/o/", "completed/c/"),
        (', "CompletedPath": "completed/k/"', "output/c/", "completed/k/"),
        (', "OutputPath": "output", "CompletedPath": "completed"', "output/", "completed/"),
        (', "Other": {"deep": [1, null]}', "output/c/", "completed/c/"),
    ],
)
def test_optional_keys_may_be_missing(more: str, output: str, completed: str) -> None:
    """Either folder may be left out, and unknown keys are ignored."""
    storage = bucket(a=f"{{{IMAGE}{more}}}".encode())
    assert served(storage, record("input/c/a.json"))["delivered"] == 1
    assert {output + "a.json", completed + "a.json"} <= set(storage.objects)


def test_mark_of_utf8_is_no_content() -> None:
    """An input that an editor saved with a byte-order mark is served."""
    storage = bucket(a=b"\xef\xbb\xbf" + GOOD)
    assert served(storage, record("input/c/a.json"))["delivered"] == 1
