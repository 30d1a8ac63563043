"""The local platform's one server: routes to S3, SQS and Lambda, and tells what it costs itself."""

import asyncio
from collections.abc import Callable
import json
import os
from pathlib import Path
import re
import time
from typing import Any, Final

from serverless_mlperf.errors import BenchmarkError, HostError
from serverless_mlperf.platforms.local.access import Access
from serverless_mlperf.platforms.local.event_queue import KIND as EVENTS
from serverless_mlperf.platforms.local.executor_protocol import Executor
from serverless_mlperf.platforms.local.faults import FaultBoard
from serverless_mlperf.platforms.local.gateway.clock_page import CLOCK, clock_page
from serverless_mlperf.platforms.local.gateway.errors import ApiError, not_kept
from serverless_mlperf.platforms.local.gateway.event_targets import EventTargets
from serverless_mlperf.platforms.local.gateway.fault_pages import FAULTS, fault_page
from serverless_mlperf.platforms.local.gateway.function_url import FunctionUrls
from serverless_mlperf.platforms.local.gateway.http import LOCAL, HttpConnection, Request, Response, serve_http
from serverless_mlperf.platforms.local.gateway.lambda_api import LambdaApi
from serverless_mlperf.platforms.local.gateway.lambda_code import DOWNLOADS
from serverless_mlperf.platforms.local.gateway.lambda_records import LambdaRecords
from serverless_mlperf.platforms.local.gateway.lambda_state import LambdaState
from serverless_mlperf.platforms.local.gateway.lambda_zips import ZipFolder
from serverless_mlperf.platforms.local.gateway.notification_guard import NotificationGuard
from serverless_mlperf.platforms.local.gateway.notifications import Notifier
from serverless_mlperf.platforms.local.gateway.s3_api import S3Api
from serverless_mlperf.platforms.local.gateway.s3_store import ObjectStore
from serverless_mlperf.platforms.local.gateway.sqs import SqsApi
from serverless_mlperf.platforms.local.gateway.stale import give_up_stale
from serverless_mlperf.platforms.local.gateway.usage_probe import UsageProbe
from serverless_mlperf.platforms.local.journal.base import Entry, Journal, NoJournal, NotKeptError, entries_by_kind

JSON: Final = {"content-type": "application/json"}
ZIP: Final = {"content-type": "application/zip"}
MakeExecutor = Callable[[str, Path], Executor]
"""Endpoint URL and a work folder -> the executor."""


