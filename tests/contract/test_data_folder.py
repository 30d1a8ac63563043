"""What a server was told outlives it in a data folder: after its end, after `kill -9`, on a damaged or full disk."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
import hashlib
import http.client
import json
import os
from pathlib import Path
from random import Random
import signal
import subprocess
import sys
from threading import Event, Timer
from time import monotonic
from typing import Any

from lambda_deployment import FAST, answering, deploy, zipped
import pytest

from conftest import processes_left
from full_disk import fill, small_disk
from local_server import PLATFORM, allow_s3, client, raw, refusal, serving

ROUNDS = int(os.environ.get("SERVERLESS_MLPERF_KILL_ROUNDS", "2"))
"""Servers that are killed while clients write."""
WRITERS = 4


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server with a data folder, its URL and process; killed at the end if it still runs, and waited for."""
    command = [sys.executable, *PLATFORM, "--data", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}", process
        finally:
            process.kill()
            # What was making the functions' runtime ends by itself.
            wait_for(lambda: not any("local.runtime" in line for line in processes_left()))


def kill(process: subprocess.Popen[bytes]) -> str:
    """Kill it as the kernel does; what it said."""
    process.send_signal(signal.SIGKILL)
    assert process.wait(20) == -signal.SIGKILL
    assert process.stderr is not None
    return process.stderr.read().decode()


def refused(folder: Path) -> tuple[int, str]:
    """Exit status and words of a server that does not take a folder."""
    command = [sys.executable, *PLATFORM, "--data", str(folder)]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder that is not there yet."""
    return tmp_path / "data"


def write(url: str, writer: int, acknowledged: dict[str, bytes | None]) -> None:
    """Put and delete objects one after the other until the server is gone; note what it acknowledged."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    random = Random(writer)  # noqa: S311 - sizes and keys of a test
    try:
        for number in range(1_000_000):
            key = f"{writer}/{number % 50}"
            body = None if random.random() < 0.2 else random.randbytes(random.choice((10, 1_000, 100_000, 400_000)))
            acknowledged.pop(key, None)  # until the answer comes, both are right
            connection.request("PUT" if body is not None else "DELETE", f"/bench/{key}", body)
            response = connection.getresponse()
            response.read()
            assert response.status in {200, 204}
            acknowledged[key] = body
    except (OSError, http.client.HTTPException):
        connection.close()


def test_killed_server_keeps_what_it_acknowledged(folder: Path) -> None:
    """Clients write in parallel, the server is killed at any moment: the next one has every acknowledged object."""
    random = Random(ROUNDS)  # noqa: S311 - when a test kills
    acknowledged: dict[str, bytes | None] = {}
    for number in range(ROUNDS):
        with served(folder) as (url, process), ThreadPoolExecutor(WRITERS) as pool:
            assert raw(url, "PUT", "/bench").status == 200
            check(url, acknowledged)
            killing = Timer(random.uniform(0.05, 0.8), process.kill)
            killing.start()
            for writer in range(WRITERS):
                pool.submit(write, url, number * WRITERS + writer, acknowledged)
            killing.join()
    assert len(acknowledged) > 10
    with served(folder) as (url, _):
        check(url, acknowledged)


