"""The servers that bench/front.py compares: the platform with its functions set up by boto3, and moto."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import io
import json
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any, Final
from urllib.request import urlopen
import zipfile

import boto3
from botocore.config import Config
from raw_client import Answers, Line, message

PLATFORM: Final = ("-m", "serverless_mlperf", "local", "serve", "--port", "0")
MOTO: Final = (str(Path(__file__).parents[1] / "tools" / "moto_server.py"),)
MEMORY_MIB: Final = 1769
"""One whole vCPU: nothing waits for its share."""
SIZES: Final = {"1 KB": 1_000, "100 KB": 100_000}
KEYS: Final = 8
DEADLINE_S: Final = 30
HANDLER: Final = """
import time
STARTS = {}
def noop(event, context):
    return event
def started(event, context):
    now_ns = time.time_ns()
    if "Records" in event:
        STARTS[event["Records"][0]["s3"]["object"]["key"]] = now_ns
    return STARTS
"""


@contextmanager
def serving(*command: str) -> Iterator[int]:
    """A server that tells its port on its first line; ended by SIGTERM, or with its standard input."""
    process = subprocess.Popen([sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(json.loads(process.stdout.readline())["port"])
    finally:
        process.stdin.close()
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_S)
        process.stdout.close()


class Platform:
    """The server under test with its functions; all of it set up with boto3."""

    def __init__(self, port: int) -> None:
        self.port = port
        config = Config(retries={"total_max_attempts": 1})
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        url = f"http://127.0.0.1:{port}"
        self._lambda: Any = boto3.client("lambda", endpoint_url=url, config=config, **keys)  # type: ignore[call-overload]
        s3: Any = boto3.client("s3", endpoint_url=url, config=config, **keys)  # type: ignore[call-overload]
        self._bytes = io.BytesIO()
        with zipfile.ZipFile(self._bytes, "w") as package:
            package.writestr(zipfile.ZipInfo("app.py"), HANDLER)
        s3.create_bucket(Bucket="bench")
        rules = []
        for name in ("noop", "started"):
            arn = self.create(name, name)["FunctionArn"]
            who = {"Principal": "s3.amazonaws.com", "SourceArn": "arn:aws:s3:::bench"}
            self._lambda.add_permission(FunctionName=name, StatementId="s3", Action="lambda:InvokeFunction", **who)
            prefix = {"Key": {"FilterRules": [{"Name": "prefix", "Value": f"{name}/"}]}}
            rules.append({"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"], "Filter": prefix})
        notifications = {"LambdaFunctionConfigurations": rules}
        s3.put_bucket_notification_configuration(Bucket="bench", NotificationConfiguration=notifications)
        s3.close()
        # One environment has all starts in its memory.
        self._lambda.put_function_concurrency(FunctionName="started", ReservedConcurrentExecutions=1)
        for name in ("noop", "started"):
            Line(port).ask(invocation(port, name))

    def create(self, name: str, handler: str) -> dict[str, Any]:
        """A function that is ready to be called."""
        made: dict[str, Any] = self._lambda.create_function(
            FunctionName=name, Runtime=f"python{sys.version_info.major}.{sys.version_info.minor}",
            Role="arn:aws:iam::000000000000:role/r", Handler=f"app.{handler}", Code={"ZipFile": self._bytes.getvalue()},
            MemorySize=MEMORY_MIB, Timeout=DEADLINE_S,
        )  # fmt: skip
        self._lambda.get_waiter("function_active_v2").wait(
            FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 1200}
        )
        return made

    def delete(self, name: str) -> None:
        """Delete a function with its environments."""
        self._lambda.delete_function(FunctionName=name)

    def page(self, path: str) -> Any:
        """One of the platform's own pages."""
        with urlopen(f"http://127.0.0.1:{self.port}/_platform/{path}") as answer:
            return json.load(answer)

    def delivered(self) -> int:
        """Events that were delivered so far."""
        return int(self.page("status")["executor"]["events"]["delivered"])

    def await_delivered(self, wanted: int) -> None:
        """Wait until so many events were delivered."""
        until_s = time.monotonic() + DEADLINE_S
        while self.delivered() < wanted:
            assert time.monotonic() < until_s, "events were lost"
            time.sleep(0.01)  # each look costs the server what an event costs

    def observed(self, work: Callable[[], Answers]) -> tuple[Answers, float, float]:
        """Answers of a load, the server's CPU time for each in us, and the p99 of its loop's lag in ms."""
        since_ns = time.time_ns()
        answers = work()
        usage = self.page(f"usage?since_ns={since_ns}&until_ns={time.time_ns()}")
        return answers, usage["cpu_ns"] / 1e3 / len(answers.latencies_ns), usage["loop_lag_p99_ns"] / 1e6


def invocation(port: int, function: str, kind: str = "RequestResponse") -> bytes:
    """A call, or an event."""
    path = f"/2015-03-31/functions/{function}/invocations"
    return message(port, "POST", path, b"{}", {"x-amz-invocation-type": kind})


def objects(port: int, method: str, size: str, connections: int) -> list[list[bytes]]:
    """Requests for objects; each connection has keys of its own: moto fails when two replace one object at once."""
    body = (bytes(range(256)) * (SIZES[size] // 256 + 1))[: SIZES[size]] if method == "PUT" else b""
    stem = f"/bench/{size.replace(' ', '-').lower()}"
    return [[message(port, method, f"{stem}/{c}/{n}", body) for n in range(KEYS)] for c in range(connections)]