class LocalServer:
    """Owns the listening socket, the executor and all state; an async context manager."""

    def __init__(
        self,
        port: int,
        work_dir: Path,
        make_executor: MakeExecutor,
        faults: FaultBoard | None = None,
        journal: Journal | None = None,
        data_dir: Path | None = None,
        access: Access = LOCAL,
    ) -> None:
        self._wanted_port = port
        self._work_dir = work_dir
        self._make_executor = make_executor
        self._faults = faults or FaultBoard()
        self._journal = journal or NoJournal()
        self._zips = ZipFolder((data_dir or work_dir) / "zips")
        self._access = access
        self._probe = UsageProbe()
        self.port = 0

    @property
    def lost(self) -> "asyncio.Future[str]":
        """Done, with the reason, when its executor cannot run anything any more."""
        return self._executor.lost

    def _load(self) -> tuple[ObjectStore, LambdaState, list[Entry]]:
        """What an earlier server kept, events last; blocking. Raises InputError when it is damaged."""
        kept = entries_by_kind(self._journal)
        self._sqs = SqsApi(self._journal)
        self._sqs.load(kept)
        store, state = ObjectStore(self._journal), LambdaState(self._zips)
        store.load(kept)
        LambdaRecords(state, self._journal).load(kept)
        return store, state, kept.get(EVENTS, [])

    async def __aenter__(self) -> "LocalServer":
        store, state, events = self._load()
        try:
            self._listener, self._connections = await serve_http(self._handle, self._wanted_port, self._access)
        except OSError as error:
            raise HostError(f"port {self._wanted_port}: {error.strerror}; choose another --port") from error
        self.port = self._listener.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{self.port}"
        self._executor = self._make_executor(url, self._work_dir)
        self._sqs.base_url = url
        self._lambda = LambdaApi(state, store, self._executor, lambda arn: self._sqs.policy(arn) is not None, self.port)
        self._lambda.resume()
        self._urls = FunctionUrls(state, self._lambda.invoker)
        self._guard = NotificationGuard(state, self._sqs.policy)
        self._notifier = Notifier(self._lambda.tell, self._sqs.tell, self._guard, self._faults)
        self._s3 = S3Api(store, self._notifier, self._faults)
        self._executor.connect(EventTargets(self._sqs, self._s3, self._lambda.deliver), self._lambda.resolve)
        self._executor.resume(events)
        self._probing = asyncio.get_running_loop().create_task(self._probe.run())
        self._sweeping = asyncio.get_running_loop().create_task(give_up_stale(self._connections))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._probing.cancel()
        self._sweeping.cancel()
        self._listener.close()
        self._notifier.close()
        self._lambda.close()
        await self._executor.close()
        for connection in list[HttpConnection](self._connections):
            connection.close()

    async def _handle(self, request: Request) -> Response:
        if FunctionUrls.takes(request.headers):
            return await self._urls.handle(request)
        if request.path.startswith("/_platform/") and not S3Api.takes(request):
            return await self._platform(request)
        api = self._api(request)
        response = await api.handle(request)
        return await self._kept(api, request, response) if self._journal.pending else response

    def _api(self, request: Request) -> "S3Api | SqsApi | LambdaApi":
        if S3Api.takes(request):
            return self._s3
        if "x-amz-target" in request.headers:
            return self._sqs
        return self._lambda if LambdaApi.takes(request.path) else self._s3

    async def _kept(self, api: "S3Api | SqsApi | LambdaApi", request: Request, response: Response) -> Response:
        """The answer, when all that it can rest on is kept: what a client was told survives the server."""
        try:
            await self._journal.kept()
        except NotKeptError as error:
            if request.method in {"GET", "HEAD"}:
                return await self._handle(request)  # what it saw was taken back
            return api.refusal(request, not_kept(api.INTERNAL_ERROR, error))
        return response

    async def _platform(self, request: Request) -> Response:
        if (request.method, request.path) == ("POST", "/_platform/prepare"):
            return await self._prepare(request.query.get("function", ""))
        pages: dict[str, Callable[[], Response]] = {
            FAULTS: lambda: fault_page(self._faults, request),
            CLOCK: lambda: clock_page(self._executor, request),
            "/_platform/bound": lambda: self._bound(request),
        }
        if request.path in pages:
            return pages[request.path]()
        if request.method == "GET" and request.path.startswith(DOWNLOADS):
            return await self._download(request.path.removeprefix(DOWNLOADS).removesuffix(".zip"))
        answers: dict[str, Callable[[], Any]] = {
            "/_platform/status": self._status,
            "/_platform/usage": lambda: self._usage(_number(request, "since_ns"), _number(request, "until_ns")),
            "/_platform/reports": lambda: self._executor.reports(request.query.get("function", "")),
        }
        answer = answers.get(request.path)
        if answer is None:
            return Response(404, b"no such page")
        return Response(200, json.dumps(answer()).encode(), JSON)

    def _usage(self, since_ns: int, until_ns: int) -> dict[str, Any]:
        """platforms.base.PlatformUsage of a window of time."""
        window = self._probe.window(since_ns, until_ns)
        return {**window, "faults": self._faults.summary(), **self._executor.means()}

    async def _download(self, sha256: str) -> Response:
        """A package, where GetFunction and GetLayerVersion say that it can be had."""
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            return Response(404, b"no such package")
        content = await asyncio.to_thread(self._zips.find, sha256)
        return Response(404, b"no such package") if content is None else Response(200, content, ZIP)

    async def _prepare(self, function: str) -> Response:
        try:
            await self._lambda.prepare(function)
        except BenchmarkError as error:
            return Response(503, str(error).encode())
        except ApiError as error:
            return Response(error.status, error.message.encode())
        return Response(204)

    def _bound(self, request: Request) -> Response:
        """How many environments of a function run at once at most, others waiting: an experiment's setting."""
        environments = _number(request, "environments")
        if not environments or not request.query.get("function"):
            return Response(400, b"/_platform/bound: give function=NAME and environments=N, N at least 1")
        self._executor.bound(request.query["function"], environments)
        return Response(204)

    def _status(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "cpu_ns": time.process_time_ns(),
            "executor": self._executor.status(),
            "faults": self._faults.status(),
            "notifications_refused": dict(self._guard.refused),
        }


def _number(request: Request, name: str) -> int:
    value = request.query.get(name, "0")
    return int(value) if value.isdecimal() else 0
