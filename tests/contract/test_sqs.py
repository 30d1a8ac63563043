"""SQS as boto3 and the `aws` command use it: messages, batches, visibility, dead letters, refusals."""

from collections.abc import Iterator
from hashlib import md5
import json
from pathlib import Path
import re
from typing import Any

import pytest

from local_server import aws, client, raw, refusal


@pytest.fixture(scope="module")
def sqs(s3_url: str) -> Iterator[Any]:
    """A boto3 client."""
    made = client("sqs", s3_url)
    yield made
    made.close()


@pytest.fixture
def queue(sqs: Any, request: pytest.FixtureRequest) -> str:
    """The URL of a new queue, named after the test."""
    name = re.sub("[^a-zA-Z0-9_-]", "-", request.node.name)[:80]
    return str(sqs.create_queue(QueueName=name)["QueueUrl"])


def counts(sqs: Any, queue: str) -> tuple[int, ...]:
    """Messages ready, in flight and delayed."""
    kinds = ("", "NotVisible", "Delayed")
    names = [f"ApproximateNumberOfMessages{kind}" for kind in kinds]
    found = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return tuple(int(found[name]) for name in names)


def receive(sqs: Any, queue: str, **more: Any) -> list[dict[str, Any]]:
    """What is there now."""
    return list(sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, **more).get("Messages", []))


def test_message_attributes_travel_and_are_verified(sqs: Any, queue: str) -> None:
    """All three kinds; boto3 itself compares the digests of what it sent and received."""
    attributes = {
        "text": {"DataType": "String", "StringValue": "grüße"},
        "number.of": {"DataType": "Number.int", "StringValue": "-12.5e3"},
        "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    sent = sqs.send_message(QueueUrl=queue, MessageBody="body", MessageAttributes=attributes)
    (message,) = receive(sqs, queue, MessageAttributeNames=["All"], VisibilityTimeout=0)
    assert message["MessageAttributes"] == attributes
    assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    (message,) = receive(sqs, queue, MessageAttributeNames=["number.*"], AttributeNames=["All"])
    assert set(message["MessageAttributes"]) == {"number.of"}
    assert message["Attributes"]["ApproximateReceiveCount"] == "2"
    assert int(message["Attributes"]["SentTimestamp"]) <= int(message["Attributes"]["ApproximateFirstReceiveTimestamp"])


def test_digest_of_attributes_is_that_of_sqs(sqs: Any, queue: str) -> None:
    """The value that AWS's algorithm gives for one attribute, computed by hand."""
    parts = (b"\x00\x00\x00\x01a", b"\x00\x00\x00\x06String", b"\x01", b"\x00\x00\x00\x01b")
    attributes = {"a": {"DataType": "String", "StringValue": "b"}}
    sent = sqs.send_message(QueueUrl=queue, MessageBody="x", MessageAttributes=attributes)
    assert sent["MD5OfMessageAttributes"] == md5(b"".join(parts), usedforsecurity=False).hexdigest()


def test_batches_tell_of_each_entry(sqs: Any, queue: str) -> None:
    """Good entries are done, bad ones are refused one by one: send, change visibility, delete."""
    entries = [{"Id": "good", "MessageBody": "1"}, {"Id": "bad", "MessageBody": "2", "DelaySeconds": 901}]
    done = sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    assert [entry["Id"] for entry in done["Successful"]] == ["good"]
    assert [(entry["Id"], entry["SenderFault"], entry["Code"]) for entry in done["Failed"]] == [
        ("bad", True, "InvalidParameterValue")
    ]
    (message,) = receive(sqs, queue)
    handles = (message["ReceiptHandle"], "unknown")
    changes = [{"Id": str(n), "ReceiptHandle": h, "VisibilityTimeout": 0} for n, h in enumerate(handles)]
    done = sqs.change_message_visibility_batch(QueueUrl=queue, Entries=changes)
    assert ([e["Id"] for e in done["Successful"]], [e["Id"] for e in done["Failed"]]) == (["0"], ["1"])
    assert counts(sqs, queue) == (1, 0, 0)
    (message,) = receive(sqs, queue)
    done = sqs.delete_message_batch(QueueUrl=queue, Entries=[{"Id": "a", "ReceiptHandle": message["ReceiptHandle"]}])
    assert done["Successful"] == [{"Id": "a"}]
    assert counts(sqs, queue) == (0, 0, 0)


def test_a_message_in_flight_is_hidden_until_its_time_is_over(sqs: Any, queue: str) -> None:
    """Hidden, prolonged, given back; its last handle still deletes it when it has come back."""
    sqs.send_message(QueueUrl=queue, MessageBody="1")
    (message,) = receive(sqs, queue, VisibilityTimeout=1)
    handle = {"QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"]}
    sqs.change_message_visibility(**handle, VisibilityTimeout=40_000)
    assert receive(sqs, queue) == []
    assert counts(sqs, queue) == (0, 1, 0)
    sqs.change_message_visibility(**handle, VisibilityTimeout=0)
    assert counts(sqs, queue) == (1, 0, 0)
    assert refusal(sqs.change_message_visibility, **handle, VisibilityTimeout=1)[0] == 400
    sqs.delete_message(**handle)
    assert counts(sqs, queue) == (0, 0, 0)


def test_long_poll_ends_with_what_becomes_visible(sqs: Any, queue: str) -> None:
    """A receiver that waits gets a delayed message when it is due."""
    sqs.send_message(QueueUrl=queue, MessageBody="late", DelaySeconds=1)
    assert counts(sqs, queue) == (0, 0, 1)
    assert [m["Body"] for m in receive(sqs, queue, WaitTimeSeconds=20)] == ["late"]


