"""One script of boto3 calls, to be run against several servers that claim to be SQS."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity_script import Notes, Told

SOON = {"WaitTimeSeconds": 1}
"""For a message that shall be visible at once: moto's clock has milliseconds, and in the same one it is not yet."""
COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")


@dataclass
class Script:
    """Runs the calls on one server."""

    sqs: Any
    """A client that checks no parameters: what is wrong is the server's to refuse."""
    notes: Notes

    def note(self, name: str, operation: str, *fields: str, **parameters: Any) -> dict[str, Any]:
        """Call an operation and note what it tells; the whole answer."""
        return self.notes.call(self.sqs, name, operation, *fields, **parameters)

    def queue(self, name: str, **attributes: str) -> dict[str, str]:
        """A new queue, as the parameter that names it."""
        return {"QueueUrl": self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]}


def queues(script: Script) -> None:
    """Create, find, list, configure, delete."""
    note = script.note
    made = note("create", "create_queue", QueueName="parity-a", Attributes={"VisibilityTimeout": "7"})
    named = {"QueueUrl": made["QueueUrl"]}
    note("create again", "create_queue", QueueName="parity-a", Attributes={"VisibilityTimeout": "7"})
    note("create otherwise", "create_queue", QueueName="parity-a", Attributes={"VisibilityTimeout": "8"})
    note("create, wrong name", "create_queue", QueueName="a b")
    note("create, long name", "create_queue", QueueName="q" * 81)
    note("create, wrong value", "create_queue", QueueName="w", Attributes={"VisibilityTimeout": "43201"})
    note("create, wrong attribute", "create_queue", QueueName="x", Attributes={"Colour": "red"})
    script.queue("parity-b")
    defaults = ("QueueArn", "VisibilityTimeout", "DelaySeconds", "ReceiveMessageWaitTimeSeconds",
                "MessageRetentionPeriod", "MaximumMessageSize", *COUNTS)  # fmt: skip
    note("attributes", "get_queue_attributes", *_at("Attributes", defaults), **named, AttributeNames=["All"])
    note("one attribute", "get_queue_attributes", "Attributes", **named, AttributeNames=["VisibilityTimeout"])
    note("no attributes", "get_queue_attributes", "Attributes", **named)
    note("unknown attribute", "get_queue_attributes", **named, AttributeNames=["Colour"])
    note("set", "set_queue_attributes", **named, Attributes={"VisibilityTimeout": "9"})
    note("set wrong value", "set_queue_attributes", **named, Attributes={"DelaySeconds": "901"})
    note("set wrong attribute", "set_queue_attributes", **named, Attributes={"Colour": "red"})
    note("attribute set", "get_queue_attributes", "Attributes", **named, AttributeNames=["VisibilityTimeout"])
    found = note("URL", "get_queue_url", QueueName="parity-a")
    script.notes.told["URL is the same"] = (found["QueueUrl"] == made["QueueUrl"],)
    note("URL of absent", "get_queue_url", QueueName="absent")
    listed = script.sqs.list_queues(QueueNamePrefix="parity-").get("QueueUrls", [])
    script.notes.told["list"] = sorted(url.rpartition("/")[2] for url in listed)
    note("list none", "list_queues", "QueueUrls", QueueNamePrefix="absent")
    note("tag", "tag_queue", **named, Tags={"a": "1"})
    note("tags", "list_queue_tags", "Tags", **named)
    note("untag", "untag_queue", **named, TagKeys=["a"])
    note("delete", "delete_queue", **named)
    note("attributes of absent", "get_queue_attributes", **named, AttributeNames=["All"])
    note("send to absent", "send_message", **named, MessageBody="m")


