"""What an S3 event says, and to whom: functions through the executor, queues directly."""

from collections.abc import Callable
import json
from typing import Any, Final
from urllib.parse import quote_plus

from serverless_mlperf.platforms.local.gateway.s3_store import Bucket, StoredObject
from serverless_mlperf.platforms.local.gateway.s3_xml import timestamp
from serverless_mlperf.platforms.local.model import ACCOUNT_ID, REGION

EVENT_VERSION: Final = "2.1"

Tell = Callable[[str, bytes], None]
"""Target ARN and payload."""


class Notifier:
    """Matches created objects with a bucket's rules and tells their targets."""

    def __init__(self, tell_function: Tell, tell_queue: Tell) -> None:
        self._tell = {"CloudFunction": tell_function, "Queue": tell_queue}

    def created(self, bucket: Bucket, stored: StoredObject, how: str) -> None:
        """An object was created by `how` (Put, Copy, CompleteMultipartUpload)."""
        for rule in bucket.rules:
            if rule.matches(f"s3:ObjectCreated:{how}", stored.key):
                record = event_record(bucket.name, stored, f"ObjectCreated:{how}", rule.id)
                self._tell[rule.kind](rule.arn, json.dumps({"Records": [record]}, separators=(",", ":")).encode())


def event_record(bucket: str, stored: StoredObject, event_name: str, rule_id: str) -> dict[str, Any]:
    """One record (AmazonS3/latest/userguide/notification-content-structure); the key is url-encoded."""
    return {
        "eventVersion": EVENT_VERSION,
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": timestamp(stored.modified),
        "eventName": event_name,
        "userIdentity": {"principalId": f"AWS:{ACCOUNT_ID}"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": stored.sequencer, "x-amz-id-2": stored.sequencer},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": rule_id,
            "bucket": {"name": bucket, "ownerIdentity": {"principalId": ACCOUNT_ID}, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {
                "key": quote_plus(stored.key, safe="/"),
                "size": len(stored.body),
                "eTag": stored.etag,
                "sequencer": stored.sequencer,
            },
        },
    }
