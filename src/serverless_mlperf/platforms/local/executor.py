"""Runs functions: the executor behind the local server's Lambda front."""

import asyncio
from collections.abc import Sequence
import os
from pathlib import Path
import shutil
import time
from typing import Any
import uuid

from serverless_mlperf.errors import BenchmarkError, PlatformError
from serverless_mlperf.platforms.local.artefacts import Artefacts
from serverless_mlperf.platforms.local.concurrency import Concurrency
from serverless_mlperf.platforms.local.controller_client import ControllerClient
from serverless_mlperf.platforms.local.delays import Delays
from serverless_mlperf.platforms.local.environment import Workshop
from serverless_mlperf.platforms.local.event_queue import EventQueue
from serverless_mlperf.platforms.local.executor_protocol import Resolve, Send
from serverless_mlperf.platforms.local.faults import FaultBoard
from serverless_mlperf.platforms.local.isolation import PLAIN, Isolation, sandbox_uid
from serverless_mlperf.platforms.local.job import Job, Outcome
from serverless_mlperf.platforms.local.journal.base import Entry, Journal
from serverless_mlperf.platforms.local.keep_alive import PROFILES
from serverless_mlperf.platforms.local.model import FunctionSpec, Invocation, ThrottledError
from serverless_mlperf.platforms.local.pool import Scheduler
from serverless_mlperf.platforms.local.restraint import DEFAULT, describe
from serverless_mlperf.platforms.local.runtime import Runtime, prepare_runtime
from serverless_mlperf.platforms.local.sandbox import Sandbox, scratch_folder
from serverless_mlperf.platforms.local.scaled_clock import ScaledClock
from serverless_mlperf.platforms.local.service_model import ServiceModel
from serverless_mlperf.platforms.local.tmp_disk import TmpDisks
from serverless_mlperf.platforms.local.tmp_watch import watch_tmp


