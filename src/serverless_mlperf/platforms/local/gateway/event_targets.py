"""Where records of events and dead letters go: a queue, another function, or a bucket of this server."""

from collections.abc import Callable
import time
from typing import Final
from urllib.parse import quote
import uuid

from serverless_mlperf.errors import BenchmarkError
from serverless_mlperf.platforms.local.destinations import Letter, record_key
from serverless_mlperf.platforms.local.gateway.http import Request
from serverless_mlperf.platforms.local.gateway.s3_api import S3Api
from serverless_mlperf.platforms.local.gateway.sqs import SqsApi
from serverless_mlperf.platforms.local.gateway.sqs_message import MAX_MESSAGE_BYTES, Attribute, size_of

BUCKET_ARN: Final = "arn:aws:s3:::"


class EventTargets:
    """Hands letters to their targets; implements executor_protocol.Send."""

    def __init__(self, sqs: SqsApi, s3: S3Api, invoke: Callable[[str, bytes], bool]) -> None:
        self._sqs, self._s3, self._invoke = sqs, s3, invoke

    async def __call__(self, letter: Letter) -> str | None:
        """Deliver one letter; the reason, in one line, why it was not."""
        service = letter.target_arn.split(":")[2:3]
        if service == ["sqs"]:
            return self._to_queue(letter)
        if service == ["lambda"]:
            return self._to_function(letter)
        if service == ["s3"]:
            return await self._to_bucket(letter)
        return f"{letter.target_arn}: the local platform has no such target; give a queue, a function or a bucket"

    def _to_queue(self, letter: Letter) -> str | None:
        queue = self._sqs.find(letter.target_arn)
        if queue is None:
            return f"{letter.target_arn}: no such queue; was it deleted?"
        attributes = {name: Attribute(data_type, value) for name, (data_type, value) in letter.attributes.items()}
        body = letter.body.decode()
        limit = min(MAX_MESSAGE_BYTES, int(queue.attributes["MaximumMessageSize"]))
        if size_of(body, attributes) > limit:
            return f"{letter.target_arn}: {len(letter.body)} bytes are more than a message may have ({limit})"
        queue.send(body, attributes)
        return None

    def _to_function(self, letter: Letter) -> str | None:
        try:
            return None if self._invoke(letter.target_arn, letter.body) else f"{letter.target_arn}: no such function"
        except BenchmarkError as error:
            return f"{letter.target_arn}: {error}"

    async def _to_bucket(self, letter: Letter) -> str | None:
        bucket = letter.target_arn.removeprefix(BUCKET_ARN)
        key = record_key(letter.sender, time.time_ns(), str(uuid.uuid4()))
        headers = {"content-type": "application/json", "content-length": str(len(letter.body))}
        answer = await self._s3.handle(Request("PUT", f"/{quote(bucket)}/{quote(key)}", headers, letter.body))
        return (
            None if answer.status == 200 else f"{letter.target_arn}: S3 answered {answer.status}; is the bucket there?"
        )