def test_received_too_often_becomes_a_dead_letter(sqs: Any, queue: str) -> None:
    """After maxReceiveCount receives it is in the other queue, with its id, attributes and origin."""
    dead = sqs.create_queue(QueueName="dead-letters")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "2"})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": policy})
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [queue]
    sent = sqs.send_message(QueueUrl=queue, MessageBody="poison")
    for _ in range(2):
        assert len(receive(sqs, queue, VisibilityTimeout=0)) == 1
    assert receive(sqs, queue) == []
    (message,) = receive(sqs, dead, AttributeNames=["All"])
    assert message["MessageId"] == sent["MessageId"]
    assert message["Attributes"]["DeadLetterQueueSourceArn"].endswith(queue.rpartition("/")[2])
    missing = json.dumps({"deadLetterTargetArn": f"{arn}-gone", "maxReceiveCount": 2})
    status, code = refusal(sqs.set_queue_attributes, QueueUrl=queue, Attributes={"RedrivePolicy": missing})
    assert (status, code) == (400, "InvalidParameterValue")


def test_queues_have_tags_and_settings(sqs: Any) -> None:
    """CreateQueue twice is one queue, unless its settings differ; lists come in pages."""
    made = {"QueueName": "set-up", "Attributes": {"VisibilityTimeout": "7"}, "tags": {"a": "1", "b": "2"}}
    url = sqs.create_queue(**made)["QueueUrl"]
    assert sqs.create_queue(**made)["QueueUrl"] == url
    made["Attributes"] = {"VisibilityTimeout": "8"}
    assert refusal(sqs.create_queue, **made)[1] == "QueueAlreadyExists"
    sqs.tag_queue(QueueUrl=url, Tags={"c": "3"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["a"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"b": "2", "c": "3"}
    for number in range(3):
        sqs.create_queue(QueueName=f"page-{number}")
    page = sqs.list_queues(QueueNamePrefix="page-", MaxResults=2)
    rest = sqs.list_queues(QueueNamePrefix="page-", MaxResults=2, NextToken=page["NextToken"])
    assert len(page["QueueUrls"]) == 2
    assert len(rest["QueueUrls"]) == 1
    assert "NextToken" not in rest


@pytest.mark.parametrize(
    ("operation", "parameters", "status", "code"),
    [
        ("create_queue", {"QueueName": "q.fifo", "Attributes": {"FifoQueue": "true"}}, 501, "NotImplemented"),
        ("create_queue", {"QueueName": "no spaces"}, 400, "InvalidParameterValue"),
        ("create_queue", {"QueueName": "q", "Attributes": {"DelaySeconds": "901"}}, 400, "InvalidAttributeValue"),
        ("create_queue", {"QueueName": "q", "Attributes": {"Nonsense": "1"}}, 400, "InvalidAttributeName"),
        ("get_queue_url", {"QueueName": "absent"}, 400, "AWS.SimpleQueueService.NonExistentQueue"),
        ("send_message", {"MessageBody": "\x00"}, 400, "InvalidMessageContents"),
        ("send_message", {"MessageBody": "x" * ((1 << 20) + 1)}, 400, "InvalidParameterValue"),
        ("send_message", {"MessageBody": "x", "MessageGroupId": "1"}, 400, "InvalidParameterValue"),
        ("receive_message", {"MaxNumberOfMessages": 11}, 400, "InvalidParameterValue"),
        ("receive_message", {"WaitTimeSeconds": 21}, 400, "InvalidParameterValue"),
        ("send_message_batch", {"Entries": []}, 400, "AWS.SimpleQueueService.EmptyBatchRequest"),
        (
            "send_message_batch", {"Entries": [{"Id": "1", "MessageBody": "x"}] * 2}, 400,
            "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
        ),
        (
            "delete_message_batch", {"Entries": [{"Id": str(n), "ReceiptHandle": "x"} for n in range(11)]}, 400,
            "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        ),
        ("add_permission", {"Label": "l", "AWSAccountIds": ["1"], "Actions": ["*"]}, 501, "NotImplemented"),
    ],
)  # fmt: skip
def test_what_sqs_refuses(
    sqs: Any, queue: str, operation: str, parameters: dict[str, Any], status: int, code: str
) -> None:
    """With SQS's own codes; what SQS has and the platform has not is NotImplemented."""
    named = {} if "QueueName" in parameters else {"QueueUrl": queue}
    assert refusal(getattr(sqs, operation), **named, **parameters) == (status, code)


def test_an_operation_that_sqs_has_not_is_unknown(s3_url: str) -> None:
    """As AWS's JSON protocol says it: 400 and UnknownOperationException."""
    headers = {"x-amz-target": "AmazonSQS.MakeCoffee", "content-type": "application/x-amz-json-1.0"}
    answer = raw(s3_url, "POST", "/", b"{}", headers)
    assert (answer.status, json.loads(answer.body)["__type"]) == (400, "com.amazonaws.sqs#UnknownOperationException")


def test_the_aws_command_sends(s3_url: str, sqs: Any, queue: str, tmp_path: Path) -> None:
    """`aws sqs` speaks the same protocol: it takes the digests of what it sends, and what boto3 receives is that."""
    attributes = '{"a": {"DataType": "String", "StringValue": "b"}}'
    sent = aws(s3_url, "sqs", "send-message", "--queue-url", queue, "--message-body", "hello",
               "--message-attributes", attributes, cwd=tmp_path)  # fmt: skip
    assert sent.returncode == 0, sent.stderr
    (message,) = receive(sqs, queue, MessageAttributeNames=["All"])
    assert message["MessageAttributes"]["a"]["StringValue"] == "b"
