"""Functions that really run: what moto would give to docker is run by the local platform, from the same zips."""

import base64
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
import http.client
import json
from pathlib import Path
import tempfile
import threading
import time
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

from moto.awslambda.models import LambdaFunction, lambda_backends

from aws_double.server import AwsDouble
from serverless_mlperf.platforms.base import FunctionConfig, Target
from serverless_mlperf.platforms.local.platform import LocalPlatform

AT_ONCE = 16


@dataclass
class Run:
    """One invocation that was run."""

    function: str
    version: str
    event: Any
    payload: bytes
    request_headers: Mapping[str, str]


@dataclass
class Executor:
    """Runs functions of the double on the local platform; a version is deployed there when it is first invoked."""

    double: AwsDouble
    platform: LocalPlatform
    folder: Path
    runs: list[Run] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    """Of events that could not be run: defects of the double."""
    logging: bool = True
    """Whether REPORT lines reach CloudWatch Logs."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._targets: dict[tuple[str, str], Target] = {}
        self._pool = ThreadPoolExecutor(AT_ONCE)

    def close(self) -> None:
        """Wait for what runs."""
        self._pool.shutdown()

    def invoke(self, function: Any, body: Any, headers: Mapping[str, str], answer: dict[str, str]) -> str | bytes:
        """In the place of moto's LambdaFunction.invoke; without an invocation type it is an event of S3's."""
        kind = headers.get("x-amz-invocation-type")
        if kind == "DryRun":
            return b""
        if kind is None:
            self._pool.submit(self._run, function, body, headers).add_done_callback(self._note)
            return b""
        payload, error, tail = self._run(function, body, headers)
        answer["x-amz-log-result"] = tail
        if error:
            answer["x-amz-function-error"] = error
        return payload

    def _note(self, done: Future[Any]) -> None:
        """What goes wrong here has no caller to be told."""
        if (error := done.exception()) is not None:
            self.failures.append(error)

    def _run(self, function: Any, body: Any, headers: Mapping[str, str]) -> tuple[bytes, str, str]:
        target = self._target(function)
        content = body if isinstance(body, bytes) else str(body).encode()
        connection = http.client.HTTPConnection(urlsplit(target.lambda_endpoint_url).netloc, timeout=120)
        path = f"/2015-03-31/functions/{target.function_name}/invocations"
        connection.request("POST", path, content, {"X-Amz-Log-Type": "Tail"})
        answer = connection.getresponse()
        payload = answer.read()
        connection.close()
        tail = answer.getheader("x-amz-log-result", "")
        self.runs.append(
            Run(function.function_name, str(function.version), json.loads(content), payload, dict(headers))
        )
        self._log(function, base64.b64decode(tail).decode())
        return payload, answer.getheader("x-amz-function-error", ""), tail

    def _target(self, function: Any) -> Target:
        key = function.function_name, str(function.version)
        with self._lock:
            if key not in self._targets:
                for older in [each for each in self._targets if each[0] == key[0]]:
                    self.platform.retire(self._targets.pop(older))
                self._targets[key] = self.platform.deploy(self._config(function, *key))
            return self._targets[key]

    def _config(self, function: Any, name: str, version: str) -> FunctionConfig:
        (layer,) = self.double.api("lambda").get_function_configuration(FunctionName=name)["Layers"]
        return FunctionConfig(
            name=f"{name}-{version}",
            cell_name=name,
            memory_mib=int(function.memory_size),
            timeout_s=int(function.timeout),
            concurrency=int(function.reserved_concurrency or 1),
            environment={**function.environment_vars, "AWS_ENDPOINT_URL": self.double.url},
            code_zip=self._zip(function.code),
            layer_zip=self._zip(self._layer(layer["Arn"]).content),
        )

    def _layer(self, arn: str) -> Any:
        name, version = arn.split(":layer:")[1].split(":")
        backend = lambda_backends[self.double.world.account][arn.split(":")[3]]
        return backend.get_layer_version(name, version)

    def _zip(self, place: Mapping[str, str]) -> Path:
        path = self.folder / place["S3Key"]
        if not path.exists():
            path.write_bytes(
                self.double.api("s3").get_object(Bucket=place["S3Bucket"], Key=place["S3Key"])["Body"].read()
            )
        return path

    def _log(self, function: Any, tail: str) -> None:
        """Lines as Lambda writes them, in a stream whose name holds the version."""
        if not self.logging:
            return
        logs, group = self.double.api("logs"), f"/aws/lambda/{function.function_name}"
        stream = f"2026/01/01/[{function.version}]{len(self.runs)}-{threading.get_ident()}"
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        events = [{"timestamp": time.time_ns() // 1_000_000, "message": line} for line in tail.splitlines() if line]
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


@contextmanager
def executing(double: AwsDouble) -> Iterator[Executor]:
    """The double with functions that run."""
    with tempfile.TemporaryDirectory() as folder, LocalPlatform("executor") as platform:
        executor = Executor(double, platform, Path(folder))

        def invoke(self: Any, body: Any, headers: Mapping[str, str], answer: dict[str, str]) -> str | bytes:
            return executor.invoke(self, body, headers, answer)

        with patch.object(LambdaFunction, "invoke", invoke):
            try:
                yield executor
            finally:
                executor.close()
