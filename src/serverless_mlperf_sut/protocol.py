"""Input and output JSON as values, and the names of the objects they live in.

A query comes as an object below `input/` (an S3 event tells its key) or as the event itself (a direct invocation):
`{"ImageFilenames": ["imagenet/a.JPEG"]}`, and then it may carry its one image in base64 as `ImageBytes`, which is used
instead of the object of that name.

Standard library only: the client side reads this module too. Keys from events and inputs are hostile until
checked here.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
import hashlib
import json
from pathlib import PurePosixPath
import re
from typing import Any, Final, TypeGuard
from urllib.parse import unquote_plus

MODEL_FOLDERS: Final[dict[str, str]] = {
    "classification": "mobilenetv1/FP32/",
    "object_detection": "ssd-mobilenetv1/FP32/",
}
"""Task -> folder below MODELS_PATH."""

MODEL_FILES: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("classification", "ie-ir"): ("mobilenet_v1_224_frozen.xml", "mobilenet_v1_224_frozen.bin"),
    ("classification", "ocv-cf"): ("mobilenet_v1_224_frozen.prototxt", "mobilenet_v1_224_frozen.caffemodel"),
    ("classification", "ocv-tf"): ("mobilenet_v1_224_frozen.pb",),
    ("object_detection", "ie-ir"): ("mobilenet_V1_coco.xml", "mobilenet_V1_coco.bin"),
    ("object_detection", "ocv-cf"): ("mobilenet-ssd.prototxt", "mobilenet-ssd.caffemodel"),
    ("object_detection", "ocv-tf"): ("ssdmobilenet_V1_coco.pbtxt", "ssdmobilenet_V1_coco.pb"),
    ("classification", "fake"): (),
    ("object_detection", "fake"): (),
}
"""(task, engine-and-format) -> file names, structure first, weights second."""

MAX_INPUT_BYTES: Final = 256 * 1024
"""An input names some images; Lambda's own cap for asynchronous events is the same."""
MAX_REQUEST_BYTES: Final = 6 * 2**20
"""A request to Lambda's Invoke must be smaller than this (lambda/latest/dg/gettingstarted-limits)."""
MAX_IMAGES: Final = 64
MAX_FOLDER: Final = 480
"""Characters of OutputPath and CompletedPath: with `errors/` and the longest base name still a key (1024 bytes)."""
IMAGE_ROOTS: Final = ("coco", "imagenet", "synthetic")

_KEY = re.compile(r"(coco|imagenet|synthetic|models|input|output|completed|failed)/[A-Za-z0-9._/-]{1,512}")


class QueryError(Exception):
    """A query that cannot be served; it becomes an error record, the invocation succeeds."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(f"{error_type}: {message}")
        self.type = error_type
        self.message = message


@dataclass(frozen=True, slots=True)
class Query:
    """What an input JSON asks for; every key and folder in it has been checked."""

    image_filenames: tuple[str, ...]
    output_path: str = "output/"
    completed_path: str = "completed/"


def check_key(key: object, roots: tuple[str, ...]) -> str:
    """Return `key` if it is a plain object key below one of `roots`, else raise QueryError."""
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        below = " or ".join(root + "/" for root in roots)
        raise QueryError("BadKey", f"{_shown(key)} is not a key below {below}, of at most 512 letters, digits and ._-/")
    parts = key.split("/")
    # An empty last part is a folder; `.` and `..` are legal in S3 but never in a path made of the key.
    if any(part in (".", "..") for part in parts) or "" in parts:
        raise QueryError("BadKey", f"{_shown(key)} has an empty or dotted part")
    if parts[0] not in roots:
        raise QueryError("BadKey", f"{_shown(key)} is not below {' or '.join(root + '/' for root in roots)}")
    return key


def check_event_key(key: object) -> str:
    """Return the key of an input object if it is `input/...json`, else raise QueryError."""
    try:
        checked = check_key(key, ("input",))
    except QueryError as error:
        raise QueryError("BadEventKey", error.message) from error
    if not checked.endswith(".json"):
        raise QueryError("BadEventKey", f"{_shown(key)} does not end in .json")
    return checked


def default_query(event_key: str = "") -> Query:
    """Folders of a query that names none: those of its own input with the root replaced, else the top ones."""
    try:
        below = check_event_key(event_key).partition("/")[2]
    except QueryError:
        below = ""
    folder = below[: below.rfind("/") + 1]
    return Query((), f"output/{folder}", f"completed/{folder}")


def parse_query(document: bytes | str | Mapping[str, Any], event_key: str = "") -> Query:
    """Read an input JSON, as text or already decoded; unknown keys are ignored. Raises QueryError."""
    values = document if isinstance(document, Mapping) else _load(document)
    default = default_query(event_key)
    return Query(
        _images(values.get("ImageFilenames")),
        _folder(values.get("OutputPath", default.output_path), "output"),
        _folder(values.get("CompletedPath", default.completed_path), "completed"),
    )


def render_query(query: Query) -> bytes:
    """Write an input JSON in the seed's keys and order."""
    return _dump(
        {
            "CompletedPath": query.completed_path,
            "ImageFilenames": list(query.image_filenames),
            "OutputPath": query.output_path,
        }
    )


