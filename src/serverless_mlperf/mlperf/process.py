"""One run in a process of its own: `python -m serverless_mlperf.mlperf.process`, a RunSpec as one line on stdin.

Later lines are newer credentials.

LoadGen can neither be interrupted nor, after a fault, be used again, so every run gets a fresh process and ends by
`os._exit`. Progress goes to stdout as JSON lines; results go to the spec's output folder. Exit status: 0
measured (valid or not), 1 no result, 2 bad specification, 130 interrupted.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
import json
import os
import signal
import sys
from typing import Any, Final, NoReturn

from serverless_mlperf.errors import BenchmarkError
from serverless_mlperf.mlperf.account import Account, make_result
from serverless_mlperf.mlperf.audit import write_audit_config
from serverless_mlperf.mlperf.driver import NO_AUDIT, Driver
from serverless_mlperf.mlperf.logs import DetailLog, read_detail
from serverless_mlperf.mlperf.meter import Meter
from serverless_mlperf.mlperf.parent import ParentPipe
from serverless_mlperf.mlperf.responses import ENCODERS
from serverless_mlperf.mlperf.settings import settings_of
from serverless_mlperf.mlperf.spec import NETWORK_SUT, RunSpec, dump_result, load_credentials, load_spec
from serverless_mlperf.mlperf.verdict import verdict, write_validity
from serverless_mlperf.mlperf.warmup import WarmUp
from serverless_mlperf.platforms.base import Target
from serverless_mlperf.redaction import redacted
from serverless_mlperf.transports.base import Reply

PROGRESS_S: Final = 0.25
INTERRUPTED: Final = 130
NO_DETAIL: Final = DetailLog({}, (), ())
"""Of a test that LoadGen was left in the middle of."""
Emit = Callable[[dict[str, Any]], None]


class RunProcess:
    """Warm up, measure, write: one RunSpec."""

    def __init__(self, spec: RunSpec, emit: Emit, parent: ParentPipe | None = None) -> None:
        self._spec = spec
        self._parent = parent
        self._identity = spec.identity
        self._emit = emit
        self._keys = _keys(spec.run)
        self._meter = Meter(spec.allowance, spec.target.concurrency)
        self._receive: Callable[[Reply], None] = _ignore
        self._warm_up: WarmUp | None = None
        self._driver: Driver | None = None

    async def execute(self) -> int:
        """Run to the end; returns the exit status."""
        self._install_exits()
        spec = self._spec
        spec.output.mkdir(parents=True, exist_ok=True)
        transport = spec.make_transport(self._identity)
        try:
            await transport.open(self._deliver)
            warm_up = WarmUp(
                transport,
                self._keys,
                spec.target.concurrency,
                len(spec.samples),
                spec.warmup,
                spec.warmup_at_once,
                self._meter.admit,
            )
            await self._warm(warm_up)
            driver = Driver(
                transport,
                ENCODERS[spec.task],
                self._keys,
                spec.timeout_s,
                spec.sends_at_once,
                spec.max_in_flight,
                _name(spec.target, len(warm_up.served)),
                self._meter.admit,
            )
            detail = await self._measure(driver)
        finally:
            await transport.close()
        self._receive = _ignore
        account = Account(spec, driver, self._warm_up, detail, transport.counts(), self._meter)
        result = await asyncio.to_thread(account.write)
        self._emit({"event": "done", "issued": result.issued, "ok": result.ok, "aborted": None})
        return 0

    async def _warm(self, warm_up: WarmUp) -> None:
        self._warm_up, self._receive = warm_up, warm_up.receive
        await warm_up.run(_throttled(self._emit_warmup))

    async def _measure(self, driver: Driver) -> DetailLog:
        if self._meter.refused is not None:
            return NO_DETAIL  # the warm-up was stopped: there is nothing left to measure with
        self._driver, self._receive = driver, driver.receive
        capacity_qps = self._warm_up.capacity_qps if self._warm_up else None
        settings = settings_of(self._spec, capacity_qps)
        progress = asyncio.get_running_loop().create_task(self._report_progress(driver, settings.expected))
        folder = self._spec.output / "loadgen"
        try:
            await driver.run(settings, folder, self._spec.drain_s, self._audit_config())
        finally:
            progress.cancel()
        return NO_DETAIL if driver.stopped else read_detail(folder)

    def _audit_config(self) -> str:
        spec = self._spec
        if spec.mode not in {"test01", "test04"}:
            return NO_AUDIT
        return str(write_audit_config(spec.output, spec.mode, spec.loadgen_model))

    def _deliver(self, reply: Reply) -> None:
        self._meter.note(reply)
        self._receive(reply)

    def _emit_warmup(self, warm: int, environments: int) -> None:
        self._emit({"event": "warmup", "warm": warm, "environments": environments})

    async def _report_progress(self, driver: Driver, total: int) -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            total = max(total, driver.done)  # a run with a duration may need more
            self._emit({"event": "progress", "done": driver.done, "total": total, "errors": driver.failed})

    # Ends before the end

    def _install_exits(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.abort, number.name, INTERRUPTED)
        if self._parent is not None:
            loop.add_reader(self._parent.fileno(), self._parent_spoke, self._parent)
        # A bug in a callback would leave LoadGen waiting for ever: end loudly instead.
        loop.set_exception_handler(lambda _, context: self.abort(_describe(context), 1))

    def _parent_spoke(self, parent: ParentPipe) -> None:
        """What it says later on is newer credentials; the next request is signed with them."""
        if not parent.read():
            self.abort("the parent process is gone", INTERRUPTED)
        while (line := parent.line()) is not None:
            if self._identity is not None:
                self._identity.credentials = load_credentials(line)

    def abort(self, reason: str, status: int) -> NoReturn:
        """Write why, and end at once: LoadGen's thread cannot be stopped in order."""
        reason = redacted(reason)
        result = make_result(self._spec, self._driver, aborted=reason, meter=self._meter)
        with suppress(OSError):  # the folder may be what is broken; the exit status still tells
            self._spec.output.mkdir(parents=True, exist_ok=True)
            (self._spec.output / "driver.json").write_bytes(dump_result(result))
            write_validity(self._spec.output / "validity.json", verdict(result))
        self._emit({"event": "done", "issued": result.issued, "ok": result.ok, "aborted": reason})
        _say(f"run {self._spec.run} ended early: {reason}")
        os._exit(status)


