"""Queues in SQS's JSON protocol: what completion notices travel through."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
import hashlib
import json
import time
from typing import Any, Final
import uuid

from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.http import Request, Response
from serverless_mlperf.platforms.local.json_text import read_json
from serverless_mlperf.platforms.local.model import ACCOUNT_ID, REGION

TARGET_PREFIX: Final = "AmazonSQS."
JSON: Final = {"content-type": "application/x-amz-json-1.0"}
DEFAULTS: Final = {
    "VisibilityTimeout": "30",
    "DelaySeconds": "0",
    "ReceiveMessageWaitTimeSeconds": "0",
    "MessageRetentionPeriod": "345600",
    "MaximumMessageSize": "1048576",
}
"""Of CreateQueue (AWSSimpleQueueService/latest/APIReference/API_CreateQueue)."""


@dataclass(slots=True)
class Message:
    """One message; `visible_at_s` is on the monotonic clock."""

    id: str
    body: str
    sent_ms: int
    visible_at_s: float = 0.0
    receipt: str = ""
    received: int = 0

    def as_json(self) -> dict[str, Any]:
        """As ReceiveMessage gives it."""
        md5 = hashlib.md5(self.body.encode(), usedforsecurity=False).hexdigest()
        return {"MessageId": self.id, "ReceiptHandle": self.receipt, "MD5OfBody": md5, "Body": self.body}


@dataclass(slots=True)
class Queue:
    """One queue: ready messages in order, those in flight by receipt, and who waits."""

    name: str
    attributes: dict[str, str]
    ready: deque[Message] = field(default_factory=deque)
    in_flight: dict[str, Message] = field(default_factory=dict)
    waiters: deque[asyncio.Future[None]] = field(default_factory=deque)

    @property
    def arn(self) -> str:
        """The queue's ARN."""
        return f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{self.name}"

    def send(self, body: str) -> Message:
        """Add a message and wake one receiver."""
        message = Message(str(uuid.uuid4()), body, time.time_ns() // 1_000_000)
        self.ready.append(message)
        self._wake()
        return message

    def receive(self, limit: int, visibility_s: float) -> list[Message]:
        """Take up to `limit` messages; they come back unless deleted within the visibility timeout."""
        self._give_back_expired()
        taken = [self.ready.popleft() for _ in range(min(limit, len(self.ready)))]
        until_s = time.monotonic() + visibility_s
        for message in taken:
            message.receipt, message.visible_at_s = uuid.uuid4().hex, until_s
            message.received += 1
            self.in_flight[message.receipt] = message
        return taken

    async def wait(self, wait_s: float) -> None:
        """Return when a message may be there, or after `wait_s`."""
        self._give_back_expired()
        if self.ready:
            return
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self.waiters.append(waiter)
        back_s = min((m.visible_at_s for m in self.in_flight.values()), default=float("inf")) - time.monotonic()
        try:
            async with asyncio.timeout(min(wait_s, max(0.0, back_s))):
                await waiter
        except TimeoutError:
            return
        finally:
            # A receiver that has gone away must not swallow a wake-up.
            if waiter.done() and not waiter.cancelled() and self.ready:
                self._wake()
            elif waiter in self.waiters:
                self.waiters.remove(waiter)

    def _give_back_expired(self) -> None:
        now_s = time.monotonic()
        for receipt, message in [i for i in self.in_flight.items() if i[1].visible_at_s <= now_s]:
            del self.in_flight[receipt]
            self.ready.append(message)

    def _wake(self) -> None:
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


class SqsApi:
    """Routes `X-Amz-Target: AmazonSQS.*`."""

    INTERNAL_ERROR: Final = "InternalFailure"
    """AWS's code for an error of its own."""

    def __init__(self) -> None:
        self.queues: dict[str, Queue] = {}
        self.base_url = ""
        self._operations: dict[str, Callable[[dict[str, Any]], Any]] = {
            "CreateQueue": self._create,
            "GetQueueUrl": lambda v: {"QueueUrl": self._url(self._named(v["QueueName"]))},
            "ListQueues": self._list,
            "DeleteQueue": self._delete,
            "PurgeQueue": self._purge,
            "GetQueueAttributes": self._attributes,
            "SetQueueAttributes": lambda v: self._queue(v).attributes.update(v["Attributes"]),
            "SendMessage": self._send,
            "DeleteMessage": lambda v: self._forget(self._queue(v), v["ReceiptHandle"]),
            "DeleteMessageBatch": self._forget_many,
        }

    async def handle(self, request: Request) -> Response:
        """Serve one request."""
        action = request.headers["x-amz-target"].removeprefix(TARGET_PREFIX)
        try:
            answer = await self._answer(action, _parameters(request.body))
        except ApiError as error:
            return self.refusal(request, error)
        return Response(200, json.dumps(answer or {}).encode(), JSON)

    def refusal(self, _: Request, error: ApiError) -> Response:
        """The answer to an error."""
        return error_response(error)

    def tell(self, arn: str, payload: bytes) -> None:
        """Put an event into the queue of that ARN; one that is gone loses it, as on AWS."""
        queue = self.queues.get(arn.rpartition(":")[2])
        if queue is not None:
            queue.send(payload.decode())

    def policy(self, arn: str) -> str | None:
        """The access policy of the queue of that ARN, empty without one; None when there is no such queue."""
        queue = self.queues.get(arn.rpartition(":")[2])
        return None if queue is None or queue.arn != arn else queue.attributes.get("Policy", "")

    async def _answer(self, action: str, values: dict[str, Any]) -> Any:
        try:
            if action == "ReceiveMessage":
                return await self._receive(values)
            if action not in self._operations:
                raise ApiError(400, "UnsupportedOperation", f"The local platform does not implement {action}")
            return self._operations[action](values)
        except KeyError as error:
            raise ApiError(400, "MissingParameter", f"The request must contain the parameter {error}") from None

    def _create(self, values: dict[str, Any]) -> dict[str, str]:
        name = values["QueueName"]
        if name not in self.queues:
            self.queues[name] = Queue(name, {**DEFAULTS, **values.get("Attributes", {})})
        return {"QueueUrl": self._url(self.queues[name])}

    def _list(self, values: dict[str, Any]) -> dict[str, list[str]]:
        prefix = values.get("QueueNamePrefix", "")
        return {"QueueUrls": [self._url(q) for name, q in sorted(self.queues.items()) if name.startswith(prefix)]}

    def _delete(self, values: dict[str, Any]) -> None:
        del self.queues[self._queue(values).name]

    def _purge(self, values: dict[str, Any]) -> None:
        queue = self._queue(values)
        queue.ready.clear()
        queue.in_flight.clear()

    def _attributes(self, values: dict[str, Any]) -> dict[str, dict[str, str]]:
        queue = self._queue(values)
        wanted = set(values.get("AttributeNames", ()))
        known = {
            **queue.attributes,
            "QueueArn": queue.arn,
            "ApproximateNumberOfMessages": str(len(queue.ready)),
            "ApproximateNumberOfMessagesNotVisible": str(len(queue.in_flight)),
        }
        return {"Attributes": {k: v for k, v in known.items() if "All" in wanted or k in wanted}}

    def _send(self, values: dict[str, Any]) -> dict[str, str]:
        message = self._queue(values).send(values["MessageBody"])
        return {"MessageId": message.id, "MD5OfMessageBody": str(message.as_json()["MD5OfBody"])}

    async def _receive(self, values: dict[str, Any]) -> dict[str, Any]:
        queue = self._queue(values)
        limit = int(values.get("MaxNumberOfMessages", 1))
        if not 1 <= limit <= 10:
            raise ApiError(400, "InvalidParameterValue", "MaxNumberOfMessages must be between 1 and 10")
        wait_s = float(values.get("WaitTimeSeconds", queue.attributes["ReceiveMessageWaitTimeSeconds"]))
        visibility_s = float(values.get("VisibilityTimeout", queue.attributes["VisibilityTimeout"]))
        end_s = time.monotonic() + min(wait_s, 20.0)
        while not (taken := queue.receive(limit, visibility_s)) and (left_s := end_s - time.monotonic()) > 0:
            await queue.wait(left_s)
        return {"Messages": [message.as_json() for message in taken]} if taken else {}

    def _forget(self, queue: Queue, receipt: str) -> None:
        queue.in_flight.pop(receipt, None)

    def _forget_many(self, values: dict[str, Any]) -> dict[str, Any]:
        queue = self._queue(values)
        for entry in values["Entries"]:
            self._forget(queue, entry["ReceiptHandle"])
        return {"Successful": [{"Id": entry["Id"]} for entry in values["Entries"]], "Failed": []}

    def _queue(self, values: dict[str, Any]) -> Queue:
        return self._named(str(values["QueueUrl"]).rpartition("/")[2])

    def _named(self, name: str) -> Queue:
        try:
            return self.queues[name]
        except KeyError:
            raise ApiError(400, "QueueDoesNotExist", "The specified queue does not exist.") from None

    def _url(self, queue: Queue) -> str:
        return f"{self.base_url}/{ACCOUNT_ID}/{queue.name}"


def error_response(error: ApiError) -> Response:
    """An error as SDKs of either protocol understand it."""
    name = f"com.amazonaws.sqs#{error.code}"
    body = json.dumps({"__type": name, "message": error.message}).encode()
    legacy = {"QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue"}.get(error.code, error.code)
    return Response(error.status, body, {**JSON, "x-amzn-query-error": f"{legacy};Sender"})


def _parameters(body: bytes) -> dict[str, Any]:
    try:
        values = read_json(body or b"{}")
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise ApiError(400, "SerializationException", "The body is not a JSON object")
    return values
