"""What an S3 event says, and to whom: functions through the executor, queues directly."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
import json
from typing import Any, Final
from urllib.parse import quote_plus

from serverless_mlperf.platforms.local.faults import FaultBoard
from serverless_mlperf.platforms.local.gateway.event_faults import EventFaults
from serverless_mlperf.platforms.local.gateway.notification_guard import NotificationGuard
from serverless_mlperf.platforms.local.gateway.s3_store import Bucket, StoredObject
from serverless_mlperf.platforms.local.gateway.s3_xml import timestamp
from serverless_mlperf.platforms.local.model import ACCOUNT_ID

EVENT_VERSION: Final = "2.1"
WITH_CONTENT: Final = "ObjectCreated:"
"""Events that carry size and ETag; others are about an object that is gone or unchanged."""

Tell = Callable[[str, bytes], None]
"""Target ARN and payload."""


class Notifier:
    """Matches what happened to objects with a bucket's rules and tells their targets."""

    def __init__(
        self, tell_function: Tell, tell_queue: Tell, guard: NotificationGuard, faults: FaultBoard | None = None
    ) -> None:
        self._tell = {"CloudFunction": tell_function, "Queue": tell_queue}
        self.guard = guard
        self._faults = faults or FaultBoard()
        self._disturbance = EventFaults()

    def tell(self, bucket: Bucket, stored: StoredObject, event: str, request_id: str) -> None:
        """An event (`ObjectCreated:Put`) happened to an object because of a request."""
        for rule in bucket.rules:
            if rule.matches(f"s3:{event}", stored.key) and self.guard.permits(bucket, rule):
                record = event_record(bucket, stored, event, rule.id, request_id)
                payload = json.dumps({"Records": [record]}, separators=(",", ":")).encode()
                if (plan := self._faults.plan) is None or not plan.settings.concerns_event(rule.arn, stored.key):
                    self._tell[rule.kind](rule.arn, payload)
                else:
                    deliver = partial(self._tell[rule.kind], rule.arn, payload)
                    self._disturbance.deliver(plan, rule.arn, stored.key, deliver)

    def test(self, bucket: Bucket, request_id: str) -> None:
        """Send each queue of a new configuration S3's test message; of functions S3 looks at the permission alone.

        AmazonS3/latest/API/API_PutBucketNotificationConfiguration. No fault befalls it: it is about no object.
        """
        payload = json.dumps(test_message(bucket, request_id), separators=(",", ":")).encode()
        for arn in dict.fromkeys(rule.arn for rule in bucket.rules if rule.kind == "Queue"):
            self._tell["Queue"](arn, payload)

    def close(self) -> None:
        """Deliver no more of what is late."""
        self._disturbance.close()


def test_message(bucket: Bucket, request_id: str) -> dict[str, str]:
    """What S3 sends when it is configured (AmazonS3/latest/userguide/notification-content-structure)."""
    return {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": timestamp(datetime.now(UTC)),
        "Bucket": bucket.name,
        "RequestId": request_id,
        "HostId": request_id,
    }


def event_record(bucket: Bucket, stored: StoredObject, event: str, rule_id: str, request_id: str) -> dict[str, Any]:
    """One record (AmazonS3/latest/userguide/notification-content-structure); the key is url-encoded."""
    subject: dict[str, Any] = {"key": quote_plus(stored.key, safe="/")}
    if event.startswith(WITH_CONTENT):
        subject |= {"size": len(stored.body), "eTag": stored.etag}
    return {
        "eventVersion": EVENT_VERSION,
        "eventSource": "aws:s3",
        "awsRegion": bucket.region,
        "eventTime": timestamp(stored.modified),
        "eventName": event,
        "userIdentity": {"principalId": f"AWS:{ACCOUNT_ID}"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": request_id, "x-amz-id-2": request_id},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": rule_id,
            "bucket": {
                "name": bucket.name,
                "ownerIdentity": {"principalId": ACCOUNT_ID},
                "arn": f"arn:aws:s3:::{bucket.name}",
            },
            "object": {**subject, "sequencer": stored.sequencer},
        },
    }
