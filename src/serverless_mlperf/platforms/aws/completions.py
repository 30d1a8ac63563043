"""Emptying a completion queue: what a run before has left is not to be read by the next one."""

from typing import Any, Final

from serverless_mlperf.platforms.aws.failures import told
from serverless_mlperf.platforms.aws.session import Aws
from serverless_mlperf.platforms.aws.waiting import Patience

BATCH: Final = 10
"""SQS's limit of messages per receive and per batch of deletions."""
EMPTY_LOOKS: Final = 2
"""A receive may miss what other servers of SQS hold: so many in a row must find nothing."""
MOST_BATCHES: Final = 10_000


class Completions:
    """Drains queues; blocking.

    By receiving, not by PurgeQueue: that may take a minute, in which it also removes what is sent after it
    (API_PurgeQueue), which would be the next run's results. What is overseen is harmless: the transport knows results
    of other runs by their keys.
    """

    def __init__(self, aws: Aws, patience: Patience) -> None:
        self._client = aws.client("sqs")
        self._wait_s = round(patience.pause_s)

    def drain(self, queue_url: str) -> int:
        """Delete what the queue holds; how many messages there were."""
        removed, empty = 0, 0
        with told("emptying a completion queue"):
            for _ in range(MOST_BATCHES):
                messages = self._receive(queue_url)
                empty = 0 if messages else empty + 1
                if empty >= EMPTY_LOOKS:
                    break
                removed += self._delete(queue_url, messages)
        return removed

    def _receive(self, queue_url: str) -> list[Any]:
        # With a wait, all of SQS's servers are asked (AWS: SQSDeveloperGuide/sqs-short-and-long-polling).
        answer = self._client.receive_message(
            QueueUrl=queue_url, MaxNumberOfMessages=BATCH, WaitTimeSeconds=self._wait_s
        )
        return list(answer.get("Messages", ()))

    def _delete(self, queue_url: str, messages: list[Any]) -> int:
        if not messages:
            return 0
        entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
        answer = self._client.delete_message_batch(QueueUrl=queue_url, Entries=entries)
        return len(answer.get("Successful", ()))
