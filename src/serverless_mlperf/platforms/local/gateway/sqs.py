"""Queues in SQS's JSON protocol: what completion notices and dead letters travel through."""

from collections.abc import Callable, Mapping
from functools import partial
import json
import time
from typing import Any, Final

from serverless_mlperf.platforms.local.gateway.errors import ApiError, not_implemented
from serverless_mlperf.platforms.local.gateway.http import Request, Response
from serverless_mlperf.platforms.local.gateway.sqs_errors import (
    JSON,
    error_response,
    invalid_parameter,
    query_code,
    refused,
)
from serverless_mlperf.platforms.local.gateway.sqs_message import Message, check_body, read_attributes, size_of
from serverless_mlperf.platforms.local.gateway.sqs_queue import Queue
from serverless_mlperf.platforms.local.gateway.sqs_requests import (
    MAX_BATCH,
    Values,
    check_batch_size,
    read_entries,
    read_parameters,
    read_receipt,
    read_strings,
    read_tags,
    read_whole,
)
from serverless_mlperf.platforms.local.gateway.sqs_settings import (
    DEFAULTS,
    check_name,
    check_names,
    check_settings,
    redrive_of,
)
from serverless_mlperf.platforms.local.journal.base import Entry, Journal, NoJournal
from serverless_mlperf.platforms.local.model import ACCOUNT_ID

TARGET_PREFIX: Final = "AmazonSQS."
MAX_LISTED: Final = 1000
NOT_HERE: Final = frozenset(
    ("AddPermission", "RemovePermission", "StartMessageMoveTask", "CancelMessageMoveTask", "ListMessageMoveTasks")
)
"""Operations of SQS that the platform does not have."""


