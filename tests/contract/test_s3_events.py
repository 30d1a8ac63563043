"""Notifications of S3 as a queue receives them."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
import json
from typing import Any

from lambda_deployment import deploy, zipped
import pytest

from local_server import allow_s3, client, queue_policy, raw, refusal

Receive = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def told(s3_url: str, s3: Any, bucket: str) -> Iterator[Receive]:
    """The events below `in/` that a queue was told of, in their order; all kinds of them."""
    sqs = client("sqs", s3_url)
    url, arn = new_queue(sqs, bucket, bucket)
    rule = {
        "QueueArn": arn, "Id": "all", "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}]}},
    }  # fmt: skip
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [rule]})

    def receive() -> list[dict[str, Any]]:
        return [record for body in bodies(sqs, url) for record in body["Records"]]

    assert [body["Event"] for body in bodies(sqs, url)] == ["s3:TestEvent"]
    yield receive
    sqs.close()


def new_queue(sqs: Any, name: str, bucket: str) -> tuple[str, str]:
    """URL and ARN of a queue that S3 may tell of a bucket's events."""
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes=queue_policy(arn, bucket))
    return url, arn


def bodies(sqs: Any, url: str) -> list[Mapping[str, Any]]:
    """What the messages say that are in a queue now."""
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0).get("Messages", [])
    return [json.loads(message["Body"]) for message in messages]


def test_each_queue_of_a_new_configuration_is_tested_once(s3_url: str, s3: Any, bucket: str) -> None:
    """S3's test message goes to every queue that is told, once; not when validation is skipped, nor when it fails."""
    sqs = client("sqs", s3_url)
    (one, first), (two, second) = (new_queue(sqs, f"{bucket}-{n}", bucket) for n in (1, 2))
    rules = [
        {"QueueArn": arn, "Events": [event]}
        for arn, event in ((first, "s3:ObjectCreated:*"), (first, "s3:ObjectRemoved:*"), (second, "s3:ObjectTagging:*"))
    ]
    configuration = {"QueueConfigurations": rules}
    put = s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)
    for url in (one, two):
        (message,) = bodies(sqs, url)
        assert datetime.fromisoformat(message["Time"]).tzinfo is not None
        assert {name: value for name, value in message.items() if name not in {"Time", "HostId"}} == {
            "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": bucket,
            "RequestId": put["ResponseMetadata"]["RequestId"],
        }  # fmt: skip
        assert message["HostId"]
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration=configuration, SkipDestinationValidation=True
    )
    sqs.set_queue_attributes(QueueUrl=two, Attributes={"Policy": ""})
    parameters = {"Bucket": bucket, "NotificationConfiguration": configuration}
    assert refusal(s3.put_bucket_notification_configuration, **parameters) == (400, "InvalidArgument")
    assert not [*bodies(sqs, one), *bodies(sqs, two)]
    sqs.close()


def test_a_function_is_not_tested(s3_url: str, s3: Any, bucket: str) -> None:
    """Of a function S3 looks at the permission alone: nothing is invoked before there is an event."""
    functions = client("lambda", s3_url)
    deploy(functions, "told", zipped("def handler(event, context):\n    return event\n"))
    allow_s3(functions, "told", bucket)
    arn = functions.get_function_configuration(FunctionName="told")["FunctionArn"]
    rule = {"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}

    def accepted() -> int:
        counts = json.loads(raw(s3_url, "GET", "/_platform/status").body)["executor"]["events_by_function"]
        return int(counts.get("told", {"accepted": 0})["accepted"])

    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [rule]}
    )
    assert accepted() == 0
    s3.put_object(Bucket=bucket, Key="k")
    assert accepted() == 1
    functions.delete_function(FunctionName="told")
    functions.close()