def parse_image_bytes(document: Mapping[str, Any], query: Query) -> bytes | None:
    """The image that a direct invocation carries, decoded; None without any. Raises QueryError."""
    text = document.get("ImageBytes")
    if text is None:
        return None
    if len(query.image_filenames) != 1:
        raise QueryError("BadInput", f"ImageBytes is one image, ImageFilenames names {len(query.image_filenames)}")
    if not isinstance(text, str) or not 0 < len(text) < MAX_REQUEST_BYTES:
        raise QueryError("BadInput", f"ImageBytes must be text of 1 to {MAX_REQUEST_BYTES - 1} characters")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise QueryError("BadInput", f"ImageBytes is not base64: {error}") from error


def render_invocation(image_key: str, image: bytes | None = None) -> bytes:
    """Write the event of a direct invocation for one image; with `image`, the file itself travels in it."""
    event: dict[str, Any] = {"ImageFilenames": [image_key]}
    if image is not None:
        event["ImageBytes"] = base64.b64encode(image).decode()
    return _dump(event)


def event_records(event: Mapping[str, Any]) -> list[object]:
    """Records of an S3 event, each to be served on its own; a test event of S3 has none and is ignored."""
    records = event.get("Records", ())
    if not isinstance(records, list | tuple):
        raise QueryError("BadEvent", f"Records is {_shown(records)}, not a list")
    return list(records)