def check(url: str, acknowledged: dict[str, bytes | None]) -> None:
    """Every object is there byte for byte, every deleted one is not."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    for key, body in acknowledged.items():
        connection.request("GET", f"/bench/{key}")
        response = connection.getresponse()
        content = response.read()
        assert response.status == (404 if body is None else 200), key
        assert body is None or (content == body and response.headers["etag"] == f'"{hashlib.md5(body).hexdigest()}"')  # noqa: S324
    connection.close()


def everything(s3: Any) -> dict[str, Any]:
    """What S3 says of the bucket `kept`."""
    found: dict[str, Any] = {}
    for key in ("plain", "copy", "joined", "ünï/../code", "tagged"):
        answer = s3.get_object(Bucket="kept", Key=key, ChecksumMode="ENABLED")
        found[key] = answer["Body"].read()
        found[f"{key} headers"] = {
            name: value
            for name, value in answer["ResponseMetadata"]["HTTPHeaders"].items()
            if name not in {"date", "x-amz-request-id", "x-amz-id-2"}
        }
        found[f"{key} tags"] = s3.get_object_tagging(Bucket="kept", Key=key)["TagSet"]
        found[f"{key} parts"] = s3.get_object_attributes(
            Bucket="kept", Key=key, ObjectAttributes=["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
        )
    found["range"] = s3.get_object(Bucket="kept", Key="joined", Range="bytes=5242000-5243000")["Body"].read()
    found["part"] = s3.get_object(Bucket="kept", Key="joined", PartNumber=2)["Body"].read()
    calls = ("list_objects_v2", "get_bucket_notification_configuration", "get_bucket_tagging", "get_bucket_policy",
             "get_public_access_block", "list_multipart_uploads", "get_bucket_location")  # fmt: skip
    found |= {call: getattr(s3, call)(Bucket="kept") for call in calls}
    found["buckets"] = s3.list_buckets()["Buckets"]
    for value in found.values():
        if isinstance(value, dict):
            value.pop("ResponseMetadata", None)
    return found


def fill_bucket(s3: Any) -> str:
    """Objects of every kind in the bucket `kept`, and an upload that is not complete; its id."""
    s3.create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.create_bucket(Bucket="gone")
    s3.delete_bucket(Bucket="gone")
    s3.put_bucket_tagging(Bucket="kept", Tagging={"TagSet": [{"Key": "a", "Value": "ü"}]})
    s3.put_bucket_policy(Bucket="kept", Policy='{"Statement": []}')
    s3.delete_public_access_block(Bucket="kept")
    s3.put_public_access_block(Bucket="kept", PublicAccessBlockConfiguration={"BlockPublicAcls": False})
    s3.put_object(
        Bucket="kept", Key="plain", Body=b"x" * 5, Metadata={"a": "b"}, ContentType="text/x", ChecksumAlgorithm="SHA256"
    )
    s3.put_object(Bucket="kept", Key="ünï/../code", Body=b"")
    s3.put_object(Bucket="kept", Key="deleted", Body=b"x")
    s3.delete_object(Bucket="kept", Key="deleted")
    begun = s3.create_multipart_upload(Bucket="kept", Key="joined", ChecksumAlgorithm="CRC32C")["UploadId"]
    parts = []
    for number, size in ((1, 5 << 20), (2, 1000)):
        answer = s3.upload_part(
            Bucket="kept",
            Key="joined",
            UploadId=begun,
            PartNumber=number,
            Body=os.urandom(size),
            ChecksumAlgorithm="CRC32C",
        )
        parts.append({"PartNumber": number, **{name: answer[name] for name in ("ETag", "ChecksumCRC32C")}})
    s3.complete_multipart_upload(Bucket="kept", Key="joined", UploadId=begun, MultipartUpload={"Parts": parts})
    s3.copy_object(Bucket="kept", Key="copy", CopySource="kept/joined", StorageClass="STANDARD_IA")
    s3.copy_object(Bucket="kept", Key="tagged", CopySource="kept/joined")
    s3.put_object_tagging(Bucket="kept", Key="tagged", Tagging={"TagSet": [{"Key": "t", "Value": "1"}]})
    return s3.create_multipart_upload(Bucket="kept", Key="later")["UploadId"]  # type: ignore[no-any-return]


def test_buckets_and_objects_survive(folder: Path) -> None:
    """All that S3 says of buckets, objects and uploads is the same after a kill; an upload goes on where it was."""
    with served(folder) as (url, process):
        s3 = client("s3", url)
        begun = fill_bucket(s3)
        etags = [upload_part(s3, begun, 1, bytes(6 << 20)), upload_part(s3, begun, 1, bytes([1]) * (5 << 20))]
        before = everything(s3)
        kill(process)
    with serving(*PLATFORM, "--data", str(folder)) as url:
        s3 = client("s3", url)
        assert everything(s3) == before
        etags.append(upload_part(s3, begun, 2, b"end"))
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags[1:], 1)]
        done = s3.complete_multipart_upload(
            Bucket="kept", Key="later", UploadId=begun, MultipartUpload={"Parts": parts}
        )
        s3.delete_object(Bucket="kept", Key="joined")
    with serving(*PLATFORM, "--data", str(folder)) as url:
        s3 = client("s3", url)
        assert s3.get_object(Bucket="kept", Key="later")["Body"].read() == bytes([1]) * (5 << 20) + b"end"
        again = s3.complete_multipart_upload(
            Bucket="kept", Key="later", UploadId=begun, MultipartUpload={"Parts": parts}
        )
        assert again["ETag"] == done["ETag"]
        assert refusal(s3.get_object, Bucket="kept", Key="joined") == (404, "NoSuchKey")
        assert s3.get_object(Bucket="kept", Key="tagged")["Body"].read() == before["joined"]
        assert len(list((folder / "bodies").iterdir())) == 3


def upload_part(s3: Any, upload: str, number: int, body: bytes) -> str:
    """Put a part; its ETag."""
    answer = s3.upload_part(Bucket="kept", Key="later", UploadId=upload, PartNumber=number, Body=body)
    return str(answer["ETag"])


def described(functions: Any) -> dict[str, Any]:
    """What Lambda says of the function `kept`, but for addresses of its server."""
    found: dict[str, Any] = {
        "function": functions.get_function(FunctionName="kept")["Configuration"],
        "versions": functions.list_versions_by_function(FunctionName="kept")["Versions"],
        "layers": functions.list_layer_versions(LayerName="l")["LayerVersions"],
    }
    calls = ("list_aliases", "get_policy", "get_function_concurrency", "get_function_event_invoke_config")
    found |= {call: getattr(functions, call)(FunctionName="kept") for call in calls}
    for value in found.values():
        if isinstance(value, dict):
            value.pop("ResponseMetadata", None)
    return found


COPYING = """
import os
from urllib.request import Request, urlopen
BUCKET = os.environ["AWS_ENDPOINT_URL"] + "/kept/"
def handler(event, context):
    told = event["Records"][0]["s3"]["object"]
    with urlopen(BUCKET + told["key"]) as found:
        body = found.read() + os.environ["TAIL"].encode()
    urlopen(Request(BUCKET + "out/" + told["sequencer"], body, method="PUT")).close()