def main() -> NoReturn:
    """Read the spec, run it, exit."""
    parent = ParentPipe(sys.stdin.fileno())
    try:
        spec = load_spec(parent.first_line())
    except BenchmarkError as error:
        _say(str(error))
        sys.exit(error.exit_status)
    run = RunProcess(spec, _print_event, parent if "--parent-stdin" in sys.argv[1:] else None)
    try:
        status = asyncio.run(run.execute())
    except BenchmarkError as error:
        run.abort(str(error), error.exit_status)
    except OSError as error:
        run.abort(f"{error} (results go to {spec.output})", 1)
    sys.stdout.flush()
    # LoadGen's static destructors abort when its threads still exist.
    os._exit(status)


def _keys(run: str) -> Iterator[str]:
    """Keys of all queries of a run, warm-up ones first: `<run>-<8 digits>`."""
    return (f"{run}-{number:08d}" for number in range(100_000_000))


def _name(target: Target, environments: int) -> str:
    """The system's name in LoadGen's log; by MLPerf's rules a round trip to every node, which the warm-up was."""
    return f"{NETWORK_SUT}: {target.function_name} on {target.platform}, {environments} environments answered"


def _print_event(event: dict[str, Any]) -> None:
    # Without a reader there is nobody to tell; the parent's end is noticed through stdin.
    with suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()


def _throttled(emit: Callable[[int, int], None]) -> Callable[[int, int], None]:
    last_s = float("-inf")

    def emit_seldom(warm: int, environments: int) -> None:
        nonlocal last_s
        now_s = asyncio.get_running_loop().time()
        if now_s - last_s >= PROGRESS_S or warm == environments:
            last_s = now_s
            emit(warm, environments)

    return emit_seldom


def _ignore(_reply: Reply) -> None:
    """Before and after the run nobody waits for a result."""


def _describe(context: dict[str, Any]) -> str:
    return f"internal error: {context.get('exception')!r}: {context.get('message')}"


def _say(text: str) -> None:
    with suppress(BrokenPipeError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


if __name__ == "__main__":
    main()
