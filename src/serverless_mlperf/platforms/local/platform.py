"""The embedded platform as an experiment sees it: starts the server, deploys functions, ends with everything gone."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
import sys
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from serverless_mlperf.errors import CutOffError, InputError, PlatformError
from serverless_mlperf.host import host_cores
from serverless_mlperf.platforms.base import FunctionConfig, PlatformUsage, Report, Target
from serverless_mlperf.platforms.local.control import (
    LAMBDA_FUNCTIONS,
    ControlClient,
    invoke_permission,
    notification_xml,
    queue_policy,
)
from serverless_mlperf.platforms.local.faults import FaultSettings
from serverless_mlperf.platforms.local.host import most_at_once
from serverless_mlperf.platforms.local.model import ACCOUNT_ID, REGION
from serverless_mlperf.platforms.local.restraint import DEFAULT
from serverless_mlperf.platforms.local.server_process import ServerProcess

HANDLER: Final = "serverless_mlperf_sut.handler.lambda_handler"
PREPARE: Final = "/_platform/prepare"
FAULTS: Final = "/_platform/faults"
BOUND: Final = "/_platform/bound"
END_PATIENCE_S: Final = 0.5
"""A process that is killed closes its connections a moment before it is gone."""


def check_concurrency(wanted: int | None, sizes_mib: Iterable[int]) -> None:
    """Raise InputError when more environments of a size are asked than the host runs: a run would wait for them."""
    cores = host_cores()
    for memory_mib in sizes_mib:
        most = most_at_once(memory_mib, cores)
        if wanted is not None and wanted > most:
            raise InputError(
                f"--concurrency {wanted}: {cores} cores run at most {most} environments of {memory_mib} MB at once; "
                "give fewer, or leave it out"
            )


class LocalPlatform:
    """Owns one server process on 127.0.0.1; implements platforms.base.Platform.

    A server that was killed is told of once, by a CutOffError; `upload` and `deploy` start a new one with the same
    objects.
    """

    def __init__(self, bucket: str, faults: FaultSettings | None = None, controller: str = DEFAULT) -> None:
        self._bucket = bucket
        self._controller = controller
        self._faults = faults
        self._objects: dict[str, Path] = {}
        self._layers: dict[Path, str] = {}
        self._server: ServerProcess | None = None

    def __enter__(self) -> Self:
        try:
            self._running()
        except BaseException:  # also Ctrl-C: `__exit__` is not called for a block never entered
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def lifeline(self) -> int | None:
        """The server's; None between two servers."""
        return self._server.lifeline if self._server else None

    @property
    def server_pid(self) -> int | None:
        """Process id of the server; None between two servers."""
        return self._server.pid if self._server else None

    def upload(self, objects: Mapping[str, Path]) -> None:
        """Put files under their keys into the bucket, and keep them in mind for the next server; then it is at rest."""
        self._running()
        self._objects.update(objects)
        with self._control() as control:
            control.request("DELETE", FAULTS)
        self._put(objects)
        with self._control() as control:
            control.request("POST", PREPARE)

    def deploy(self, function: FunctionConfig) -> Target:
        """Create one function with its layer, trigger and completion queue; replaces one of the same name.

        Returns when its code is unpacked and verified: what follows, calibration or cold start, finds the host at rest.
        Faults on demand begin only then.
        """
        endpoint_url = self._running().endpoint_url
        with self._control() as control:
            control.request("DELETE", FAULTS)
            layer = self._layer(control, function.layer_zip)
            created = self._create(control, function, layer)
            queue_arn = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{function.name}"
            attributes = {"Policy": queue_policy(queue_arn, self._bucket)}
            queue = {"QueueName": function.name, "Attributes": attributes}
            queue_url = control.sqs("CreateQueue", queue)["QueueUrl"]
            input_prefix, output_prefix = f"input/{function.cell_name}/", f"output/{function.cell_name}/"
            trigger = notification_xml(created["FunctionArn"], input_prefix, queue_arn, output_prefix)
            control.request("PUT", f"/{self._bucket}?notification", trigger)
            control.request("POST", f"{PREPARE}?function={quote(function.name)}")
            if self._faults is not None:
                control.json("PUT", FAULTS, self._faults.as_document())
        return Target(
            platform="local",
            region=REGION,
            s3_endpoint_url=endpoint_url,
            lambda_endpoint_url=endpoint_url,
            sqs_endpoint_url=endpoint_url,
            bucket=self._bucket,
            function_name=function.name,
            input_prefix=input_prefix,
            output_prefix=output_prefix,
            completed_prefix=f"completed/{function.cell_name}/",
            queue_url=queue_url,
            concurrency=function.concurrency,
        )

    def retire(self, target: Target) -> None:
        """Remove the function with its environments, which are reaped then, its trigger and its queue.

        When that fails the server is ended, and they with it; the error is raised nevertheless.
        """
        if self._server is None:
            return  # it went with its server
        try:
            with self._control() as control:
                control.request("DELETE", FAULTS)
                control.request("PUT", f"/{self._bucket}?notification", b"<NotificationConfiguration/>")
                control.json("DELETE", f"{LAMBDA_FUNCTIONS}/{quote(target.function_name)}")
                control.sqs("DeleteQueue", {"QueueUrl": target.queue_url})
        except PlatformError:
            self._stop()
            raise

    def observe(self, target: Target, since_ns: int, until_ns: int) -> tuple[list[Report], PlatformUsage]:
        """REPORT lines of the target's invocations so far; the server's CPU time and loop lag in a window of time."""
        with self._control() as control:
            rows = control.json("GET", f"/_platform/reports?function={quote(target.function_name)}")
            usage = control.json("GET", f"/_platform/usage?since_ns={since_ns}&until_ns={until_ns}")
        return [_report(row) for row in rows], PlatformUsage(**usage)

    def _create(self, control: ControlClient, function: FunctionConfig, layer_arn: str) -> Any:
        code_key = self._artefact(function.code_zip)
        created = control.json(
            "POST",
            LAMBDA_FUNCTIONS,
            {
                "FunctionName": function.name,
                "Runtime": f"python{sys.version_info.major}.{sys.version_info.minor}",
                "Role": f"arn:aws:iam::{ACCOUNT_ID}:role/serverless-mlperf",
                "Handler": HANDLER,
                "Code": {"S3Bucket": self._bucket, "S3Key": code_key},
                "Timeout": function.timeout_s,
                "MemorySize": function.memory_mib,
                "Layers": [layer_arn],
                "Environment": {"Variables": {"BUCKET_NAME": self._bucket, **function.environment}},
            },
        )
        name = quote(function.name)
        # Not a reserved concurrency, at which Lambda's events back off for seconds: what this host can run at once.
        control.request("POST", f"{BOUND}?function={name}&environments={function.concurrency}")
        # No retries while measuring: a second execution would be a second sample of the same query.
        control.json("PUT", f"/2019-09-25/functions/{name}/event-invoke-config", {"MaximumRetryAttempts": 0})
        control.json("POST", f"{LAMBDA_FUNCTIONS}/{name}/policy", invoke_permission(self._bucket))
        return created

    def _layer(self, control: ControlClient, layer_zip: Path) -> str:
        if layer_zip not in self._layers:
            content = {"S3Bucket": self._bucket, "S3Key": self._artefact(layer_zip)}
            name = layer_zip.name.split(".")[0]
            made = control.json("POST", f"/2018-10-31/layers/{quote(name)}/versions", {"Content": content})
            self._layers[layer_zip] = str(made["LayerVersionArn"])
        return self._layers[layer_zip]

    def _artefact(self, path: Path) -> str:
        key = f"artefacts/{path.name}"
        self._put({key: path})
        return key

    def _put(self, objects: Mapping[str, Path]) -> None:
        with self._control() as control:
            for key, path in objects.items():
                control.request("PUT", f"/{self._bucket}/{quote(key)}", _content(path))

    def _running(self) -> ServerProcess:
        """The server, started if there is none."""
        if self._server is None:
            self._server = ServerProcess(self._controller)
            self._layers.clear()
            with self._control() as control:
                control.request("PUT", f"/{self._bucket}")
            self._put(self._objects)
        return self._server

    @contextmanager
    def _control(self) -> Iterator[ControlClient]:
        """A connection to the server; raises CutOffError when that is dead or dies meanwhile."""
        if self._server is None:
            raise CutOffError("local platform: its server is not there any more")
        try:
            with ControlClient(self._server.endpoint_url) as control:
                yield control
        except PlatformError as error:
            how = self._server.wait_end(END_PATIENCE_S)
            if how is None:
                raise
            self._stop()
            raise CutOffError(f"local platform: its server ended ({how}), and the environments with it") from error

    def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.stop()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PlatformError(f"local platform: {path} cannot be uploaded ({error.strerror}); was it removed?") from error


def _report(row: Mapping[str, Any]) -> Report:
    known = {f.name for f in fields(Report)}
    return Report(**{k: v for k, v in row.items() if k in known})