"""


def test_functions_and_notifications_survive(folder: Path) -> None:
    """A function is what it was after a kill, versions, aliases and policy too, and events of S3 start it again."""
    with served(folder) as (url, process):
        s3, functions = client("s3", url), client("lambda", url)
        s3.create_bucket(Bucket="kept")
        layer = functions.publish_layer_version(LayerName="l", Content={"ZipFile": zipped("", "python/x.py")})
        deploy(functions, "gone", answering("x"))
        functions.delete_function(FunctionName="gone")
        made = deploy(functions, "kept", zipped(COPYING), Layers=[layer["LayerVersionArn"]], MemorySize=1769,
                      Timeout=30, Environment={"Variables": {"TAIL": "!"}}, Publish=True)  # fmt: skip
        functions.create_alias(FunctionName="kept", Name="a", FunctionVersion="1")
        functions.put_function_concurrency(FunctionName="kept", ReservedConcurrentExecutions=3)
        functions.put_function_event_invoke_config(FunctionName="kept", MaximumRetryAttempts=1)
        allow_s3(functions, "kept", "kept")
        arn = made["FunctionArn"].removesuffix(":1")
        rule = {"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"],
                "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}]}}}  # fmt: skip
        s3.put_bucket_notification_configuration(
            Bucket="kept", NotificationConfiguration={"LambdaFunctionConfigurations": [rule]}
        )
        before = described(functions)
        kill(process)
    with serving(*PLATFORM, "--data", str(folder)) as url:
        s3, functions = client("s3", url), client("lambda", url)
        assert described(functions) == before
        assert refusal(functions.get_function, FunctionName="gone") == (404, "ResourceNotFoundException")
        assert len(list((folder / "zips").iterdir())) == 2
        s3.put_object(Bucket="kept", Key="in/1", Body=b"hello")
        assert next(outputs(s3)) == b"hello!"


def outputs(s3: Any) -> Iterator[bytes]:
    """The objects below `out/`, as they come."""
    end_s = monotonic() + 60
    while monotonic() < end_s:
        for found in s3.list_objects_v2(Bucket="kept", Prefix="out/").get("Contents", ()):
            yield s3.get_object(Bucket="kept", Key=found["Key"])["Body"].read()


FAILING = """
import os, json
from urllib.request import Request, urlopen
BUCKET = os.environ["AWS_ENDPOINT_URL"] + "/kept/"
def handler(event, context):
    urlopen(BUCKET + "go").close()
    urlopen(Request(BUCKET + "out/" + event["n"], json.dumps(event).encode(), method="PUT")).close()
