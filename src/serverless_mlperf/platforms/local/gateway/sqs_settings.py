"""Attributes of a queue: what each may be, and a queue's dead letters (RedrivePolicy)."""

from collections.abc import Mapping
from dataclasses import dataclass
import re
from typing import Any, Final

from serverless_mlperf.platforms.local.gateway.errors import not_implemented
from serverless_mlperf.platforms.local.gateway.sqs_errors import invalid_parameter, refused
from serverless_mlperf.platforms.local.gateway.sqs_message import MAX_MESSAGE_BYTES
from serverless_mlperf.platforms.local.json_text import read_json

DEFAULTS: Final = {
    "VisibilityTimeout": "30",
    "DelaySeconds": "0",
    "ReceiveMessageWaitTimeSeconds": "0",
    "MessageRetentionPeriod": "345600",
    "MaximumMessageSize": str(MAX_MESSAGE_BYTES),
    "SqsManagedSseEnabled": "true",
}
"""Of CreateQueue (AWSSimpleQueueService/latest/APIReference/API_CreateQueue)."""
_RANGES: Final = {
    "VisibilityTimeout": range(43_201),
    "DelaySeconds": range(901),
    "ReceiveMessageWaitTimeSeconds": range(21),
    "MessageRetentionPeriod": range(60, 1_209_601),
    "MaximumMessageSize": range(1024, MAX_MESSAGE_BYTES + 1),
}
_FIFO: Final = ("FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit")
_KEPT: Final = ("Policy", "SqsManagedSseEnabled", "RedriveAllowPolicy")
"""Kept and given back. Policies are not enforced: the platform has one user."""
_COMPUTED: Final = (
    "QueueArn", "CreatedTimestamp", "LastModifiedTimestamp", "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed",
)  # fmt: skip
KNOWN: Final = frozenset((*DEFAULTS, *_KEPT, *_COMPUTED, *_FIFO, "RedrivePolicy", "KmsMasterKeyId",
                          "KmsDataKeyReusePeriodSeconds", "All"))  # fmt: skip
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")


@dataclass(frozen=True, slots=True)
class Redrive:
    """After how many receives a message goes to which queue."""

    target_arn: str
    max_receives: int


def check_name(name: object) -> str:
    """A queue's name; raises ApiError."""
    if isinstance(name, str) and name.endswith(".fifo"):
        raise not_implemented("FIFO queues; use a standard one")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        text = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        raise refused("InvalidParameterValue", text)
    return name


def check_settings(values: object) -> dict[str, str]:
    """Attributes of CreateQueue or SetQueueAttributes; raises ApiError for what would not be honoured."""
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise refused("SerializationException", "Attributes must be a map of strings")
    for name, value in values.items():
        _check(name, value)
    return values


def check_names(names: object) -> set[str]:
    """AttributeNames of a request; raises ApiError."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise refused("SerializationException", "AttributeNames must be a list of strings")
    for name in names:
        if name not in KNOWN:
            raise refused("InvalidAttributeName", f"Unknown Attribute {name}.")
    return set(names)


def redrive_of(settings: Mapping[str, str]) -> Redrive | None:
    """A queue's dead letters; None when it has none. Raises ApiError."""
    text = settings.get("RedrivePolicy")
    if not text:
        return None
    try:
        document: Any = read_json(text.encode())
        redrive = Redrive(str(document["deadLetterTargetArn"]), int(document["maxReceiveCount"]))
    except KeyError as error:
        raise invalid_parameter("RedrivePolicy", text, f"Redrive policy lacks the attribute {error}") from None
    except (ValueError, TypeError):
        raise _invalid("RedrivePolicy", text) from None
    if not 1 <= redrive.max_receives <= 1000 or ":sqs:" not in redrive.target_arn:
        raise _invalid("RedrivePolicy", text)
    return redrive


def _check(name: str, value: str) -> None:
    if name in _RANGES:
        if not re.fullmatch(r"\d{1,9}", value) or int(value) not in _RANGES[name]:
            raise _invalid(name, value)
    elif name in _FIFO:
        raise not_implemented(f"FIFO queues ({name}); use a standard one")
    elif name.startswith("Kms"):
        raise not_implemented(f"encryption with keys of KMS ({name})")
    elif name not in (*_KEPT, "RedrivePolicy"):
        raise refused("InvalidAttributeName", f"Unknown Attribute {name}.")


def _invalid(name: str, value: str) -> Exception:
    return refused("InvalidAttributeValue", f"Invalid value for the parameter {name}: {value[:200]}")
