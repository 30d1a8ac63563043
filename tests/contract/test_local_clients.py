"""The local platform as unmodified clients see it: boto3, obstore, the `aws` command; functions as real processes."""

from base64 import b64decode
from collections.abc import Iterator
import http.client
import io
import json
import os
from pathlib import Path
import subprocess
import sys
import time
from typing import Any
import zipfile

import boto3
from botocore.client import Config
from botocore.exceptions import ClientError
import obstore
from obstore.store import S3Store
import pytest

from local_server import allow_s3, queue_policy, raw

HANDLER = """
import json, os, urllib.parse, urllib.request
def handler(event, context):
    if "Records" not in event:
        if event.get("fail"):
            raise ValueError("asked to")
        return {"echo": event, "uid": os.getuid()}
    s3 = event["Records"][0]["s3"]
    key = urllib.parse.unquote_plus(s3["object"]["key"])
    folder = f"{os.environ['AWS_ENDPOINT_URL']}/{s3['bucket']['name']}/output/cell/"
    url = folder + urllib.parse.quote(key.rsplit("/", 1)[1])
    urllib.request.urlopen(urllib.request.Request(url, json.dumps({"saw": key}).encode(), method="PUT"))
"""
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server process of its own."""
    command = [sys.executable, "-m", "serverless_mlperf.platforms.local.service", "--parent-stdin"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
    process.stdin.close()  # the server ends with its parent's pipe
    assert process.wait(10) == 0
    process.stdout.close()


@pytest.fixture(scope="module")
def clients(endpoint: str) -> Iterator[dict[str, Any]]:
    """Boto3 clients by service."""
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    made = {n: boto3.client(n, endpoint_url=endpoint, config=config, **CREDENTIALS) for n in ("s3", "sqs", "lambda")}  # type: ignore[call-overload]
    yield made
    for client in made.values():
        client.close()


def code() -> bytes:
    """The function's zip."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("app.py", HANDLER)
    return content.getvalue()


@pytest.fixture(scope="module")
def function(clients: dict[str, Any]) -> str:
    """A function that is told of `input/cell/*.json`, and a queue that is told of `output/cell/`."""
    clients["s3"].create_bucket(Bucket="bucket")
    made = clients["lambda"].create_function(
        FunctionName="echo", Runtime=RUNTIME, Role="arn:aws:iam::000000000000:role/r", Handler="app.handler",
        Code={"ZipFile": code()}, MemorySize=512, Timeout=20,
    )  # fmt: skip
    allow_s3(clients["lambda"], "echo", "bucket")
    queue = clients["sqs"].create_queue(QueueName="done")["QueueUrl"]
    arn = clients["sqs"].get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    clients["sqs"].set_queue_attributes(QueueUrl=queue, Attributes=queue_policy(arn, "bucket"))

    def rule(prefix: str, suffix: str = "") -> dict[str, Any]:
        rules = [{"Name": "prefix", "Value": prefix}] + ([{"Name": "suffix", "Value": suffix}] if suffix else [])
        return {"Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": rules}}}

    trigger = {"LambdaFunctionArn": made["FunctionArn"], **rule("input/cell/", ".json")}
    clients["s3"].put_bucket_notification_configuration(
        Bucket="bucket",
        NotificationConfiguration={
            "LambdaFunctionConfigurations": [trigger],
            "QueueConfigurations": [{"QueueArn": arn, **rule("output/cell/")}],
        },
    )
    (test,) = clients["sqs"].receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"]
    assert json.loads(test["Body"])["Event"] == "s3:TestEvent"
    clients["sqs"].delete_message(QueueUrl=queue, ReceiptHandle=test["ReceiptHandle"])
    return str(queue)