def test_every_way_to_create_has_its_event(s3: Any, bucket: str, told: Receive) -> None:
    """Put, Copy and CompleteMultipartUpload are told with size, ETag and a growing sequencer; parts are not."""
    put = s3.put_object(Bucket=bucket, Key="in/a b", Body=b"1234")
    s3.copy_object(Bucket=bucket, Key="in/c", CopySource={"Bucket": bucket, "Key": "in/a b"})
    upload = {
        "Bucket": bucket, "Key": "in/d",
        "UploadId": s3.create_multipart_upload(Bucket=bucket, Key="in/d")["UploadId"],
    }  # fmt: skip
    part = s3.upload_part(PartNumber=1, Body=b"12", **upload)
    for _ in range(2):  # the repetition makes no second object, and tells nobody
        s3.complete_multipart_upload(MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}, **upload)
    s3.put_object(Bucket=bucket, Key="elsewhere", Body=b"1")
    records = told()
    assert [(r["eventName"], r["s3"]["object"]["key"], r["s3"]["object"]["size"]) for r in records] == [
        ("ObjectCreated:Put", "in/a+b", 4), ("ObjectCreated:Copy", "in/c", 4),
        ("ObjectCreated:CompleteMultipartUpload", "in/d", 2),
    ]  # fmt: skip
    sequencers = [r["s3"]["object"]["sequencer"] for r in records]
    assert sequencers == sorted(set(sequencers))
    assert records[0]["s3"]["object"]["eTag"] == put["ETag"].strip('"')
    assert records[0]["responseElements"]["x-amz-request-id"] == put["ResponseMetadata"]["RequestId"]
    assert records[2]["s3"]["object"]["eTag"].endswith("-1")


def test_removals_and_tags_have_their_events(s3: Any, bucket: str, told: Receive) -> None:
    """Deletions of what was there are told, one by one, without a size; tags are too."""
    for key in ("in/1", "in/2", "in/3"):
        s3.put_object(Bucket=bucket, Key=key)
    told()
    s3.put_object_tagging(Bucket=bucket, Key="in/1", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    s3.delete_object_tagging(Bucket=bucket, Key="in/1")
    s3.delete_object(Bucket=bucket, Key="in/1")
    s3.delete_object(Bucket=bucket, Key="in/1")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "in/2"}, {"Key": "in/absent"}, {"Key": "in/3"}]})
    records = told()
    assert [(r["eventName"], r["s3"]["object"]["key"]) for r in records] == [
        ("ObjectTagging:Put", "in/1"), ("ObjectTagging:Delete", "in/1"), ("ObjectRemoved:Delete", "in/1"),
        ("ObjectRemoved:Delete", "in/2"), ("ObjectRemoved:Delete", "in/3"),
    ]  # fmt: skip
    assert all("size" not in r["s3"]["object"] for r in records)


def test_what_was_refused_is_not_told(s3: Any, bucket: str, told: Receive) -> None:
    """A write that failed its condition or its checksum has no event."""
    s3.put_object(Bucket=bucket, Key="in/k", IfNoneMatch="*")
    refusal(s3.put_object, Bucket=bucket, Key="in/k", IfNoneMatch="*")
    refusal(s3.put_object, Bucket=bucket, Key="in/k", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==")
    refusal(s3.delete_object, Bucket=bucket, Key="in/k", IfMatch='"other"')
    assert [r["eventName"] for r in told()] == ["ObjectCreated:Put"]


@pytest.mark.parametrize(
    ("event", "code"),
    [("s3:ObjectCreated:*", ""), ("s3:ObjectRestore:*", ""), ("s3:LifecycleExpiration:Delete", ""),
     ("s3:ObjectEaten:Put", "InvalidArgument"), ("s3:*", "InvalidArgument"),
     ("s3:ObjectCreated:Pu", "InvalidArgument")],
)  # fmt: skip
def test_only_events_of_s3_are_taken(s3: Any, bucket: str, event: str, code: str) -> None:
    """A rule for an event that S3 does not have would never fire: it is refused."""
    rule = {"QueueArn": "arn:aws:sqs:us-east-1:000000000000:q", "Events": [event]}
    parameters: dict[str, Any] = {
        "Bucket": bucket, "NotificationConfiguration": {"QueueConfigurations": [rule]},
        "SkipDestinationValidation": True,
    }  # fmt: skip
    if code:
        assert refusal(s3.put_bucket_notification_configuration, **parameters) == (400, code)
    else:
        s3.put_bucket_notification_configuration(**parameters)
        kept = s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
        assert kept[0]["Events"] == [event]
