"""One execution environment: a process that runs a function, one invocation at a time."""

import asyncio
from datetime import UTC, datetime
import math
from pathlib import Path
import shutil
import time
from typing import Any, Literal, Protocol
import uuid

from serverless_mlperf.errors import BenchmarkError, PlatformError
from serverless_mlperf.platforms.local.artefacts import Artefacts
from serverless_mlperf.platforms.local.controller_client import Child, ControllerClient, Exit
from serverless_mlperf.platforms.local.delays import Delays
from serverless_mlperf.platforms.local.environment_faults import init_fault, strike_handler, strike_response
from serverless_mlperf.platforms.local.faults import FaultBoard
from serverless_mlperf.platforms.local.handler_process import inside_of
from serverless_mlperf.platforms.local.host import INIT_VCPU
from serverless_mlperf.platforms.local.job import Job, Outcome, exit_outcome, failure, reported_failure
from serverless_mlperf.platforms.local.logs import InvocationReport, LogPipe
from serverless_mlperf.platforms.local.model import FunctionSpec, cpu_share
from serverless_mlperf.platforms.local.runtime import Runtime
from serverless_mlperf.platforms.local.runtime_api import NextInvocation, RuntimeApi
from serverless_mlperf.platforms.local.sandbox import Sandbox
from serverless_mlperf.platforms.local.tmp_disk import TmpDisks
from serverless_mlperf.platforms.local.watched_process import NOTHING, CpuTimes, WatchedProcess

State = Literal["starting", "busy", "idle", "ended"]


class Owner(Protocol):
    """Who is told what becomes of an environment; called on the event loop."""

    def on_initialised(self, environment: "Environment") -> None:
        """The init phase is over: it needs its share from now on."""

    def on_struck(self, environment: "Environment") -> None:
        """It is stopped for good or killed, on demand: it needs no share any more, though its invocation goes on."""

    def on_idle(self, environment: "Environment") -> None:
        """It asks for the next invocation."""

    def on_ended(self, environment: "Environment") -> None:
        """Its process is gone."""


class Workshop:
    """What environments are made with, one per server."""

    def __init__(
        self,
        sandbox: Sandbox,
        controller: ControllerClient,
        artefacts: Artefacts,
        runtime: "asyncio.Future[Runtime]",
        faults: FaultBoard,
        delays: Delays,
        init_limit_s: float,
        disks: TmpDisks | None = None,
    ) -> None:
        self.sandbox, self.controller, self.artefacts, self.runtime = sandbox, controller, artefacts, runtime
        self.faults, self.delays, self.init_limit_s = faults, delays, init_limit_s
        self.disks = disks
        self.made = 0


