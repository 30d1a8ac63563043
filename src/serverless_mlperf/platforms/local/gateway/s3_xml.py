"""S3's XML documents, read and written."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from urllib.parse import quote
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape

from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.s3_store import Bucket, Page, Rule, StoredObject

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MAX_DOCUMENT_BYTES = 2 << 20


def element(name: str, *children: str) -> str:
    """An element with children that are XML already."""
    return f"<{name}>{''.join(children)}</{name}>"


def text(name: str, value: object) -> str:
    """An element with text."""
    return element(name, escape(str(value)))


def document(name: str, *children: str) -> bytes:
    """A whole document in S3's namespace."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} xmlns="{NAMESPACE}">{"".join(children)}</{name}>'.encode()


def error_document(error: ApiError, resource: str) -> bytes:
    """S3's error document."""
    body = element("Error", text("Code", error.code), text("Message", error.message), text("Resource", resource))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode()


def timestamp(moment: datetime) -> str:
    """ISO 8601 with milliseconds, as S3 writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def buckets_document(buckets: Iterable[Bucket]) -> bytes:
    """ListBuckets."""
    rows = (element("Bucket", text("Name", b.name), text("CreationDate", timestamp(b.created))) for b in buckets)
    return document("ListAllMyBucketsResult", element("Owner", text("ID", "local")), element("Buckets", *rows))


def listing_document(bucket: str, page: Page, query: dict[str, str], limit: int) -> bytes:
    """ListObjects, version 1 or 2 as asked."""
    version_2 = query.get("list-type") == "2"
    code = quote if query.get("encoding-type") == "url" else str
    head = [text("Name", bucket), text("Prefix", code(query.get("prefix", ""))), text("MaxKeys", limit)]
    head += [text(tag, code(query[name])) for name, tag in (("delimiter", "Delimiter"),) if name in query]
    head += [text("EncodingType", "url")] if code is quote else []
    head.append(text("IsTruncated", str(page.next_after is not None).lower()))
    if version_2:
        head.append(text("KeyCount", len(page.objects) + len(page.prefixes)))
    if page.next_after is not None:
        tag = "NextContinuationToken" if version_2 else "NextMarker"
        head.append(text(tag, page.next_after.encode().hex() if version_2 else code(page.next_after)))
    rows = (_contents(stored, code(stored.key)) for stored in page.objects)
    commons = (element("CommonPrefixes", text("Prefix", code(p))) for p in page.prefixes)
    return document("ListBucketResult", *head, *rows, *commons)


def _contents(stored: StoredObject, key: str) -> str:
    return element(
        "Contents",
        text("Key", key),
        text("LastModified", timestamp(stored.modified)),
        text("ETag", f'"{stored.etag}"'),
        text("Size", len(stored.body)),
        text("StorageClass", "STANDARD"),
    )


def parse(body: bytes) -> ET.Element:
    """Read a client's document with its namespace taken off; no entities, no doctype."""
    if len(body) > MAX_DOCUMENT_BYTES or b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise ApiError(400, "MalformedXML", "The XML you provided was not well-formed")
    try:
        root = ET.fromstring(body)  # noqa: S314 - doctype and entities are refused above
    except ET.ParseError as error:
        raise ApiError(400, "MalformedXML", f"The XML you provided was not well-formed: {error}") from None
    for node in root.iter():
        node.tag = node.tag.rpartition("}")[2]
    return root


def read_rules(body: bytes) -> tuple[Rule, ...]:
    """PutBucketNotificationConfiguration: its function and queue configurations."""
    root = parse(body)
    known = {"CloudFunctionConfiguration": "CloudFunction", "QueueConfiguration": "Queue"}
    wrong = [node.tag for node in root if node.tag not in known]
    if wrong:
        raise ApiError(501, "NotImplemented", f"The local platform notifies functions and queues only, not {wrong[0]}")
    rules = tuple(_rule(node, known[node.tag], number) for number, node in enumerate(root))
    _refuse_overlap(rules)
    return rules


def _rule(node: ET.Element, kind: str, number: int) -> Rule:
    filters = {(rule.findtext("Name") or "").lower(): rule.findtext("Value") or "" for rule in node.iter("FilterRule")}
    events = tuple(event.text or "" for event in node.findall("Event"))
    arn = node.findtext(kind) or ""
    if not arn.startswith("arn:") or not events or set(filters) - {"prefix", "suffix"}:
        raise ApiError(
            400, "InvalidArgument", "A notification needs an ARN, events, and no filter but prefix and suffix"
        )
    rule_id = node.findtext("Id") or f"notification-{number}"
    return Rule(rule_id, kind, arn, events, filters.get("prefix", ""), filters.get("suffix", ""))


def _refuse_overlap(rules: tuple[Rule, ...]) -> None:
    """S3 refuses two configurations whose prefixes and suffixes both overlap for a common event type."""
    for index, one in enumerate(rules):
        for other in rules[index + 1 :]:
            if _overlap(one, other):
                raise ApiError(
                    400,
                    "InvalidArgument",
                    "Configurations overlap. Configurations on the same bucket cannot share a common event type.",
                )


def _overlap(one: Rule, other: Rule) -> bool:
    events = any(
        a == b or a.startswith(b.rstrip("*")) or b.startswith(a.rstrip("*")) for a in one.events for b in other.events
    )
    prefixes = one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)
    suffixes = one.suffix.endswith(other.suffix) or other.suffix.endswith(one.suffix)
    return events and prefixes and suffixes


def rules_document(rules: Iterable[Rule]) -> bytes:
    """GetBucketNotificationConfiguration."""
    return document("NotificationConfiguration", *(element(f"{r.kind}Configuration", *_rule_parts(r)) for r in rules))


def _rule_parts(rule: Rule) -> Iterator[str]:
    yield text("Id", rule.id)
    yield text(rule.kind, rule.arn)
    yield from (text("Event", event) for event in rule.events)
    filters = [(n, v) for n, v in (("prefix", rule.prefix), ("suffix", rule.suffix)) if v]
    rows = (element("FilterRule", text("Name", n), text("Value", v)) for n, v in filters)
    if filters:
        yield element("Filter", element("S3Key", *rows))
