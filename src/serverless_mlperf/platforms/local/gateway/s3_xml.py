"""S3's XML documents, read and written."""

from datetime import datetime
import re
from typing import Final
import xml.etree.ElementTree as ET

from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.http import Response
from serverless_mlperf.platforms.local.gateway.s3_errors import malformed_xml
from serverless_mlperf.platforms.local.model import ACCOUNT_ID

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
XML: Final = {"content-type": "application/xml"}
MAX_DOCUMENT_BYTES: Final = 2 << 20
# Control characters are no part of XML 1.0; S3 writes them as references all the same, and so a key is never changed
# by a parser's line-end rules.
_SPECIAL: Final = re.compile('[&<>"\x00-\x1f]')
_ESCAPES: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", **{chr(n): f"&#x{n:x};" for n in range(32)}}
)


def element(name: str, *children: str) -> str:
    """An element with children that are XML already."""
    return f"<{name}>{''.join(children)}</{name}>"


def text(name: str, value: object) -> str:
    """An element with text."""
    return f"<{name}>{escaped(str(value))}</{name}>"


def escaped(value: str) -> str:
    """Text as XML carries it; most of it needs no change, and to see that is quicker than to change it."""
    return value.translate(_ESCAPES) if _SPECIAL.search(value) else value


def document(name: str, *children: str) -> bytes:
    """A whole document in S3's namespace."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} xmlns="{NAMESPACE}">{"".join(children)}</{name}>'.encode()


def answer(name: str, *children: str) -> Response:
    """A document as an answer."""
    return Response(200, document(name, *children), XML)


def owner(name: str = "Owner") -> str:
    """The one account, as the owner of everything."""
    return element(name, text("ID", ACCOUNT_ID))


def error_document(error: ApiError, request_id: str, host_id: str) -> bytes:
    """S3's error document (AmazonS3/latest/API/ErrorResponses)."""
    parts = [text("Code", error.code), text("Message", error.message)]
    parts += [text(name, value) for name, value in error.details.items()]
    body = element("Error", *parts, text("RequestId", request_id), text("HostId", host_id))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode()


def timestamp(moment: datetime) -> str:
    """ISO 8601 with milliseconds, as S3 writes it."""
    return moment.isoformat(timespec="milliseconds")[:23] + "Z"


def parse(body: bytes, *names: str) -> ET.Element:
    """Read a client's document with its namespace taken off; no entities, no doctype, no other root than these."""
    # What is not ASCII's superset has NULs between its letters, and could hide a doctype.
    if len(body) > MAX_DOCUMENT_BYTES or b"<!DOCTYPE" in body or b"<!ENTITY" in body or b"\0" in body:
        raise malformed_xml()
    try:
        root = ET.fromstring(body)  # noqa: S314 - doctype and entities are refused above
    except (ET.ParseError, LookupError, ValueError):  # the latter two for an encoding that is none, or none of expat's
        raise malformed_xml() from None
    for node in root.iter():
        node.tag = node.tag.rpartition("}")[2]
    if names and root.tag not in names:
        raise malformed_xml()
    return root
