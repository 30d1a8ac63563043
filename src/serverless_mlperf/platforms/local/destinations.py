"""What Lambda writes to the destination or dead-letter queue of an asynchronous invocation (pure)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
import json
from typing import Any, Final, Literal

from serverless_mlperf.platforms.local.job import Outcome
from serverless_mlperf.platforms.local.model import FunctionSpec

Condition = Literal["Success", "RetriesExhausted", "EventAgeExceeded", "ZeroReservedConcurrency"]
RECORD_VERSION: Final = "1.0"
MAX_ERROR_MESSAGE_BYTES: Final = 1024
"""Of a dead letter's ErrorMessage (lambda/latest/dg/invocation-async-retain-records)."""
_UNANSWERED: Final = {
    "EventAgeExceeded": "Rate Exceeded.",
    "ZeroReservedConcurrency": "Function not invoked: it has no reserved concurrency left (0).",
}
"""Messages of dead letters that no invocation has written."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message on its way to a queue, a function or a bucket."""

    target_arn: str
    body: bytes
    sender: str
    """Name of the function whose invocation it is about."""
    attributes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Message attributes of a dead letter: name -> data type and value."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an event came to its end."""

    condition: Condition
    tries: int
    """Invocations so far."""
    outcome: Outcome | None
    """Of the last of them; None when there was none, or when a throttle came after it."""


def invocation_record(
    spec: FunctionSpec, arn: str, request_id: str, payload: bytes, ending: Ending, now_ns: int
) -> bytes:
    """The JSON document for a destination (lambda/latest/dg/invocation-async-retain-records)."""
    document: dict[str, Any] = {
        "version": RECORD_VERSION,
        "timestamp": _moment(now_ns).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "requestContext": {
            "requestId": request_id,
            "functionArn": _qualified(arn or spec.arn),
            "condition": ending.condition,
            "approximateInvokeCount": ending.tries,
        },
        "requestPayload": _document(payload),
    }
    if ending.outcome is not None:
        error = ending.outcome.function_error
        document["responseContext"] = {"statusCode": 200, "executedVersion": spec.version}
        document["responseContext"] |= {"functionError": error} if error else {}
        document["responsePayload"] = _document(ending.outcome.payload)
    return json.dumps(document, separators=(",", ":")).encode()


def dead_letter_attributes(request_id: str, ending: Ending) -> dict[str, tuple[str, str]]:
    """RequestID, ErrorCode and ErrorMessage of a dead letter (the same page); its body is the event itself."""
    answered = ending.outcome is not None
    message = ending.outcome.error_message if ending.outcome else _UNANSWERED.get(ending.condition)
    shortened = (message or "").encode()[:MAX_ERROR_MESSAGE_BYTES].decode(errors="ignore")
    return {
        "RequestID": ("String", request_id),
        "ErrorCode": ("Number", "200" if answered else "429"),
        # SQS takes no empty attribute.
        "ErrorMessage": ("String", shortened or "Unhandled"),
    }


def record_key(function_name: str, now_ns: int, unique: str) -> str:
    """Key of a record in a bucket, as that page gives it."""
    moment = _moment(now_ns)
    return f"aws/lambda/async/{function_name}/{moment:%Y/%m/%d}/{moment:%Y-%m-%dT%H.%M.%S}-{unique}"


def _qualified(arn: str) -> str:
    return arn if arn.count(":") > 6 else f"{arn}:$LATEST"


def _moment(now_ns: int) -> datetime:
    return datetime.fromtimestamp(now_ns / 1e9, UTC)


def _document(payload: bytes) -> Any:
    """A payload as JSON; what is none (a broken handler's answer) is told as text."""
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode(errors="replace")