"""


def test_events_under_way_are_delivered(folder: Path) -> None:
    """Events that were accepted, and had failed or not begun, are delivered by the next server; delivered ones not."""
    with served(folder) as (url, process):
        s3, functions = client("s3", url), client("lambda", url)
        s3.create_bucket(Bucket="kept")
        deploy(functions, "f", zipped(FAILING), Timeout=30, MemorySize=1769)
        for number in range(3):
            functions.invoke(FunctionName="f", InvocationType="Event", Payload=json.dumps({"n": str(number)}).encode())
        wait_for(lambda: events(url)["failed"] == 3)
        s3.put_object(Bucket="kept", Key="go")
        functions.invoke(FunctionName="f", InvocationType="Event", Payload=b'{"n": "delivered"}')
        wait_for(lambda: events(url)["delivered"] == 1)
        s3.delete_object(Bucket="kept", Key="out/delivered")
        kill(process)
    with serving(*PLATFORM, "--data", str(folder)) as url:
        s3 = client("s3", url)
        wait_for(lambda: events(url)["delivered"] == 3)
        found = [each["Key"] for each in s3.list_objects_v2(Bucket="kept", Prefix="out/")["Contents"]]
        assert found == ["out/0", "out/1", "out/2"]
    with serving(*PLATFORM, "--data", str(folder)) as url:
        assert events(url)["accepted"] == 0


def events(url: str) -> dict[str, int]:
    """What the status page counts of asynchronous events."""
    return dict(json.loads(raw(url, "GET", "/_platform/status").body)["executor"]["events"])


def wait_for(condition: Callable[[], bool]) -> None:
    """Return when it holds; it is looked at again and again, since a server tells nobody."""
    end_s = monotonic() + 60
    while not condition():
        assert monotonic() < end_s
        Event().wait(0.05)


def test_queues_and_messages_survive(folder: Path) -> None:
    """Queues and messages are there after a kill, those in flight visible; deleted ones are not."""
    with served(folder) as (url, process):
        sqs = client("sqs", url)
        dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
        redrive = {"deadLetterTargetArn": arn_of(sqs, dead), "maxReceiveCount": 1}
        settings = {"VisibilityTimeout": "0", "RedrivePolicy": json.dumps(redrive)}
        queue = sqs.create_queue(QueueName="q", Attributes=settings, tags={"a": "b"})["QueueUrl"]
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"DelaySeconds": "1", "VisibilityTimeout": "600"})
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"DelaySeconds": "0"})
        attribute = {
            "x": {"DataType": "Binary", "BinaryValue": b"\0\xff"},
            "y": {"DataType": "Number", "StringValue": "1"},
        }
        sqs.send_message(QueueUrl=queue, MessageBody="buried")
        sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0)
        assert "Messages" not in sqs.receive_message(QueueUrl=queue)
        for body in ("deleted", "taken", "ü<", "last"):
            sqs.send_message(QueueUrl=queue, MessageBody=body, MessageAttributes=attribute)
        sqs.send_message(QueueUrl=queue, MessageBody="later", DelaySeconds=900)
        received = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=2)["Messages"]
        assert [message["Body"] for message in received] == ["deleted", "taken"]
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=received[0]["ReceiptHandle"])
        gone = sqs.create_queue(QueueName="gone")["QueueUrl"]
        sqs.send_message(QueueUrl=gone, MessageBody="x")
        sqs.delete_queue(QueueUrl=gone)
        before = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        kill(process)
    with serving(*PLATFORM, "--data", str(folder)) as url:
        sqs = client("sqs", url)
        assert [each.rpartition("/")[2] for each in sqs.list_queues()["QueueUrls"]] == ["dead", "q"]
        dead, queue = f"{url}/000000000000/dead", f"{url}/000000000000/q"
        after = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        assert after == {**before, "ApproximateNumberOfMessages": "3", "ApproximateNumberOfMessagesNotVisible": "0"}
        assert sqs.list_queue_tags(QueueUrl=queue)["Tags"] == {"a": "b"}
        everything = {"MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]}
        received = sqs.receive_message(QueueUrl=queue, **everything)["Messages"]
        assert [message["Body"] for message in received] == ["taken", "ü<", "last"]
        assert received[0]["MessageAttributes"] == attribute
        assert sqs.receive_message(QueueUrl=dead)["Messages"][0]["Body"] == "buried"
        sqs.purge_queue(QueueUrl=queue)
    with serving(*PLATFORM, "--data", str(folder)) as url:
        queue = f"{url}/000000000000/q"
        counts = client("sqs", url).get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        assert (counts["ApproximateNumberOfMessages"], counts["ApproximateNumberOfMessagesDelayed"]) == ("0", "0")


def arn_of(sqs: Any, queue: str) -> str:
    """The ARN of a queue."""
    return str(sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])


def test_damaged_package_is_told(folder: Path) -> None:
    """A function's zip that is not what was uploaded is one line, and no server."""
    with served(folder) as (url, process):
        deploy(client("lambda", url), "f", answering("x"))
        kill(process)
    (package,) = (folder / "zips").iterdir()
    content = bytearray(package.read_bytes())
    content[50] ^= 1
    package.write_bytes(content)
    assert refused(folder) == (
        2,
        f"error: {package}: damaged; restore the data folder from a copy, or give another --data\n",
    )