class SqsApi:
    """Routes `X-Amz-Target: AmazonSQS.*`."""

    INTERNAL_ERROR: Final = "InternalFailure"
    """AWS's code for an error of its own."""

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal or NoJournal()
        self.queues: dict[str, Queue] = {}
        self.base_url = ""
        self._operations: dict[str, Callable[[Values], Any]] = {
            "CreateQueue": self._create,
            "GetQueueUrl": lambda v: {"QueueUrl": self._url(self._named(v["QueueName"]))},
            "ListQueues": self._list,
            "ListDeadLetterSourceQueues": self._list_sources,
            "DeleteQueue": self._delete,
            "PurgeQueue": lambda v: self._queue(v).purge(),
            "GetQueueAttributes": self._attributes,
            "SetQueueAttributes": self._set_attributes,
            "ListQueueTags": lambda v: {"Tags": self._queue(v).tags} if self._queue(v).tags else {},
            "TagQueue": self._tag,
            "UntagQueue": self._untag,
            "SendMessage": self._send,
            "SendMessageBatch": partial(self._batch, act=self._send_one, check=check_batch_size),
            "DeleteMessage": lambda v: self._delete_one(self._queue(v), v),
            "DeleteMessageBatch": partial(self._batch, act=self._delete_one),
            "ChangeMessageVisibility": lambda v: self._change_one(self._queue(v), v),
            "ChangeMessageVisibilityBatch": partial(self._batch, act=self._change_one),
        }

    def load(self, kept: Mapping[str, list[Entry]]) -> None:
        """Take what an earlier process kept, by kind; before anything else."""
        for entry in kept.get("queue", ()):
            attributes, tags = entry.document["attributes"], entry.document["tags"]
            queue = Queue(entry.name[1], attributes, self.find, tags, self._journal)
            queue.created_s, queue.modified_s = entry.document["created_s"], entry.document["modified_s"]
            queue.redrive = redrive_of(attributes)
            self.queues[queue.name] = queue
        for entry in sorted(kept.get("message", ()), key=lambda e: int(e.document["sent_ms"])):
            _, name, message_id = entry.name
            self.queues[name].load(Message.from_document(message_id, entry.document))

    async def handle(self, request: Request) -> Response:
        """Serve one request."""
        action = request.headers["x-amz-target"].removeprefix(TARGET_PREFIX)
        try:
            answer = await self._answer(action, read_parameters(request.body))
        except ApiError as error:
            return self.refusal(request, error)
        return Response(200, json.dumps(answer or {}).encode(), JSON)

    def refusal(self, _: Request, error: ApiError) -> Response:
        """The answer to an error."""
        return error_response(error)

    def tell(self, arn: str, payload: bytes) -> None:
        """Put an event into the queue of that ARN; one that is gone loses it, as on AWS."""
        queue = self.find(arn)
        if queue is not None:
            queue.send(payload.decode())

    def find(self, arn: str) -> Queue | None:
        """The queue of an ARN; None when there is none."""
        queue = self.queues.get(arn.rpartition(":")[2])
        return queue if queue is not None and queue.arn == arn else None

    def policy(self, arn: str) -> str | None:
        """The access policy of the queue of that ARN, empty without one; None when there is no such queue."""
        queue = self.find(arn)
        return None if queue is None else queue.attributes.get("Policy", "")

    async def _answer(self, action: str, values: Values) -> Any:
        try:
            if action == "ReceiveMessage":
                return await self._receive(values)
            if action in NOT_HERE:
                raise not_implemented(action)
            if action not in self._operations:
                raise refused("UnknownOperationException", f"The operation {action} is not one of SQS's")
            return self._operations[action](values)
        except KeyError as error:
            raise refused("MissingParameter", f"The request must contain the parameter {error.args[0]}.") from None

    # Queues

    def _create(self, values: Values) -> dict[str, str]:
        name = check_name(values["QueueName"])
        given = check_settings(values.get("Attributes") or {})
        tags = read_tags(values.get("tags") or values.get("Tags") or {})
        queue = self.queues.get(name)
        if queue is None:
            made = Queue(name, {**DEFAULTS, **given}, self.find, tags, self._journal)
            made.redrive = self._redrive(made.attributes)
            self.queues[name] = queue = made
            self._journal.save(("queue", name), made.as_document, partial(self.queues.pop, name))
        elif any(queue.attributes.get(key) != value for key, value in given.items()):
            text = "A queue already exists with the same name and a different value for attribute "
            raise refused(
                "QueueNameExists", text + ", ".join(k for k, v in given.items() if queue.attributes.get(k) != v)
            )
        return {"QueueUrl": self._url(queue)}

    def _list(self, values: Values) -> Values:
        prefix = str(values.get("QueueNamePrefix") or "")
        return self._page(values, "QueueUrls", [q for n, q in sorted(self.queues.items()) if n.startswith(prefix)])

    def _list_sources(self, values: Values) -> Values:
        arn = self._queue(values).arn
        found = [q for _, q in sorted(self.queues.items()) if q.redrive and q.redrive.target_arn == arn]
        return self._page(values, "queueUrls", found)

    def _page(self, values: Values, key: str, queues: list[Queue]) -> Values:
        """A part of a list: from the name in NextToken on, MaxResults long."""
        limit = read_whole(values, "MaxResults", MAX_LISTED, range(1, MAX_LISTED + 1))
        rest = [queue for queue in queues if queue.name >= str(values.get("NextToken") or "")]
        page: Values = {key: [self._url(queue) for queue in rest[:limit]]}
        if len(rest) > limit and "MaxResults" in values:
            page["NextToken"] = rest[limit].name
        return page

    def _delete(self, values: Values) -> None:
        queue = self._queue(values)
        del self.queues[queue.name]
        for message in queue.messages():
            self._journal.remove(("message", queue.name, message.id), _nothing)
        self._journal.remove(("queue", queue.name), partial(self.queues.__setitem__, queue.name, queue))

    def _attributes(self, values: Values) -> dict[str, dict[str, str]]:
        queue = self._queue(values)
        wanted = check_names(values.get("AttributeNames") or [])
        queue.refresh()
        known = {
            **queue.attributes,
            "QueueArn": queue.arn,
            "CreatedTimestamp": str(queue.created_s),
            "LastModifiedTimestamp": str(queue.modified_s),
            "ApproximateNumberOfMessages": str(len(queue.ready)),
            "ApproximateNumberOfMessagesNotVisible": str(len(queue.in_flight)),
            "ApproximateNumberOfMessagesDelayed": str(queue.delayed_count),
        }
        return {"Attributes": {k: v for k, v in known.items() if "All" in wanted or k in wanted}}

    def _set_attributes(self, values: Values) -> None:
        queue = self._queue(values)
        merged = {**queue.attributes, **check_settings(values["Attributes"])}
        self._change(
            queue,
            redrive=self._redrive(merged),
            attributes={name: value for name, value in merged.items() if value},
            modified_s=int(time.time()),
        )

    def _redrive(self, attributes: dict[str, str]) -> Any:
        redrive = redrive_of(attributes)
        if redrive and self.find(redrive.target_arn) is None:
            text = f"Value {attributes['RedrivePolicy']} for parameter RedrivePolicy is invalid. Reason: "
            raise refused("InvalidParameterValue", text + "Dead letter target does not exist.")
        return redrive

    def _tag(self, values: Values) -> None:
        queue = self._queue(values)
        self._change(queue, tags=read_tags({**queue.tags, **read_tags(values["Tags"])}))

    def _untag(self, values: Values) -> None:
        queue, keys = self._queue(values), values["TagKeys"]
        self._change(queue, tags={key: value for key, value in queue.tags.items() if key not in keys})

    def _change(self, queue: Queue, **fields: Any) -> None:
        """Give fields of a queue new values."""
        former = {name: getattr(queue, name) for name in fields}
        _set_fields(queue, fields)
        self._journal.save(("queue", queue.name), queue.as_document, partial(_set_fields, queue, former))

    # Messages

    def _send(self, values: Values) -> dict[str, str]:
        return self._send_one(self._queue(values), values)

    def _send_one(self, queue: Queue, values: Values) -> dict[str, str]:
        for name in ("MessageGroupId", "MessageDeduplicationId"):
            if values.get(name) is not None:
                raise invalid_parameter(name, values[name], "The request includes a parameter of FIFO queues")
        body = check_body(values["MessageBody"])
        attributes = read_attributes(values.get("MessageAttributes"))
        system = read_attributes(values.get("MessageSystemAttributes"), system=True)
        limit = int(queue.attributes["MaximumMessageSize"])
        if size_of(body, attributes) > limit:
            text = f"One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes."
            raise refused("InvalidParameterValue", text)
        delay_s = read_whole(values, "DelaySeconds", int(queue.attributes["DelaySeconds"]), range(901))
        return queue.send(body, attributes, system, delay_s).sent_json()

    async def _receive(self, values: Values) -> Values:
        queue = self._queue(values)
        limit = read_whole(values, "MaxNumberOfMessages", 1, range(1, MAX_BATCH + 1))
        wait_s = read_whole(
            values, "WaitTimeSeconds", int(queue.attributes["ReceiveMessageWaitTimeSeconds"]), range(21)
        )
        hidden_s = read_whole(values, "VisibilityTimeout", int(queue.attributes["VisibilityTimeout"]), range(43_201))
        system = [*read_strings(values, "AttributeNames"), *read_strings(values, "MessageSystemAttributeNames")]
        attributes = read_strings(values, "MessageAttributeNames")
        end_s = time.monotonic() + wait_s
        while not (taken := queue.receive(limit, hidden_s)) and (left_s := end_s - time.monotonic()) > 0:
            await queue.wait(left_s)
        return {"Messages": [message.received_json(system, attributes) for message in taken]} if taken else {}

    def _delete_one(self, queue: Queue, values: Values) -> None:
        queue.delete(read_receipt(values))

    def _change_one(self, queue: Queue, values: Values) -> None:
        hidden_s = read_whole(values, "VisibilityTimeout", None, range(43_201))
        receipt = read_receipt(values)
        if not queue.change_visibility(receipt, hidden_s):
            text = "Message does not exist or is not available for visibility timeout change"
            raise invalid_parameter("ReceiptHandle", receipt, text)

    def _batch(
        self,
        values: Values,
        act: Callable[[Queue, Values], dict[str, str] | None],
        check: Callable[[list[Values]], None] = lambda _: None,
    ) -> Values:
        """One operation on each entry; what is refused is told per entry."""
        queue, entries = self._queue(values), read_entries(values["Entries"])
        check(entries)
        done: list[Values] = []
        failed: list[Values] = []
        for entry in entries:
            try:
                done.append({"Id": entry["Id"], **(act(queue, entry) or {})})
            except ApiError as error:
                told = {"Code": query_code(error.code), "Message": error.message}
                failed.append({"Id": entry["Id"], "SenderFault": True, **told})
        return {"Successful": done, **({"Failed": failed} if failed else {})}

    # Shared

    def _queue(self, values: Values) -> Queue:
        return self._named(str(values["QueueUrl"]).rpartition("/")[2])

    def _named(self, name: object) -> Queue:
        queue = self.queues.get(name) if isinstance(name, str) else None
        if queue is None:
            raise refused("QueueDoesNotExist", "The specified queue does not exist.")
        return queue

    def _url(self, queue: Queue) -> str:
        return f"{self.base_url}/{ACCOUNT_ID}/{queue.name}"


def _set_fields(queue: Queue, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(queue, name, value)


def _nothing() -> None:
    """The messages of a queue come back with it."""