class Environment:
    """Started by its first job; implements runtime_api.Runtime."""

    def __init__(self, spec: FunctionSpec, workshop: Workshop, owner: Owner) -> None:
        self._loop = asyncio.get_running_loop()
        self.spec, self._workshop, self._owner = spec, workshop, owner
        self.id = uuid.uuid4().hex
        self.number = workshop.made
        workshop.made += 1
        self.share = cpu_share(spec.memory_mib)
        self.vcpu = max(INIT_VCPU, self.share)
        """What it counts for on the host while it runs."""
        self.holds_room = False
        """Whether that is taken from the host's capacity now; its owner's note."""
        self.state: State = "starting"
        self.invocations = 0
        self.pid: int | None = None
        self.retiring = False
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._api = RuntimeApi(self)
        self._key = 0
        self._child: Child | None = None
        self._log: LogPipe | None = None
        self._private: Path | None = None
        self._watched: WatchedProcess | None = None
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._answer: asyncio.Future[Outcome] | None = None
        self._request_id = ""
        self._init_error: bytes | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._frozen = False
        self._doomed = False
        """By a fault on demand: this process shall not get beyond its init phase, however quick it is."""
        self._in_free_init = False
        self._spawn_asked_ns: int | None = None
        self._spawned_ns: int | None = None
        self._cleaning: asyncio.Future[None] | None = None

    @property
    def finishing(self) -> bool:
        """It has answered but not yet asked for more: about to be idle."""
        return self.state == "busy" and self._answer is not None and self._answer.done()

    @property
    def tmp(self) -> Path | None:
        """Its folder for /tmp; None while it stands still or is not there."""
        return None if self._private is None or self._frozen or self.state == "ended" else self._private / "tmp"

    # ---- one invocation

    async def run(self, job: Job) -> tuple[Outcome, InvocationReport]:
        """Serve one job, initialising first if need be; raises BenchmarkError if that is not possible at all."""
        init_ms = None
        if self.state == "starting":
            failed, init_ms = await self._initialise(job)
            if failed is not None:
                return self._reported(job, failed, time.time_ns(), 0.0, init_ms, None)
        return await self._invoke(job, init_ms)

    async def _invoke(self, job: Job, init_ms: float | None) -> tuple[Outcome, InvocationReport]:
        self.state, self._request_id = "busy", job.request_id
        self._answer = self._loop.create_future()
        # Between invocations it stands still: what its children had used is known of the last one.
        started_ns, tick_ns, before = time.time_ns(), time.perf_counter_ns(), self._cpu(children=not self.invocations)
        self._begin_log(job, keep=self.invocations == 0)  # what was printed in the init phase belongs to it
        if self._timer is None:
            self._timer = self._loop.call_later(self.spec.timeout_s, self.kill, "timeout")
        if self._api.waiting is not None and self._child is not None and not self._child.ended.done():
            deadline_ms = int(self._timer.when() * 1000 + (time.time() - self._loop.time()) * 1000)
            trace = f"Root=1-{started_ns // 10**9:08x}-{job.request_id.replace('-', '')[:24]};Sampled=0"
            arn = job.arn or self.spec.arn
            given = NextInvocation(job.request_id, job.payload, deadline_ms, arn, trace, job.client_context)
            plan = self._workshop.faults.plan
            if plan is None or not strike_handler(plan, self, job.request_id):
                self._api.give(given)
                self._thaw()
            else:
                self._owner.on_struck(self)
        else:
            self.kill("does not ask for work")  # if it lives at all
            self._answer.set_result(failure(job.request_id, "Runtime.ExitError", "Runtime exited before the call"))
        outcome = await self._answer
        used_ns = self._used_ns(before)
        self.invocations += 1
        duration_ms = (time.perf_counter_ns() - tick_ns) / 1e6
        return self._reported(job, outcome, started_ns, duration_ms, init_ms, used_ns)

    def _begin_log(self, job: Job, keep: bool) -> None:
        if self._log is None:
            return
        if not keep:
            self._log.drain()
            self._log.clear()
        self._log.add(f"START RequestId: {job.request_id} Version: {self.spec.version}\n".encode())

    def _reported(
        self, job: Job, outcome: Outcome, started_ns: int, duration_ms: float, init_ms: float | None, cpu_ns: int | None
    ) -> tuple[Outcome, InvocationReport]:
        report = InvocationReport(
            request_id=job.request_id,
            duration_ms=round(duration_ms, 2),
            # The init phase is billed as well since 2025-08-01 (AWS Compute Blog).
            billed_ms=math.ceil(min(duration_ms, self.spec.timeout_s * 1000) + (init_ms or 0)),
            init_ms=None if init_ms is None else round(init_ms, 2),
            memory_mib=self.spec.memory_mib,
            max_memory_mib=self._max_memory_mib(),
            status=outcome.status,
            cpu_ns=cpu_ns,
            environment_id=self.id,
            queued_ns=job.queued_ns,
            started_ns=started_ns,
            ended_ns=time.time_ns(),
            error_type=outcome.error_type,
            spawn_asked_ns=None if init_ms is None else self._spawn_asked_ns,
            spawned_ns=None if init_ms is None else self._spawned_ns,
            error_message=outcome.error_message,
            modelled_delay_ms=round(job.modelled_delay_ms, 3),
        )
        job.modelled_delay_ms = 0.0  # a retry waits for its own
        tail = self._end_log(job, outcome, report)
        return Outcome(outcome.payload, outcome.status, outcome.error_type, tail), report

    def _end_log(self, job: Job, outcome: Outcome, report: InvocationReport) -> bytes:
        if self._log is None:
            return report.line().encode()
        self._log.drain()
        if outcome.status == "timeout":
            now = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
            late = f"{now}Z {job.request_id} Task timed out after {self.spec.timeout_s}.00 seconds\n\n"
            self._log.add(late.encode())
        elif outcome.error_type in {"Runtime.ExitError", "Runtime.OutOfMemory"}:
            self._log.add(f"{outcome.error_message}\n{outcome.error_type}\n".encode())
        self._log.add(f"END RequestId: {job.request_id}\n{report.line()}".encode())
        return self._log.tail()

    # ---- the init phase

    async def _initialise(self, job: Job) -> tuple[Outcome | None, float | None]:
        """Start the process and wait until it asks for work; returns a failure, if any, and the phase's ms."""
        port = await self._api.open()
        await self._hold_back(job)
        self._in_free_init = True
        begun_ns = await self._spawn(port, throttled=False)
        ready = await self._wait_ready(self._workshop.init_limit_s)
        took_ms = (time.perf_counter_ns() - begun_ns) / 1e6
        init_ms: float | None = took_ms
        self._in_free_init = False
        if not ready or self._failed_by_itself():
            await self._start_again(port, took_ms)
            init_ms = None
        child = self._child
        if child is not None and child.ended.done():
            self._on_process_ended(child)
            if self.retiring:
                raise PlatformError(f"function {self.spec.name}: retired while an invocation was running")
            return self._init_failure(job, child.ended.result()), init_ms
        self._watch_handler()
        self._workshop.controller.throttle(self._key)
        self._owner.on_initialised(self)
        return None, init_ms

    async def _hold_back(self, job: Job) -> None:
        """Wait for as long as a cloud would take until the process can be started, where that is modelled."""
        if not self._workshop.delays.active:
            return
        zips = (self.spec.code_zip, *(path for _, path in self.spec.layer_zips))
        delay_ms = self._workshop.delays.cold_ms(sum(path.stat().st_size for path in zips if path.exists()))
        job.modelled_delay_ms += delay_ms
        await asyncio.sleep(delay_ms / 1000)

    async def _wait_ready(self, timeout_s: float | None) -> bool:
        """Wait for the first /next or the end of the process."""
        if self._child is None:
            return True
        ends: set[asyncio.Future[Any]] = {self._ready, self._child.ended}
        done, _ = await asyncio.wait(ends, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)

    async def _start_again(self, port: int, init_ms: float) -> None:
        """Lambda's answer to an init phase that failed or took too long: once more, within the function's timeout."""
        child, self._child, self._frozen = self._child, None, False
        self._workshop.controller.kill(self._key, "init phase too long")
        ended = await child.ended if child is not None else None
        self._report_init("init", init_ms, ended)
        self._init_error = None
        begun_ns = await self._spawn(port, throttled=True)
        self._timer = self._loop.call_later(self.spec.timeout_s, self.kill, "timeout")
        await self._wait_ready(None)
        if self._child is not None and self._child.ended.done():
            self._report_init("invoke", (time.perf_counter_ns() - begun_ns) / 1e6, self._child.ended.result())

    def _report_init(self, phase: str, init_ms: float, ended: Exit | None) -> None:
        """The line on an init phase that failed (AWS, lambda/latest/dg/lambda-runtime-environment)."""
        if self._log is not None:
            self._log.drain()
        if ended is None or ended.reason in {"timeout", "init phase too long"}:
            status = "timeout"
        else:
            status = f"error\tError Type: {self._init_outcome('', ended).error_type}"
        self._note(f"INIT_REPORT Init Duration: {init_ms:.2f} ms\tPhase: {phase}\tStatus: {status}\n")

    def _note(self, line: str) -> None:
        if self._log is not None:
            self._log.add(line.encode())

    async def _spawn(self, port: int, throttled: bool) -> int:
        """Start the process; returns the tick at which it was asked for."""
        shop = self._workshop
        code = await shop.artefacts.code(self.spec)
        runtime = await asyncio.shield(shop.runtime)
        if self.retiring:
            raise PlatformError(f"function {self.spec.name}: retired before its environment had started")
        if self._private is None:
            self._private = shop.sandbox.make_folder(self.id)
            if shop.disks is not None:
                await shop.disks.make(self.spec.ephemeral_mib, self._private)
        launch = shop.sandbox.launch(
            self.spec, code, runtime, self.id, self._private, port, self.number, throttled=throttled
        )
        self._log = LogPipe(self._log)
        plan = shop.faults.plan
        strike = None if plan is None else init_fault(plan, self)
        self._doomed = strike is not None
        begun_ns, self._spawn_asked_ns = time.perf_counter_ns(), time.time_ns()
        try:
            self._key, child = shop.controller.spawn(launch, self._log.write_end)
        finally:
            self._log.close_write_end()
        self._child = child
        child.ended.add_done_callback(lambda _: self._on_process_ended(child))
        ends: set[asyncio.Future[Any]] = {child.started, child.ended}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        self._spawned_ns = time.time_ns()
        self._watch(child)
        if strike is not None:
            strike()
        return begun_ns

    def _watch(self, child: Child) -> None:
        self._unwatch()
        if child.started.done() and not child.started.cancelled() and not child.ended.done():
            self.pid = child.started.result()
            self._watched = WatchedProcess(self.pid)

    def _watch_handler(self) -> None:
        """From here on clock and memory are read of the handler's process, which bubblewrap has started by now."""
        inside = inside_of(self.pid) if self.pid is not None and self._workshop.sandbox.isolation.bwrap else None
        if inside is not None:
            self._unwatch()
            self.pid = inside.handler
            self._watched = WatchedProcess(self.pid)

    def _failed_by_itself(self) -> bool:
        """Whether the process ended, and not because the platform wanted it."""
        if self._child is None or not self._child.ended.done() or self.retiring:
            return False
        return self._child.ended.result().reason in {"exit", "memory"}

    def _init_failure(self, job: Job, exit_: Exit) -> Outcome:
        self._note(f"START RequestId: {job.request_id} Version: {self.spec.version}\n")
        return self._init_outcome(job.request_id, exit_)

    def _init_outcome(self, request_id: str, exit_: Exit) -> Outcome:
        if self._init_error is not None:
            return reported_failure(self._init_error, "Runtime.InitError")
        return exit_outcome(request_id, exit_, self.spec.timeout_s)

    # ---- what the runtime says (runtime_api.Runtime)

    def on_next(self) -> bool:
        """Ready, or done with an invocation."""
        if self.state == "starting":
            if not self._ready.done() and not self._doomed:
                self._ready.set_result(None)
            return True
        if self.state == "busy" and self.finishing:
            self._cancel_timer()
            self.state = "idle"
            self._owner.on_idle(self)
        # An idle one asks again when it has lost its connection.
        return self.state == "idle"

    def on_response(self, request_id: str, body: bytes, error_type: str | None, too_large: bool) -> bool:
        """Result or error of the invocation under way."""
        if self._answer is None or self._answer.done() or request_id != self._request_id:
            return False
        if (plan := self._workshop.faults.plan) is not None and strike_response(plan, self, request_id):
            return False
        if too_large:
            text = "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
            self._answer.set_result(failure(request_id, "Function.ResponseSizeTooLarge", text))
        else:
            self._answer.set_result(Outcome(body) if error_type is None else reported_failure(body, error_type))
        return True

    def on_init_error(self, body: bytes) -> None:
        """The handler could not be loaded; the process ends by itself."""
        self._init_error = body

    # ---- life and death

    def freeze(self) -> None:
        """Stand still until the next invocation."""
        if not self._frozen:
            self._frozen = True
            self._workshop.controller.freeze(self._key)

    def _thaw(self) -> None:
        if self._frozen:
            self._frozen = False
            self._workshop.controller.thaw(self._key)

    def kill(self, reason: str) -> None:
        """End the process; `gone` is done when it has been reaped and its port is closed."""
        if self._child is not None:
            self._workshop.controller.kill(self._key, reason)

    def retire(self) -> None:
        """End it for good, whatever it is doing."""
        self.retiring = True
        self.kill("retired")

    async def abandon(self) -> None:
        """Clean up what was made for a process that never came to be."""
        if self._child is None and not self.gone.done():
            await self._clean_up()

    def cpu_ns(self) -> int:
        """CPU time of the process and its children; 0 when there is none."""
        if self._child is not None and self._child.ended.done():
            return self._child.ended.result().cpu_ns or 0
        return sum(self._cpu())

    def _cpu(self, *, children: bool = True) -> CpuTimes:
        return NOTHING if self._watched is None else self._watched.cpu(children=children)

    def _used_ns(self, before: CpuTimes) -> int | None:
        """CPU time since then; of a process that has ended, the controller's account of all that it had started."""
        if self._child is not None and self._child.ended.done():
            used_ns = self.cpu_ns() - sum(before)
            return used_ns if used_ns >= 0 else None
        return self._cpu().since(before)

    def describe(self) -> dict[str, Any]:
        """For the status page."""
        state = "frozen" if self._frozen and self.state == "idle" else self.state
        return {
            "environment_id": self.id,
            "function": self.spec.name,
            "pid": self.pid,
            "state": state,
            "invocations": self.invocations,
            "cpu_ns": self.cpu_ns(),
            "rss_mib": None if self._watched is None else self._watched.status_mib(b"VmRSS:"),
            "share": self.share,
        }

    def _on_process_ended(self, child: Child) -> None:
        if child is not self._child or self._in_free_init or self.state == "ended":
            return  # an init phase that may be run again, or known already
        self.state = "ended"
        self._cancel_timer()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(exit_outcome(self._request_id, child.ended.result(), self.spec.timeout_s))
        self._owner.on_ended(self)
        self._cleaning = asyncio.ensure_future(self._clean_up())

    async def _clean_up(self) -> None:
        """After the process is reaped: close its port, remove its folder."""
        await self._api.close()
        self._unwatch()
        if self._log is not None:
            self._log.drain()
            self._log.close()
        if self._private is not None:
            await asyncio.to_thread(shutil.rmtree, self._private, ignore_errors=True)
        self.state, self.pid = "ended", None
        if not self.gone.done():
            self.gone.set_result(None)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _max_memory_mib(self) -> int:
        if self._child is not None and self._child.ended.done():
            return math.ceil(self._child.ended.result().max_rss_kib / 1024)
        return 0 if self._watched is None else self._watched.status_mib(b"VmHWM:") or 0

    def _unwatch(self) -> None:
        if self._watched is not None:
            self._watched.close()
            self._watched = None


def not_started(environment: Environment, job: Job, error: BenchmarkError) -> InvocationReport:
    """The report of an invocation that never reached a process: nothing to bill, and why."""
    now_ns = time.time_ns()
    return InvocationReport(
        request_id=job.request_id,
        duration_ms=0.0,
        billed_ms=0,
        init_ms=None,
        memory_mib=environment.spec.memory_mib,
        max_memory_mib=0,
        status="error",
        cpu_ns=None,
        environment_id=environment.id,
        queued_ns=job.queued_ns,
        started_ns=now_ns,
        ended_ns=now_ns,
        error_type=type(error).__name__,
        error_message=" ".join(str(error).split()),
    )


def as_error(error: BenchmarkError | OSError, name: str) -> BenchmarkError:
    """An OSError while starting becomes one of ours."""
    if isinstance(error, BenchmarkError):
        return error
    return PlatformError(f"function {name}: its environment could not be started: {error}")
