"""Notification configurations, read and written."""

from collections.abc import Iterable, Iterator
from typing import Final
import xml.etree.ElementTree as ET

from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.s3_store import Rule
from serverless_mlperf.platforms.local.gateway.s3_xml import document, element, parse, text

EVENTS: Final = (
    "s3:ObjectCreated:Put",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:CompleteMultipartUpload",
    "s3:ObjectRemoved:Delete",
    "s3:ObjectTagging:Put",
    "s3:ObjectTagging:Delete",
)
"""What happens here and is told."""
NEVER: Final = (
    "s3:ObjectCreated:Post",
    "s3:ObjectRemoved:DeleteMarkerCreated",
    "s3:ReducedRedundancyLostObject",
    "s3:ObjectRestore:",
    "s3:Replication:",
    "s3:LifecycleTransition",
    "s3:LifecycleExpiration:",
    "s3:IntelligentTiering",
    "s3:ObjectAcl:Put",
    "s3:ObjectAnnotation:",
)
"""S3's other events (AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations): taken, they never
come, since nothing here restores, replicates, expires or has versions and ACLs."""


def read_rules(body: bytes) -> tuple[Rule, ...]:
    """PutBucketNotificationConfiguration: its function and queue configurations."""
    root = parse(body, "NotificationConfiguration")
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
    for event in events:
        _check_event(event)
    rule_id = node.findtext("Id") or f"notification-{number}"
    return Rule(rule_id, kind, arn, events, filters.get("prefix", ""), filters.get("suffix", ""))


def _check_event(event: str) -> None:
    """ApiError for a name that is no event of S3's."""
    family = event.removesuffix("*")
    known = event in EVENTS or event.startswith(NEVER)
    if not known and not (
        event.endswith(":*") and event.count(":") == 2 and any(e.startswith(family) for e in (*EVENTS, *NEVER))
    ):
        raise ApiError(400, "InvalidArgument", "The event is not supported for notifications", {"Event": event})


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