def _at(row: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{row}.{name}" for name in names)


def messages(script: Script) -> None:
    """Send, receive, hide, delete."""
    note, named = script.note, script.queue("parity-m")
    kind = {"DataType": "String", "StringValue": "v"}
    sums = ("MD5OfMessageBody", "MD5OfMessageAttributes")
    note("send", "send_message", *sums, **named, MessageBody="ü", MessageAttributes={"a": kind})
    note("send 1 MiB and a byte", "send_message", **named, MessageBody="x" * ((1 << 20) + 1))
    note("send later than ever", "send_message", **named, MessageBody="m", DelaySeconds=901)
    note("count", "get_queue_attributes", "Attributes", **named, AttributeNames=list(COUNTS))
    received = ("Messages.Body", "Messages.MD5OfBody", "Messages.MessageAttributes")
    answer = note("receive", "receive_message", *received, **named, MessageAttributeNames=["All"])
    note("receive nothing", "receive_message", "Messages", **named)
    note("count hidden", "get_queue_attributes", "Attributes", **named, AttributeNames=list(COUNTS))
    handle = {**named, "ReceiptHandle": answer["Messages"][0]["ReceiptHandle"]}
    note("show", "change_message_visibility", **handle, VisibilityTimeout=0)
    attributes = ["ApproximateReceiveCount"]
    again = note("receive again", "receive_message", "Messages.Body", "Messages.Attributes", **named, **SOON,
                 AttributeNames=attributes)  # fmt: skip
    handle = {**named, "ReceiptHandle": again["Messages"][0]["ReceiptHandle"]}
    note("hide too long", "change_message_visibility", **handle, VisibilityTimeout=43_201)
    note("delete message", "delete_message", **handle)
    note("delete message again", "delete_message", **handle)
    note("delete no handle", "delete_message", **named, ReceiptHandle="no handle")
    note("hide deleted", "change_message_visibility", **handle, VisibilityTimeout=1)
    note("receive eleven", "receive_message", **named, MaxNumberOfMessages=11)
    note("receive none", "receive_message", **named, MaxNumberOfMessages=0)
    note("wait too long", "receive_message", **named, WaitTimeSeconds=21)
    note("count nothing", "get_queue_attributes", "Attributes", **named, AttributeNames=list(COUNTS))
    note("send nothing", "send_message", **named, MessageBody="")
    note("send what XML cannot hold", "send_message", **named, MessageBody="\x00")


def batches(script: Script) -> None:
    """Ten at once."""
    note, named = script.note, script.queue("parity-batch")
    entries = [{"Id": str(n), "MessageBody": f"m{n}"} for n in range(10)]
    rows = ("Successful.Id", "Successful.MD5OfMessageBody", "Failed.Id")
    note("send batch", "send_message_batch", *rows, **named, Entries=entries)
    note("send no batch", "send_message_batch", **named, Entries=[])
    note("send eleven", "send_message_batch", **named, Entries=[*entries, {"Id": "x", "MessageBody": "x"}])
    note("send twins", "send_message_batch", **named, Entries=[entries[0], entries[0]])
    note("send wrong id", "send_message_batch", **named, Entries=[{"Id": "a b", "MessageBody": "x"}])
    answer = note("receive batch", "receive_message", "Messages.Body", **named, MaxNumberOfMessages=10)
    held = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(answer["Messages"])]
    shown = [{**entry, "VisibilityTimeout": 60} for entry in held]
    named_rows = ("Successful.Id", "Failed.Id")
    note("hide batch", "change_message_visibility_batch", *named_rows, **named, Entries=shown)
    note("delete batch", "delete_message_batch", *named_rows, **named, Entries=held[:9])
    note("delete no batch", "delete_message_batch", **named, Entries=[])
    note("delete twins", "delete_message_batch", **named, Entries=[held[9], held[9]])
    note("count the last", "get_queue_attributes", "Attributes", **named, AttributeNames=list(COUNTS))
    note("purge", "purge_queue", **named)
    note("count purged", "get_queue_attributes", "Attributes", **named, AttributeNames=list(COUNTS))


def dead_letters(script: Script) -> None:
    """A queue whose messages go elsewhere after two attempts."""
    note, dead = script.note, script.queue("parity-dead")
    arn = script.sqs.get_queue_attributes(**dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = f'{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": 2}}'
    named = script.queue("parity-live", RedrivePolicy=policy, VisibilityTimeout="0")
    script.sqs.send_message(**named, MessageBody="m")
    for attempt, wait in ((1, SOON), (2, SOON), (3, {})):
        note(f"attempt {attempt}", "receive_message", "Messages.Body", **named, **wait)
    note("dead letter", "receive_message", "Messages.Body", **dead)
    note("sources", "list_dead_letter_source_queues", **dead)
    note("redrive to absent", "set_queue_attributes", **named,
         Attributes={"RedrivePolicy": policy.replace("parity-dead", "absent")})  # fmt: skip
    note("redrive without count", "set_queue_attributes", **named,
         Attributes={"RedrivePolicy": f'{{"deadLetterTargetArn": "{arn}"}}'})  # fmt: skip


def run(sqs: Any, url: str, cwd: Path) -> Told:
    """The whole script on one server; what each call told, by name."""
    script = Script(sqs, Notes(url, cwd))
    for part in (queues, messages, batches, dead_letters):
        part(script)
    return script.notes.told