class LocalExecutor:
    """Implements executor_protocol.Executor on the running event loop; `close` leaves no process and no folder."""

    def __init__(
        self,
        endpoint_url: str,
        work_dir: Path,
        model: ServiceModel | None = None,
        faults: FaultBoard | None = None,
        isolation: Isolation = PLAIN,
        journal: Journal | None = None,
        controller: str = DEFAULT,
        access_key: str = "local",
    ) -> None:
        model = model or ServiceModel()
        self._keep_alive = model.keep_alive
        self._uid = sandbox_uid()
        cores = tuple(sorted(os.sched_getaffinity(0)))
        self._scratch = scratch_folder(work_dir, self._uid)
        self._controller = ControllerClient(controller)
        # Made while the first function is still being deployed.
        self._runtime: asyncio.Future[Runtime] = asyncio.ensure_future(prepare_runtime(self._uid))
        self._isolation = isolation
        sandbox = Sandbox(endpoint_url, self._scratch, self._uid, cores, isolation, access_key)
        self._artefacts = Artefacts()
        self._delays = Delays(model.delays, model.seed)
        board, self._init_limit_s = faults or FaultBoard(), model.init_limit_s
        workshop = Workshop(
            sandbox,
            self._controller,
            self._artefacts,
            self._runtime,
            board,
            self._delays,
            self._init_limit_s,
            TmpDisks(self._scratch, self._uid) if isolation.storage == "enforced" else None,
        )
        self._clock = ScaledClock(model.clock_speed)
        self._concurrency = Concurrency(self._clock.now_s, model.account_concurrency, model.scale_up)
        keep_alive = PROFILES[model.keep_alive](self._clock, model.seed)
        self._scheduler = Scheduler(workshop, len(cores), self._clock, self._concurrency, keep_alive)
        self._events = EventQueue(self._scheduler.submit, self._clock, model.seed, journal)
        self._watching = asyncio.ensure_future(watch_tmp(self._scheduler.environments))
        self._closed = False

    @property
    def lost(self) -> "asyncio.Future[str]":
        """Done, with the reason, when nothing can be run any more."""
        return self._controller.lost

    async def prepare(self, spec: FunctionSpec | None = None) -> None:
        """Have the runtime and a function's code in place; raises BenchmarkError when that cannot be done."""
        self._check_open()
        await asyncio.shield(self._runtime)
        if spec is not None:
            await self._artefacts.code(spec)

    async def invoke(
        self, spec: FunctionSpec, payload: bytes, *, log_tail: bool = False, client_context: str = ""
    ) -> Invocation:
        """Invoke and wait for the answer; the handler's context has the client's, a JSON text.

        Raises ThrottledError at a limit of Lambda's, BenchmarkError if the function cannot be run at all.
        """
        self._check_open()
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        job = Job(str(uuid.uuid4()), payload, "call", time.time_ns(), _resolve, future=future, arn=spec.arn)
        job.client_context = client_context
        try:
            self._scheduler.submit(spec, job)
            outcome = await future
        except ThrottledError:
            self._concurrency.throttled[spec.name] += 1
            raise
        tail = outcome.log_tail if log_tail else b""
        return Invocation(job.request_id, outcome.payload, outcome.function_error, tail, spec.version)

    def submit_event(self, spec: FunctionSpec, payload: bytes, *, from_s3: bool = False) -> str:
        """Accept an asynchronous invocation; returns its request id at once."""
        self._check_open()
        request_id, delay_ms = str(uuid.uuid4()), self._delays.trigger_ms() if from_s3 else 0.0
        self._events.accept(spec, request_id, payload, time.time_ns(), delay_ms)
        return request_id

    def resume(self, kept: Sequence[Entry]) -> None:
        """Go on with events that an earlier process accepted."""
        self._events.resume(kept)

    async def retire(self, function_name: str, version: str | None = None) -> None:
        """End all environments of a function or of one version; returns when they are reaped."""
        self._events.forget(function_name, version)
        await self._scheduler.retire(function_name, version)

    def renew(self, spec: FunctionSpec) -> None:
        """A version has a new revision: environments of the former serve what they are at and end."""
        self._scheduler.renew(spec)

    def bound(self, function_name: str, environments: int) -> None:
        """Run at most so many environments of a function at once: who meets this bound waits, as for the host."""
        self._scheduler.bound(function_name, environments)

    def connect(self, send: Send, resolve: Resolve) -> None:
        """Where records of events and dead letters go, and who knows what a function's ARN stands for."""
        self._events.send, self._events.resolve = send, resolve

    @property
    def account_concurrency(self) -> int:
        """Invocations of all functions at once."""
        return self._concurrency.account

    def set_clock(self, speed: float | None = None, advance_s: float | None = None) -> dict[str, Any]:
        """Change the speed of the service's clock, or put it forward; how it stands. Raises ValueError."""
        if speed is not None:
            self._clock.set_speed(speed)
        if advance_s is not None:
            self._clock.advance(advance_s)
        return self._clock.describe()

    def reports(self, function_name: str) -> list[dict[str, Any]]:
        """REPORT lines of a function as values, in order; they outlive the function."""
        return [report.as_dict() for report in self._scheduler.reports.get(function_name, ())]

    def means(self) -> dict[str, str]:
        """Names of the isolation of environments and of the controller of their share."""
        return {"isolation": self._isolation.label, "controller": self._controller.kind}

    def status(self) -> dict[str, Any]:
        """Environments, counters, and what the isolation is worth."""
        return {
            **self._scheduler.status(),
            "events": dict(self._events.counts),
            "events_by_function": {name: dict(counts) for name, counts in self._events.counts_by_function.items()},
            "clock": self._clock.describe(),
            "keep_alive": self._keep_alive,
            "init_limit_s": self._init_limit_s,
            "modelled_delays": self._delays.describe(),
            "isolation": {**self._isolation.describe(), **describe(self._controller.kind)},
            "uid": self._uid,
            "controller": {
                "kind": self._controller.kind,
                "pid": self._controller.pid,
                "cpu_ns": self._controller.cpu_ns(),
            },
        }

    async def close(self) -> None:
        """End everything that was started."""
        if self._closed:
            return
        self._closed = True
        self._watching.cancel()
        await self._events.close()
        # Environments may be waiting for what is still being made.
        self._runtime.cancel()
        await asyncio.gather(self._runtime, self._artefacts.close(), return_exceptions=True)
        await self._scheduler.close()
        self._clock.close()
        await self._controller.close()
        await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)

    def _check_open(self) -> None:
        if self._closed:
            raise PlatformError("local platform: it is shutting down; start the server again")


def _resolve(job: Job, outcome: Outcome | BenchmarkError | ThrottledError) -> None:
    if job.future is None or job.future.done():
        return  # the caller has gone away
    if isinstance(outcome, Outcome):
        job.future.set_result(outcome)
    else:
        job.future.set_exception(outcome)
