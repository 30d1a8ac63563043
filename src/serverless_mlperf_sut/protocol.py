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
from typing import Any, Final
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
        raise QueryError("BadKey", f"{_shown(key)} is not a key of this bucket's layout")
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


def parse_s3_event(event: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys of the objects an S3 event tells of, url-decoded and not yet checked.

    The bucket in the event is ignored: the environment fixes it. A test event of S3 has no records.
    """
    records = event.get("Records", ())
    if not isinstance(records, list | tuple):
        raise QueryError("BadEvent", "Records is not a list")
    return tuple(_record_key(record) for record in records)


def is_s3_event(event: object) -> bool:
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
        digest = hashlib.sha256(event_key.encode(errors="replace")).hexdigest()
        name = f"rejected-{digest[:16]}.json"
    return f"{query.output_path}errors/{name}"


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
        values = json.loads(document)
    except (ValueError, RecursionError) as error:  # JSON and UTF-8 errors are ValueErrors; deep nesting recurses
        raise QueryError("BadInput", f"input is not JSON: {str(error)[:200]}") from error
    if not isinstance(values, dict):
        raise QueryError("BadInput", f"input JSON is a {type(values).__name__}, not an object")
    return values


def _images(names: object) -> tuple[str, ...]:
    if not isinstance(names, list | tuple) or not 1 <= len(names) <= MAX_IMAGES:
        raise QueryError("BadInput", f"ImageFilenames must be a list of 1 to {MAX_IMAGES} keys")
    return tuple(check_key(name, IMAGE_ROOTS) for name in names)


def _folder(path: object, root: str) -> str:
    if not isinstance(path, str):
        raise QueryError("BadKey", f"{_shown(path)} is not a folder")
    folder = path.removesuffix("/")
    if folder != root:
        check_key(folder, (root,))
    return f"{folder}/"


def _record_key(record: object) -> str:
    try:
        key = record["s3"]["object"]["key"]  # type: ignore[index]
    except (KeyError, TypeError, IndexError) as error:
        raise QueryError("BadEvent", "a record has no s3.object.key") from error
    if not isinstance(key, str):
        raise QueryError("BadEvent", "a record's s3.object.key is not text")
    return unquote_plus(key)


def _shown(key: object) -> str:
    return repr(key)[:120]
