"""What requests to SQS say, checked."""

import re
from typing import Any, Final

from serverless_mlperf.platforms.local.gateway.sqs_errors import invalid_parameter, refused
from serverless_mlperf.platforms.local.gateway.sqs_message import MAX_MESSAGE_BYTES
from serverless_mlperf.platforms.local.json_text import read_json

MAX_BATCH: Final = 10
MAX_TAGS: Final = 50
RECEIPT: Final = re.compile(r"[0-9a-f]{32}")
"""Receipt handles as sqs_queue makes them: one of another form was never given to anybody."""

Values = dict[str, Any]


def read_parameters(body: bytes) -> Values:
    """The JSON object of a request; raises ApiError."""
    try:
        values = read_json(body or b"{}")
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise refused("SerializationException", "The body is not a JSON object")
    return values


def read_whole(values: Values, name: str, default: int | None, allowed: range) -> int:
    """A whole number of a request; SDKs of the query protocol send text. Raises ApiError."""
    value = values.get(name)
    if value is None:
        if default is None:
            raise refused("MissingParameter", f"The request must contain the parameter {name}.")
        return default
    text = str(value)
    if not re.fullmatch(r"\d{1,9}", text) or int(text) not in allowed:
        raise invalid_parameter(name, text[:40], f"Must be between {allowed.start} and {allowed.stop - 1}, if provided")
    return int(text)


def read_strings(values: Values, name: str) -> list[str]:
    """A list of strings of a request, empty by default; raises ApiError."""
    found = values.get(name) or []
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise refused("SerializationException", f"{name} must be a list of strings")
    return found


def read_receipt(values: Values) -> str:
    """The receipt handle of a request; raises ApiError."""
    receipt = values["ReceiptHandle"]
    if not isinstance(receipt, str) or not RECEIPT.fullmatch(receipt):
        raise refused("ReceiptHandleIsInvalid", f'The input receipt handle "{receipt}" is not a valid receipt handle.')
    return receipt


def read_entries(entries: object) -> list[Values]:
    """The entries of a batch; raises ApiError for a batch that SQS refuses as a whole."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise refused("SerializationException", "Entries must be a list of structures")
    if not entries:
        raise refused("EmptyBatchRequest", "There should be at least one entry in the request.")
    if len(entries) > MAX_BATCH:
        text = f"Maximum number of entries per request are {MAX_BATCH}. You have sent {len(entries)}."
        raise refused("TooManyEntriesInBatchRequest", text)
    ids = [entry["Id"] for entry in entries]
    for one in ids:
        if not isinstance(one, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", one):
            text = "A batch entry id can only contain alphanumeric characters, hyphens and underscores."
            raise refused("InvalidBatchEntryId", f"{text} It can be at most 80 letters long.")
    twice = next((one for one in ids if ids.count(one) > 1), None)
    if twice is not None:
        raise refused("BatchEntryIdsNotDistinct", f"Id {twice} repeated.")
    return entries


def check_batch_size(entries: list[Values]) -> None:
    """Raise ApiError for a batch that is too long as a whole."""
    total = sum(len(str(entry.get("MessageBody", "")).encode("utf-8", "replace")) for entry in entries)
    if total > MAX_MESSAGE_BYTES:
        text = f"Batch requests cannot be longer than {MAX_MESSAGE_BYTES} bytes. You have sent {total} bytes."
        raise refused("BatchRequestTooLong", text)


def read_tags(values: object) -> dict[str, str]:
    """Tags of a queue; raises ApiError."""
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise refused("SerializationException", "Tags must be a map of strings")
    if len(values) > MAX_TAGS:
        raise refused("InvalidParameterValue", f"Too many tags added for queue; at most {MAX_TAGS} are allowed.")
    return values