def aws(endpoint: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The `aws` command without any configuration of the host."""
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(cwd), "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    command = [str(Path(sys.executable).parent / "aws"), "--endpoint-url", endpoint, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60, check=False)


def test_aws_s3_cp_makes_an_output_appear(
    endpoint: str, clients: dict[str, Any], function: str, tmp_path: Path
) -> None:
    """`aws s3 cp` of an input triggers the function, and the queue is told of its output."""
    (tmp_path / "a b.json").write_text("{}")
    done = aws(endpoint, "s3", "cp", "a b.json", "s3://bucket/input/cell/", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    message = clients["sqs"].receive_message(QueueUrl=function, WaitTimeSeconds=20)["Messages"][0]
    record = json.loads(message["Body"])["Records"][0]
    assert record["s3"]["object"]["key"] == "output/cell/a+b.json"
    body = clients["s3"].get_object(Bucket="bucket", Key="output/cell/a b.json")["Body"]
    with body:
        assert json.loads(body.read()) == {"saw": "input/cell/a b.json"}
    clients["sqs"].delete_message(QueueUrl=function, ReceiptHandle=message["ReceiptHandle"])


@pytest.mark.usefixtures("function")
def test_aws_lambda_invoke_answers(endpoint: str, tmp_path: Path) -> None:
    """`aws lambda invoke` gives the handler's answer, which did not run as root."""
    arguments = ("--function-name", "echo", "--cli-binary-format", "raw-in-base64-out", "--payload", '{"x": 1}', "out")
    done = aws(endpoint, "lambda", "invoke", *arguments, cwd=tmp_path)
    if "cli-binary-format" in done.stderr:  # version 1 of the command takes the payload as it is
        done = aws(endpoint, "lambda", "invoke", *arguments[:2], *arguments[4:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads((tmp_path / "out").read_text())
    assert answer["echo"] == {"x": 1}
    assert answer["uid"] != 0


@pytest.mark.usefixtures("function")
def test_invoke_reports_and_errors(clients: dict[str, Any]) -> None:
    """The log tail ends with a REPORT line; an exception is a FunctionError; an unknown function a 404."""
    done = clients["lambda"].invoke(FunctionName="echo", Payload=b"{}", LogType="Tail")
    assert b"REPORT RequestId: " in b64decode(done["LogResult"])
    done["Payload"].close()
    failed = clients["lambda"].invoke(FunctionName="echo", Payload=b'{"fail": true}')
    assert failed["FunctionError"] == "Unhandled"
    assert json.loads(failed["Payload"].read())["errorType"] == "ValueError"
    failed["Payload"].close()
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        clients["lambda"].invoke(FunctionName="nobody")


@pytest.mark.usefixtures("function")
def test_throttled_call_says_why(clients: dict[str, Any]) -> None:
    """Beyond the reserved concurrency it is a TooManyRequestsException with Lambda's reason."""
    clients["lambda"].put_function_concurrency(FunctionName="echo", ReservedConcurrentExecutions=0)
    try:
        with pytest.raises(ClientError, match="TooManyRequestsException") as caught:
            clients["lambda"].invoke(FunctionName="echo")
        assert caught.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"  # type: ignore[typeddict-item]
    finally:
        clients["lambda"].delete_function_concurrency(FunctionName="echo")


@pytest.mark.usefixtures("function")
def test_calls_that_come_too_fast_say_so(endpoint: str, clients: dict[str, Any]) -> None:
    """Ten requests a second for each unit of reserved concurrency: the eleventh is told that it is the rate."""
    clients["lambda"].put_function_concurrency(FunctionName="echo", ReservedConcurrentExecutions=1)
    raw(endpoint, "POST", "/_platform/clock", b'{"speed": 0}')
    try:
        for _ in range(10):
            clients["lambda"].invoke(FunctionName="echo", Payload=b"{}")["Payload"].close()
        with pytest.raises(ClientError, match="TooManyRequestsException") as caught:
            clients["lambda"].invoke(FunctionName="echo")
        assert caught.value.response["Reason"] == "ReservedFunctionInvocationRateLimitExceeded"  # type: ignore[typeddict-item]
    finally:
        raw(endpoint, "POST", "/_platform/clock", b'{"speed": 1}')
        clients["lambda"].delete_function_concurrency(FunctionName="echo")


@pytest.mark.usefixtures("function")
def test_functions_are_listed_updated_and_deleted(clients: dict[str, Any]) -> None:
    """Update changes the revision; delete removes the function; layers are published and resolved."""
    layer = clients["lambda"].publish_layer_version(LayerName="tools", Content={"ZipFile": code()})["LayerVersionArn"]
    common: dict[str, Any] = {"Runtime": RUNTIME, "Role": "arn:aws:iam::000000000000:role/r", "Handler": "app.handler"}
    made = clients["lambda"].create_function(FunctionName="two", Code={"ZipFile": code()}, Layers=[layer], **common)
    settled = {"FunctionName": "two", "WaiterConfig": {"Delay": 0.05}}
    clients["lambda"].get_waiter("function_active_v2").wait(**settled)
    changed = clients["lambda"].update_function_configuration(FunctionName="two", MemorySize=1536)
    assert (changed["MemorySize"], changed["Layers"][0]["Arn"]) == (1536, layer)
    assert changed["RevisionId"] != made["RevisionId"]
    clients["lambda"].get_waiter("function_updated_v2").wait(**settled)
    with pytest.raises(ClientError, match="ValidationException"):
        clients["lambda"].update_function_configuration(FunctionName="two", MemorySize=20_000)
    names = [f["FunctionName"] for f in clients["lambda"].list_functions()["Functions"]]
    assert names == ["echo", "two"]
    clients["lambda"].delete_function(FunctionName="two")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        clients["lambda"].get_function(FunctionName="two")


def test_large_file_travels_in_parts(endpoint: str, clients: dict[str, Any], tmp_path: Path) -> None:
    """`aws s3 cp` of 20 MB (multipart) gives the same bytes back, whole and in ranges."""
    clients["s3"].create_bucket(Bucket="large")
    content = os.urandom(20 << 20)
    (tmp_path / "big").write_bytes(content)
    done = aws(endpoint, "s3", "cp", "big", "s3://large/big", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with clients["s3"].get_object(Bucket="large", Key="big")["Body"] as body:
        assert body.read() == content
    with clients["s3"].get_object(Bucket="large", Key="big", Range="bytes=5-9")["Body"] as body:
        assert body.read() == content[5:10]


def test_listing_pages_and_prefixes(clients: dict[str, Any]) -> None:
    """Pages follow each other without loss; a delimiter rolls keys up; deleting many empties the bucket."""
    s3 = clients["s3"]
    s3.create_bucket(Bucket="pages")
    keys = [f"a/{n:03d}" for n in range(25)] + ["b", "c d+e"]
    for key in keys:
        s3.put_object(Bucket="pages", Key=key, Body=b"x")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="pages", PaginationConfig={"PageSize": 10})
    assert [o["Key"] for page in pages for o in page["Contents"]] == keys
    rolled = s3.list_objects_v2(Bucket="pages", Delimiter="/")
    assert [p["Prefix"] for p in rolled["CommonPrefixes"]] == ["a/"]
    with pytest.raises(ClientError, match="BucketNotEmpty"):
        s3.delete_bucket(Bucket="pages")
    s3.delete_objects(Bucket="pages", Delete={"Objects": [{"Key": key} for key in keys]})
    s3.delete_bucket(Bucket="pages")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.list_objects_v2(Bucket="pages")


def test_obstore_puts_gets_and_deletes(endpoint: str, clients: dict[str, Any]) -> None:
    """The function's own client works unmodified."""
    clients["s3"].create_bucket(Bucket="stores")
    store = S3Store(
        "stores", endpoint=endpoint, region="us-east-1", access_key_id="t", secret_access_key="t",
        client_options={"allow_http": True},
    )  # fmt: skip
    obstore.put(store, "k/1", b"content", use_multipart=False)
    assert bytes(obstore.get(store, "k/1").bytes()) == b"content"
    obstore.delete(store, "k/1")
    with pytest.raises(FileNotFoundError):
        obstore.get(store, "k/1")


def test_unknown_operation_is_not_implemented(clients: dict[str, Any]) -> None:
    """What is not there answers NotImplemented, never a 500."""
    clients["s3"].create_bucket(Bucket="odd")
    with pytest.raises(ClientError, match="NotImplemented"):
        clients["s3"].put_bucket_versioning(Bucket="odd", VersioningConfiguration={"Status": "Enabled"})


@pytest.mark.parametrize("header", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
def test_foreign_pages_are_refused(endpoint: str, header: dict[str, str]) -> None:
    """A request in the name of another host or page gets 403."""
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"))
    connection.request("GET", "/", headers=header)
    assert connection.getresponse().status == 403
    connection.close()


def test_message_comes_back_unless_deleted(clients: dict[str, Any]) -> None:
    """A received message is hidden for its visibility timeout, and gone only when it is deleted."""
    sqs = clients["sqs"]
    url = sqs.create_queue(QueueName="again")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="m")
    first = sqs.receive_message(QueueUrl=url, VisibilityTimeout=1)["Messages"][0]
    assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=0)
    second = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)["Messages"][0]
    assert second["MessageId"] == first["MessageId"]
    sqs.delete_message_batch(QueueUrl=url, Entries=[{"Id": "1", "ReceiptHandle": second["ReceiptHandle"]}])
    assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2)


def test_poll_of_a_client_that_left_takes_nothing(endpoint: str, clients: dict[str, Any]) -> None:
    """A message sent after a polling client has gone reaches the next one at once."""
    url = clients["sqs"].create_queue(QueueName="left")["QueueUrl"]
    gone = http.client.HTTPConnection(endpoint.removeprefix("http://"))
    poll = json.dumps({"QueueUrl": url, "WaitTimeSeconds": 20})
    gone.request("POST", "/", poll, {"X-Amz-Target": "AmazonSQS.ReceiveMessage"})
    gone.close()
    clients["sqs"].send_message(QueueUrl=url, MessageBody="m")
    began = time.monotonic()
    assert clients["sqs"].receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"][0]["Body"] == "m"
    assert time.monotonic() - began < 20
