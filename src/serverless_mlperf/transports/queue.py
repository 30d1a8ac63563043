"""Completion notices: S3 events read from an SQS queue by long polling."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
import json
import time
from typing import Any, Final

import aiohttp

from serverless_mlperf.transports.client import ServiceClient
from serverless_mlperf_sut.protocol import QueryError, parse_s3_event

BATCH: Final = 10
"""SQS's limit of messages per receive and per batch of deletions."""
LONG_POLL_S: Final = 5
"""SQS allows 20, but a poll that `close` leaves behind may still take a message, and hide it for the visibility
timeout from the next run on this queue: it should be over by the time that one begins."""
DELETE_AFTER_S: Final = 0.2
"""Deletions are collected for so long; far below the default visibility timeout of 30 s."""
_BACK_OFF_S: Final = (0.1, 5.0)

OnObject = Callable[[str, str, int], None]
"""Told of (object key, sequencer, wall clock of the notice in ns)."""


class CompletionQueue:
    """Polls one queue and tells of every object created; deletes what it has told of, off the hot path.

    A queue that answers with an error is asked again with growing pauses until `close`; each is counted.
    """

    def __init__(self, client: ServiceClient, queue_url: str, pollers: int, on_object: OnObject) -> None:
        self._client = client
        self._queue_url = queue_url
        self._pollers = pollers
        self._on_object = on_object
        self._receipts: list[str] = []
        self._filled = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.counts: Counter[str] = Counter()
        self.last_error: str | None = None

    def open(self) -> None:
        """Start the pollers."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._poll()) for _ in range(self._pollers)]
        self._tasks.append(loop.create_task(self._delete_in_batches()))

    async def close(self) -> None:
        """Stop polling and delete what has been told of."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._receipts and await self._delete_batch():
            pass

    async def _poll(self) -> None:
        body = {"QueueUrl": self._queue_url, "MaxNumberOfMessages": BATCH, "WaitTimeSeconds": LONG_POLL_S}
        pause_s = _BACK_OFF_S[0]
        while True:
            answer = await self._call("ReceiveMessage", body, timeout_s=LONG_POLL_S + 10)
            if answer is None:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _BACK_OFF_S[1])
                continue
            pause_s = _BACK_OFF_S[0]
            self._take(answer.get("Messages") or (), time.time_ns())

    def _take(self, messages: Any, noticed_ns: int) -> None:
        for message in messages:
            for key, sequencer in self._objects(message.get("Body", "")):
                self._on_object(key, sequencer, noticed_ns)
            self._receipts.append(message["ReceiptHandle"])
        if self._receipts:
            self._filled.set()

    def _objects(self, body: str) -> Iterator[tuple[str, str]]:
        try:
            event = json.loads(body)
            keys = parse_s3_event(event)
        except (ValueError, QueryError, AttributeError, TypeError):
            self.counts["unreadable_messages"] += 1
            return
        for key, record in zip(keys, event.get("Records", ()), strict=True):
            yield key, record["s3"]["object"].get("sequencer", "")

    async def _delete_in_batches(self) -> None:
        while True:
            await self._filled.wait()
            # Waiting for more turns ten deletions into one request.
            await asyncio.sleep(DELETE_AFTER_S)
            while self._receipts:
                await self._delete_batch()
            self._filled.clear()

    async def _delete_batch(self) -> bool:
        """Delete up to ten; what cannot be deleted comes back after the visibility timeout and is told of again."""
        receipts, self._receipts = self._receipts[:BATCH], self._receipts[BATCH:]
        entries = [{"Id": str(n), "ReceiptHandle": receipt} for n, receipt in enumerate(receipts)]
        answer = await self._call("DeleteMessageBatch", {"QueueUrl": self._queue_url, "Entries": entries}, timeout_s=10)
        if answer is not None:
            self.counts["undeleted_messages"] += len(answer.get("Failed") or ())
        return answer is not None

    async def _call(self, action: str, body: Mapping[str, Any], timeout_s: float) -> dict[str, Any] | None:
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": f"AmazonSQS.{action}"}
        try:
            status, raw = await self._client.request("POST", "/", json.dumps(body).encode(), headers, timeout_s)
            if status == 200:
                answer: dict[str, Any] = json.loads(raw)
                return answer
            self.last_error = f"{action}: HTTP {status} {raw[:200].decode(errors='replace')}"
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            self.last_error = f"{action}: {error!r}"
        self.counts["queue_errors"] += 1
        return None