def test_damaged_files_are_told_and_not_served(folder: Path) -> None:
    """A flipped bit in an object's file is a 500 and a line; one in the journal is a line and no server."""
    with served(folder) as (url, process):
        assert raw(url, "PUT", "/bench").status == 200
        for key in ("large", "other"):
            assert raw(url, "PUT", f"/bench/{key}", bytes(3 << 20)).status == 200
        body = folder / "bodies" / "000000000001"
        with body.open("r+b") as file:
            file.seek(2 << 20)
            file.write(b"\1")
        answer = raw(url, "GET", "/bench/large")
        assert (answer.status, answer.code) == (500, "InternalError")
        assert raw(url, "GET", "/bench/large", headers={"range": "bytes=0-9"}).body == bytes(10)
        assert raw(url, "GET", "/bench/other").status == 200
        said = kill(process)
    assert said.splitlines() == [f"{body}: damaged in the MiB at byte {2 << 20}; put the object again"]
    segment = folder / "journal" / "000000000001"
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    status, said = refused(folder)
    assert status == 2
    assert said.startswith(f"error: {segment}: damaged at byte ")
    assert said.count("\n") == 1


def test_end_of_a_power_cut_is_mended(folder: Path) -> None:
    """Zeros where the last blocks should be: a line, and all that was written before is served."""
    with served(folder) as (url, process):
        assert raw(url, "PUT", "/bench").status == 200
        assert raw(url, "PUT", "/bench/first", b"1" * 3000).status == 200
        assert raw(url, "PUT", "/bench/second", b"2" * 3000).status == 200
        kill(process)
    segment = folder / "journal" / "000000000001"
    content = segment.read_bytes()
    segment.write_bytes(content[: len(content) - 2000 & ~511] + bytes(4096))
    with served(folder) as (url, process):
        assert raw(url, "GET", "/bench/first").body == b"1" * 3000
        assert raw(url, "GET", "/bench/second").status == 404
        assert raw(url, "PUT", "/bench/second", b"3").status == 200
        (line,) = kill(process).splitlines()
    assert line.startswith(f"{segment}: ")
    assert " bytes at its end are cut off: " in line
    with served(folder) as (url, process):
        assert raw(url, "GET", "/bench/second").body == b"3"
        assert kill(process) == ""


