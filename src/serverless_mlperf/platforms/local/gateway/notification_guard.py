"""Whether S3 may tell a function or a queue of a bucket's events: asked when it is configured, and at every event."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.lambda_lookup import find_revision
from serverless_mlperf.platforms.local.gateway.lambda_names import function_ref
from serverless_mlperf.platforms.local.gateway.lambda_policy import s3_may_invoke
from serverless_mlperf.platforms.local.gateway.lambda_state import LambdaState
from serverless_mlperf.platforms.local.gateway.policies import S3, allowed
from serverless_mlperf.platforms.local.gateway.s3_store import Bucket, Rule
from serverless_mlperf.platforms.local.json_text import read_json
from serverless_mlperf.platforms.local.model import ACCOUNT_ID

SEND: Final = "sqs:SendMessage"
QueuePolicy = Callable[[str], str | None]
"""The Policy attribute of the queue of an ARN, empty without one; None when there is no such queue."""


class NotificationGuard:
    """Knows the policies of functions and queues."""

    def __init__(self, state: LambdaState, queue_policy: QueuePolicy) -> None:
        self.refused: Counter[str] = Counter()
        """Events that were not told, by their target's ARN: it is gone, or its policy does not allow it any more."""
        self._state = state
        self._queue_policy = queue_policy

    def check(self, bucket: Bucket, rules: Iterable[Rule]) -> None:
        """Refuse a notification configuration with a target that S3 may not tell, in S3's words."""
        told = {rule.arn: self._trouble(bucket, rule) for rule in rules}
        troubles = [(arn, trouble) for arn, trouble in told.items() if trouble]
        if not troubles:
            return
        details: dict[str, object] = {}
        for number, (arn, trouble) in enumerate(troubles, 1):
            details |= {f"ArgumentName{number}": f"{arn}, null", f"ArgumentValue{number}": trouble}
        text = "Unable to validate the following destination configurations"
        raise ApiError(400, "InvalidArgument", text, details)

    def permits(self, bucket: Bucket, rule: Rule) -> bool:
        """Whether an event may be told now; one that may not is counted."""
        if self._trouble(bucket, rule) is None:
            return True
        self.refused[rule.arn] += 1
        return False

    def _trouble(self, bucket: Bucket, rule: Rule) -> str | None:
        source = f"arn:aws:s3:::{bucket.name}"
        return self._with_queue(rule.arn, source) if rule.kind == "Queue" else self._with_function(rule.arn, source)

    def _with_function(self, arn: str, source: str) -> str | None:
        try:
            ref = function_ref(arn)
            function, _ = find_revision(self._state, ref)
        except ApiError:
            return f"The destination Lambda function does not exist [{arn}]"
        return None if s3_may_invoke(function, ref, source) else f"Not authorized to invoke function [{arn}]"

    def _with_queue(self, arn: str, source: str) -> str | None:
        policy = self._queue_policy(arn)
        if policy is None:
            return "The destination queue does not exist"
        if _s3_may_send(policy, arn, source):
            return None
        return "Permissions on the destination queue do not allow S3 to publish notifications from this bucket"


@lru_cache(maxsize=1024)
def _s3_may_send(policy: str, arn: str, source: str) -> bool:
    """Asked at every event: kept by the policy's text."""
    return allowed(_statements(policy), S3, SEND, arn, {"aws:sourcearn": source, "aws:sourceaccount": ACCOUNT_ID})


def _statements(policy: str) -> list[Mapping[str, Any]]:
    """Of a queue's policy; what is no policy allows nothing."""
    try:
        document = read_json((policy or "{}").encode())
    except ValueError:
        return []
    found = document.get("Statement", []) if isinstance(document, dict) else []
    return [row for row in (found if isinstance(found, list) else [found]) if isinstance(row, dict)]
