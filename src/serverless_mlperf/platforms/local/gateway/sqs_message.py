"""Messages of SQS: bodies, attributes, and the digests that clients verify."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
import hashlib
import re
import struct
from typing import Any, Final

from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.sqs_errors import invalid_parameter, refused
from serverless_mlperf.platforms.local.model import ACCOUNT_ID

MAX_ATTRIBUTES: Final = 10
MAX_MESSAGE_BYTES: Final = 1 << 20
"""Attributes and bytes of one message, and bytes of one batch (SQSDeveloperGuide/quotas-messages)."""
TRACE_HEADER: Final = "AWSTraceHeader"
_NAME: Final = re.compile(r"(?!\.)(?!.*\.\.)(?!.*\.$)(?i:(?!aws\.|amazon\.))[A-Za-z0-9_.-]{1,256}")
_TYPE: Final = re.compile(r"(String|Number|Binary)(\..{1,249})?")
_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no message may hold (APIReference/API_SendMessage)."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """A message attribute: `value` is text or, of a Binary one, bytes."""

    data_type: str
    value: str | bytes

    @property
    def raw(self) -> bytes:
        """The value's bytes."""
        return self.value if isinstance(self.value, bytes) else self.value.encode()

    def as_json(self) -> dict[str, str]:
        """As the API gives it."""
        if isinstance(self.value, bytes):
            return {"DataType": self.data_type, "BinaryValue": base64.b64encode(self.value).decode()}
        return {"DataType": self.data_type, "StringValue": self.value}

    @classmethod
    def from_json(cls, value: Mapping[str, str]) -> "Attribute":
        """The inverse."""
        binary = value.get("BinaryValue")
        return cls(value["DataType"], value["StringValue"] if binary is None else base64.b64decode(binary))


Attributes = Mapping[str, Attribute]


@dataclass(slots=True, eq=False)
class Message:
    """One message; `visible_at_s` is on the monotonic clock. Small: many may wait."""

    id: str
    body: str
    sent_ms: int
    attributes: Attributes = field(default_factory=dict)
    system_attributes: Attributes = field(default_factory=dict)
    visible_at_s: float = 0.0
    receipt: str = ""
    received: int = 0
    first_received_ms: int = 0
    dead_from: str = ""
    """ARN of the queue whose dead letter it is."""
    delay_s: float = 0.0
    """It was sent to be visible so much later."""

    def as_document(self) -> dict[str, Any]:
        """As it is kept, without its id: whether and how often it was received is not."""
        document = {"body": self.body, "sent_ms": self.sent_ms, "dead_from": self.dead_from, "delay_s": self.delay_s}
        for name, attributes in (("attributes", self.attributes), ("system_attributes", self.system_attributes)):
            document[name] = {key: attribute.as_json() for key, attribute in attributes.items()}
        return document

    @classmethod
    def from_document(cls, message_id: str, document: Mapping[str, Any]) -> "Message":
        """The message that was kept."""
        read = {
            name: {key: Attribute.from_json(value) for key, value in document[name].items()}
            for name in ("attributes", "system_attributes")
        }
        return cls(message_id, **{**document, **read})

    def sent_json(self) -> dict[str, str]:
        """As SendMessage answers."""
        found = {"MessageId": self.id, "MD5OfMessageBody": digest_of_text(self.body)}
        if self.attributes:
            found["MD5OfMessageAttributes"] = digest_of_attributes(self.attributes)
        if self.system_attributes:
            found["MD5OfMessageSystemAttributes"] = digest_of_attributes(self.system_attributes)
        return found

    def received_json(self, system_names: Iterable[str], attribute_names: Iterable[str]) -> dict[str, Any]:
        """As ReceiveMessage gives it, with the attributes asked for."""
        found: dict[str, Any] = {
            "MessageId": self.id,
            "ReceiptHandle": self.receipt,
            "MD5OfBody": digest_of_text(self.body),
            "Body": self.body,
        }
        system = set(system_names)
        if system:
            found["Attributes"] = {k: v for k, v in self._system().items() if "All" in system or k in system}
        chosen = {name: a for name, a in self.attributes.items() if _is_wanted(name, attribute_names)}
        if chosen:
            found["MessageAttributes"] = {name: attribute.as_json() for name, attribute in chosen.items()}
            found["MD5OfMessageAttributes"] = digest_of_attributes(chosen)
        return found

    def _system(self) -> dict[str, str]:
        trace = self.system_attributes.get(TRACE_HEADER)
        return {
            "SenderId": ACCOUNT_ID,
            "SentTimestamp": str(self.sent_ms),
            "ApproximateReceiveCount": str(self.received),
            "ApproximateFirstReceiveTimestamp": str(self.first_received_ms),
            **({"DeadLetterQueueSourceArn": self.dead_from} if self.dead_from else {}),
            **({TRACE_HEADER: str(trace.value)} if trace else {}),
        }