def test_one_server_has_a_folder(folder: Path) -> None:
    """A second server on the same folder says who has it; a file in its place is refused, too."""
    with served(folder):
        status, said = refused(folder)
        assert (status, said.count("\n")) == (1, 1)
        assert f"data folder {folder}: another server uses it" in said
    folder.with_name("file").touch()
    assert refused(folder.with_name("file"))[0] == 2


def settled(url: str, functions: Any) -> None:
    """Return when nothing is written any more but what a request asks for."""
    functions.get_waiter("function_updated_v2").wait(FunctionName="f", WaiterConfig=FAST)
    assert raw(url, "GET", "/bench/small").status == 200


def refuse_to_grow(sqs: Any, queue: str, functions: Any) -> None:
    """Messages and functions that find no room are as they were."""
    assert refusal(sqs.send_message, QueueUrl=queue, MessageBody="x" * 100_000) == (500, "InternalFailure")
    counted = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    assert counted == {"ApproximateNumberOfMessages": "0"}
    tags = {"x" * 100 + str(number): "y" * 250 for number in range(40)}
    arn = functions.get_function(FunctionName="f")["Configuration"]["FunctionArn"]
    assert refusal(functions.tag_resource, Resource=arn, Tags=tags) == (500, "ServiceException")
    assert functions.list_tags(Resource=arn)["Tags"] == {}


def test_full_disk_is_told_and_survived(tmp_path: Path) -> None:
    """Without room a PUT is S3's InternalError, what was there is served and can be deleted, and then there is room."""
    with small_disk(tmp_path / "disk", "30m") as disk:
        (disk / "data").mkdir()
        with served(disk / "data") as (url, process):
            assert raw(url, "PUT", "/bench").status == 200
            for key, size in (("small", 1000), ("large", 1 << 20)):
                assert raw(url, "PUT", f"/bench/{key}", bytes(size)).status == 200
            sqs, functions = client("sqs", url), client("lambda", url)
            queue = sqs.create_queue(QueueName="q")["QueueUrl"]
            deploy(functions, "f", answering("x"))
            settled(url, functions)
            fill(disk)
            refuse_to_grow(sqs, queue, functions)
            for size in (100_000, 1 << 20):
                answer = raw(url, "PUT", "/bench/small", b"x" * size)
                assert (answer.status, answer.code) == (500, "InternalError")
                assert b"Free disk space" in answer.body
            assert raw(url, "GET", "/bench/small").body == bytes(1000)
            assert raw(url, "DELETE", "/bench/large").status == 204
            assert raw(url, "PUT", "/bench/small", b"y" * 100_000).status == 200
            said = kill(process)
        assert [line.partition(" (")[0] for line in said.splitlines()] == [
            f"data folder {disk / 'data'}: cannot be written",
            f"data folder {disk / 'data'}: can be written again",
        ]
        with served(disk / "data") as (url, _):
            assert raw(url, "GET", "/bench/small").body == b"y" * 100_000
            assert raw(url, "GET", "/bench/large").status == 404