def parse_s3_event(event: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys of all the records of an S3 event; raises QueryError if there is one without."""
    return tuple(record_key(record) for record in event_records(event))


def record_key(record: object) -> str:
    """Key of the object that a record tells of, url-decoded and not yet checked; raises QueryError.

    The bucket in the event is ignored: the environment fixes it.
    """
    try:
        key = record["s3"]["object"]["key"]  # type: ignore[index]
    except (KeyError, TypeError, IndexError) as error:
        raise QueryError("BadEvent", "a record has no s3.object.key") from error
    if not isinstance(key, str):
        raise QueryError("BadEvent", f"a record's s3.object.key is {_shown(key)}, not text")
    return unquote_plus(key)


def is_s3_event(event: object) -> TypeGuard[Mapping[str, Any]]:
    """Tell an S3 event (or S3's test event) from an input JSON given directly."""
    return isinstance(event, Mapping) and ("Records" in event or event.get("Event") == "s3:TestEvent")


def output_key(query: Query, event_key: str) -> str:
    """Where the result of a query goes."""
    return query.output_path + base_name(event_key)


def error_key(query: Query, event_key: str) -> str:
    """Where the error record of a query goes; for a key that is itself unsafe, a name made of its digest."""
    try:
        name = base_name(check_event_key(event_key))
    except QueryError:
        name = _rejected(event_key)
    return f"{query.output_path}errors/{name}"


def malformed_key(request_id: str, number: int) -> str:
    """Where the error record of an event's record that names no object goes; a retry of the event finds the same."""
    return f"output/errors/{_rejected(f'{request_id} {number}')}"


def completed_key(query: Query, event_key: str) -> str:
    """Where the input of a served query is kept."""
    return query.completed_path + base_name(event_key)


def failed_key(event_key: str) -> str:
    """Where the input of a query that cannot be served is kept: its folders below `input/` stay."""
    return f"failed/{event_key.partition('/')[2]}"


def base_name(key: str) -> str:
    """Last part of a key."""
    return PurePosixPath(key).name


def render_output(
    query: Query, result: list[Any], inf_perf: list[dict[str, float | None]], sut: Mapping[str, Any]
) -> dict[str, Any]:
    """Output JSON in the seed's keys, with ours under `sut`."""
    return {
        "ImageFilenames": list(query.image_filenames),
        "inf_perf": inf_perf,
        "result": result,
        "start_time": sut["start_ns"] / 1e9,
        "finish_time": sut["finish_ns"] / 1e9,
        "sut": dict(sut),
    }


def render_error(query: Query, error: QueryError, sut: Mapping[str, Any]) -> dict[str, Any]:
    """Error record: why a query was not served, with as much as is known of the attempt."""
    return {
        "error": {"type": error.type, "message": error.message},
        "ImageFilenames": list(query.image_filenames),
        "sut": dict(sut),
    }


def encode(document: Mapping[str, Any]) -> bytes:
    """JSON bytes of an output or error record."""
    return _dump(document)


def _dump(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def _load(document: bytes | str) -> dict[str, Any]:
    if len(document) > MAX_INPUT_BYTES:
        raise QueryError("BadInput", f"input JSON of {len(document)} bytes is larger than {MAX_INPUT_BYTES}")
    try:
        text = document if isinstance(document, str) else document.decode("utf-8-sig")
        values = json.loads(text, object_pairs_hook=_unambiguous, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:  # JSON and UTF-8 errors are ValueErrors; deep nesting recurses
        raise QueryError("BadInput", f"input is not JSON: {str(error)[:200]}") from error
    if not isinstance(values, dict):
        raise QueryError("BadInput", f"input JSON is a {type(values).__name__}, not an object")
    return values


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values under one name JSON readers take one or the other: the query would not be what was meant."""
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{_shown(twice)} occurs twice in one object")
    return values


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _images(names: object) -> tuple[str, ...]:
    if not isinstance(names, list | tuple) or not 1 <= len(names) <= MAX_IMAGES:
        found = f"{len(names)} of them" if isinstance(names, list | tuple) else _shown(names)
        raise QueryError("BadInput", f"ImageFilenames must be a list of 1 to {MAX_IMAGES} keys, not {found}")
    return tuple(check_key(name, IMAGE_ROOTS) for name in names)


def _folder(path: object, root: str) -> str:
    if not isinstance(path, str):
        raise QueryError("BadKey", f"{_shown(path)} is not a folder below {root}/")
    folder = path.removesuffix("/")
    if folder != root:
        check_key(folder, (root,))
    if len(folder) > MAX_FOLDER:
        raise QueryError("BadKey", f"folder {_shown(path)} has more than {MAX_FOLDER} characters")
    if root == "output" and "errors" in folder.split("/"):
        raise QueryError("BadKey", f"folder {_shown(path)} is for error records: choose another OutputPath")
    return f"{folder}/"


def _rejected(what: str) -> str:
    """Base name of an error record whose query has no name that may be used."""
    return f"rejected-{hashlib.sha256(what.encode(errors='replace')).hexdigest()[:16]}.json"


def _shown(value: object) -> str:
    """A value of the input for a message: one short line, whatever it is (a deep list cannot even be printed)."""
    if isinstance(value, str):
        return repr(value[:100]) + ("..." if len(value) > 100 else "")
    return repr(value)[:40] if value is None or isinstance(value, int | float) else f"a {type(value).__name__}"