def read_attributes(values: object, *, system: bool = False) -> dict[str, Attribute]:
    """MessageAttributes or MessageSystemAttributes of a request; raises ApiError."""
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(value, dict) for value in values.values()):
        raise refused("SerializationException", "Message attributes must be a structure")
    if len(values) > MAX_ATTRIBUTES:
        raise invalid_parameter("MessageAttributes", len(values), f"At most {MAX_ATTRIBUTES} attributes are allowed")
    if system and values.keys() - {TRACE_HEADER}:
        raise refused("InvalidParameterValue", f"Message system attribute name must be {TRACE_HEADER}.")
    return {name: _attribute(name, value) for name, value in values.items()}


def check_body(body: object) -> str:
    """A message's text; raises ApiError for what SQS does not carry."""
    if not isinstance(body, str):
        raise refused("SerializationException", "MessageBody must be a string")
    if not body:
        raise refused("MissingParameter", "The request must contain the parameter MessageBody.")
    if _FORBIDDEN.search(body):
        raise refused("InvalidMessageContents", "The message contains characters outside the allowed set.")
    return body


def size_of(body: str, attributes: Attributes) -> int:
    """Bytes that count against the limit of a message: body, names, types and values."""
    extra = sum(len(name.encode()) + len(a.data_type.encode()) + len(a.raw) for name, a in attributes.items())
    return len(body.encode()) + extra


def digest_of_text(body: str) -> str:
    """MD5 of a body."""
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def digest_of_attributes(attributes: Attributes) -> str:
    """MD5 of message attributes (SQSDeveloperGuide/sqs-message-metadata, "Calculating the MD5 message digest")."""
    digest = hashlib.md5(usedforsecurity=False)
    for name, attribute in sorted(attributes.items()):
        kind = b"\x02" if isinstance(attribute.value, bytes) else b"\x01"
        parts = (_measured(name.encode()), _measured(attribute.data_type.encode()), kind, _measured(attribute.raw))
        digest.update(b"".join(parts))
    return digest.hexdigest()


def _measured(raw: bytes) -> bytes:
    return struct.pack(">I", len(raw)) + raw


def _is_wanted(name: str, wanted: Iterable[str]) -> bool:
    """Names, `All`, `.*`, or a prefix that ends in `.*`."""
    return any(w in {"All", ".*", name} or (w.endswith(".*") and name.startswith(w[:-2])) for w in wanted)


def _attribute(name: str, value: Mapping[str, Any]) -> Attribute:
    if not _NAME.fullmatch(name):
        raise refused("InvalidParameterValue", f"Message attribute name {name!r} is not valid.")
    data_type = value.get("DataType")
    if not isinstance(data_type, str) or not _TYPE.fullmatch(data_type):
        text = f"The message attribute '{name}' has an invalid message attribute type, the set of supported type "
        raise refused("InvalidParameterValue", text + "prefixes is Binary, Number, and String.")
    key = "BinaryValue" if data_type.startswith("Binary") else "StringValue"
    found = value.get(key)
    if not isinstance(found, str) or not found:
        text = f"The message attribute '{name}' must contain a non-empty message attribute value for message attribute"
        raise refused("InvalidParameterValue", f"{text} type '{data_type}'.")
    return Attribute(data_type, _binary(name, found) if key == "BinaryValue" else _text(name, data_type, found))


def _text(name: str, data_type: str, value: str) -> str:
    if _FORBIDDEN.search(value):
        raise refused("InvalidMessageContents", f"The message attribute '{name}' contains invalid characters.")
    if data_type.startswith("Number") and not _is_number(value):
        raise refused("InvalidParameterValue", f"Can't cast the value of message attribute '{name}' to a number.")
    return value


def _is_number(value: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value) is not None


def _binary(name: str, value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise _not_base64(name) from None


def _not_base64(name: str) -> ApiError:
    return refused("SerializationException", f"The message attribute '{name}' is not base64")
