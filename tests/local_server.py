"""A server process of the local platform, the clients it is tested with, and what they say when refused."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
import http.client
import json
import os
from pathlib import Path
import subprocess
import sys
from typing import Any

import boto3
from botocore.client import Config
from botocore.exceptions import ClientError

CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
MOTO = str(Path(__file__).parents[1] / "tools" / "moto_server.py")
PLATFORM = ("-m", "serverless_mlperf.platforms.local.service", "--parent-stdin")


@contextmanager
def serving(*command: str) -> Iterator[str]:
    """A server that tells its port on its first line and ends with its standard input; its URL."""
    process = subprocess.Popen([sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
    finally:
        process.stdin.close()
        status = process.wait(120)  # a first server may still be copying the functions' runtime to its cache
        process.stdout.close()
    assert status == 0


def client(service: str, url: str, **settings: Any) -> Any:
    """A boto3 client that tries once and addresses buckets by path."""
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, **settings)
    return boto3.client(service, endpoint_url=url, config=config, **CREDENTIALS)  # type: ignore[call-overload]


def queue_policy(arn: str, bucket: str) -> dict[str, str]:
    """Attributes of a queue that S3 may tell of a bucket's events."""
    statement = {
        "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn,
        "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{bucket}"}},
    }  # fmt: skip
    return {"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})}


def allow_s3(functions: Any, name: str, bucket: str) -> None:
    """Permit S3 to invoke a function for a bucket's events, once the function can serve."""
    functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    functions.add_permission(
        FunctionName=name, StatementId=f"s3-{bucket}", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com",
        SourceArn=f"arn:aws:s3:::{bucket}", SourceAccount="000000000000",
    )  # fmt: skip


def refusal(call: Callable[..., Any], **parameters: Any) -> tuple[int, str]:
    """HTTP status and code of a call that must fail; HEAD has no document, its code is the status."""
    try:
        call(**parameters)
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
    raise AssertionError(f"{call} was not refused")


@dataclass(frozen=True)
class Answer:
    """An answer to a raw request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of an error document; empty when there is none."""
        return self.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()


def raw(url: str, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
    """One request without a client's help."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    try:
        connection.request(method, path, body or None, dict(headers or {}))
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, fields, response.read())
    finally:
        connection.close()


def aws(url: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The `aws` command without any configuration of the host."""
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(cwd), "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    command = [str(Path(sys.executable).parent / "aws"), "--endpoint-url", url, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=120, check=False)
