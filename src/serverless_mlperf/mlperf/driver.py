"""LoadGen's system under test: exactly one completion per query, whatever the platform does.

LoadGen waits for ever for a lost response and crashes on one that comes twice or late, so:

- LoadGen's ids are raw pointers: they never leave this process and are used once;
- the ledger of open queries is the single gate to LoadGen: the first result, error or deadline closes a query,
  everything later is counted;
- a query that failed is completed with a well-formed wrong answer, and the run is INVALID;
- the issue callback runs on LoadGen's thread and delays its schedule: it hands over and returns, and it must not
  raise through C++;
- everything else happens on the event loop of the main thread, which therefore keeps the signals.
"""

from array import array
import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator
import ctypes
from dataclasses import dataclass
from itertools import takewhile
import os
from pathlib import Path
import sys
import threading
import time
from typing import Any, Final

import aiohttp
import mlperf_loadgen as lg

from serverless_mlperf.errors import BenchmarkError, RunError
from serverless_mlperf.mlperf.query import Query, check_sut
from serverless_mlperf.mlperf.settings import LoadGenSettings, log_settings, test_settings
from serverless_mlperf.mlperf.spec import NETWORK_SUT
from serverless_mlperf.records import QueryVerdict
from serverless_mlperf.transports.base import Reply, Transport

Encoder = Callable[[int, Reply | None], bytes]
"""(sample index, reply) -> LoadGen response; None asks for a wrong answer; raises ValueError on a malformed reply."""

NO_AUDIT: Final = "/dev/null/audit.config"
"""A path that cannot exist: LoadGen would obey an audit.config in the working directory without a word."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one call of LoadGen handed over."""

    ids: list[int]
    indices: list[int]
    wall_ns: int
    tick_ns: int


_ring: Final = ctypes.PyDLL(None).eventfd_write
"""eventfd_write(3) that keeps the GIL. What lets go of it while it wakes the loop's thread, as `call_soon_threadsafe`
does, has both threads fight for it afterwards: 13 of 60 us that the driver adds (bench/loadgen_gates.py)."""
_ring.argtypes, _ring.restype = (ctypes.c_int, ctypes.c_uint64), ctypes.c_int


class Driver:
    """One LoadGen test against one transport, which somebody else opened and will close.

    At most `senders` sends are under way. Where a send lasts until the answer, that bounds the queries in flight; what
    waits for a free sender waits between `issued_ns` and `begun_ns`, and its deadline runs.
    """

    def __init__(
        self,
        transport: Transport,
        encode: Encoder,
        keys: Iterator[str],
        deadline_s: float,
        senders: int = 8,
        max_in_flight: int | None = None,
        name: str = NETWORK_SUT,
        admit: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._transport = transport
        self._encode = encode
        self._keys = keys
        self._name = name
        self._admit = admit
        self._deadline_ns = round(deadline_s * 1e9)
        self._free_senders = senders
        self._max_in_flight = max_in_flight or sys.maxsize
        self._loop = asyncio.get_running_loop()
        self._batches: deque[Batch] = deque()
        self._woken = False
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Rung by LoadGen's thread: queries wait to be accepted."""
        self._loop.add_reader(self._bell, self._accept)
        self._open: dict[str, Query] = {}
        self._closed: dict[str, Query] = {}
        self._waiting: deque[Query] = deque()
        self._unsent: list[Query] = []
        """Not let through: they have no end."""
        self._finished = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._playing = False
        self._failure: Exception | None = None
        self._in_flight = 0
        self._failed = 0
        self.peak_in_flight = 0
        self.cpu_ns: int | None = None
        self.wall_ns: int | None = None
        self.surplus: list[Reply] = []
        """Results beyond the first of their query."""
        self.counts: Counter[str] = Counter()

    @property
    def queries(self) -> list[Query]:
        """All queries handed over so far, ended ones first."""
        return [*self._closed.values(), *self._open.values(), *self._unsent]

    @property
    def stopped(self) -> bool:
        """Whether a query was not let through: LoadGen waits for it for ever, and this process must not go on."""
        return bool(self._unsent)

    @property
    def done(self) -> int:
        """Queries that have ended."""
        return len(self._closed)

    @property
    def failed(self) -> int:
        """Queries that have ended without a good result, and surplus results."""
        return self._failed + self.counts["duplicates"]

    async def run(self, settings: LoadGenSettings, folder: Path, drain_s: float, audit_config: str = NO_AUDIT) -> None:
        """Play one LoadGen test and write its logs into `folder`; raises RunError when LoadGen fails.

        When `admit` lets a query not through, nothing more is sent, what is under way ends, and LoadGen is left where
        it is: `stopped`.
        """
        try:
            await self._play(settings, folder, audit_config)
            # Not a wait for a result: the time in which second executions are still counted.
            await asyncio.sleep(drain_s)
        finally:
            self._hang_up()
        if self._failure is not None:
            raise RunError(f"LoadGen failed: {self._failure}; see {folder}") from self._failure

    def receive(self, reply: Reply) -> None:
        """Take one result; the transport's callback, on the event loop."""
        query = self._open.get(reply.key)
        if query is None:
            self._count_surplus(reply)
        elif not reply.ok:
            self._settle(query, "error", reply, reply.error)
        else:
            self._settle_answered(query, reply)

    # LoadGen's thread

    def _start_test(self, settings: LoadGenSettings, folder: Path, audit_config: str) -> None:
        try:
            # Of LoadGen's constructors the only one that takes a name; the others log PySUT or PyFastSUT.
            sut = lg.ConstructQDL(self._issue, _nothing, lambda: self._name)
            library = lg.ConstructQSL(
                settings.sample_count, settings.performance_sample_count, _nothing_to_load, _nothing_to_load
            )
            lg.StartTestWithLogSettings(sut, library, test_settings(settings), log_settings(str(folder)), audit_config)
        except (RuntimeError, ValueError, TypeError, OSError, BenchmarkError) as error:
            self._failure = error
        finally:
            # Set on this thread, before any later reply is looked at: LoadGen's ids are dead from here on.
            self._playing = False
            self._loop.call_soon_threadsafe(self._finished.set)

    def _issue(self, samples: list[Any]) -> None:
        wall_ns, tick_ns = time.time_ns(), time.perf_counter_ns()
        ids, indices = [sample.id for sample in samples], [sample.index for sample in samples]
        self._batches.append(Batch(ids, indices, wall_ns, tick_ns))
        if not self._woken:
            self._woken = True
            _ring(self._bell, 1)

    # The event loop

    async def _play(self, settings: LoadGenSettings, folder: Path, audit_config: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._playing = True
        # A daemon: LoadGen cannot be interrupted, and an aborted process must not wait for it.
        thread = threading.Thread(
            target=self._start_test, args=(settings, folder, audit_config), name="loadgen", daemon=True
        )
        cpu_ns, tick_ns = time.process_time_ns(), time.perf_counter_ns()
        thread.start()
        await self._finished.wait()
        self.cpu_ns, self.wall_ns = time.process_time_ns() - cpu_ns, time.perf_counter_ns() - tick_ns

    def _hang_up(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        for task in self._sending:
            task.cancel()
        self._loop.remove_reader(self._bell)
        if not self._playing:  # else LoadGen's thread lives on, and would ring whatever had this number next
            os.close(self._bell)

    def _accept(self) -> None:
        os.eventfd_read(self._bell)
        self._woken = False
        now_ns = time.perf_counter_ns()
        while self._batches:
            batch = self._batches.popleft()
            for loadgen_id, index in zip(batch.ids, batch.indices, strict=True):
                query = Query(next(self._keys), loadgen_id, index, batch.wall_ns, batch.tick_ns, now_ns)
                self._open[query.key] = query
                self._waiting.append(query)
        if self.stopped:
            self._stop()
        self._set_alarm()
        self._send_more()

    def _send_more(self) -> None:
        for _ in range(min(self._free_senders, len(self._waiting), self._room)):
            self._free_senders -= 1
            task = self._loop.create_task(self._send_waiting())
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send_waiting(self) -> None:
        """One sender: takes queries until none waits, so that a burst costs few tasks."""
        try:
            while self._waiting and self._room > 0:
                query = self._waiting.popleft()
                if query.verdict is not None:
                    continue
                if not self._admit(query.key):
                    self._waiting.appendleft(query)
                    self._stop()
                    return
                await self._send(query)
        finally:
            # Not in the task's done callback, which comes later: a query accepted in between would find no sender
            # free, and nobody would look again.
            self._free_senders += 1

    def _stop(self) -> None:
        """Send nothing more; the run is over when nothing is under way."""
        self._unsent += [self._open.pop(query.key) for query in self._waiting if query.verdict is None]
        self._waiting.clear()
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if self.stopped and not self._open:
            self._finished.set()

    @property
    def _room(self) -> int:
        """Queries that may still be handed to the platform before one of those in flight has ended."""
        return self._max_in_flight - self._in_flight

    async def _send(self, query: Query) -> None:
        query.begun_ns = time.time_ns()
        self._in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self._in_flight)
        try:
            await self._transport.send(query.key, query.sample_index)
        except (OSError, aiohttp.ClientError, BenchmarkError) as error:
            self._not_sent(query, str(error))
        except Exception as error:  # a transport's defect: it ends its query, which names it, not LoadGen's run
            self._not_sent(query, repr(error))

    def _not_sent(self, query: Query, reason: str) -> None:
        if query.verdict is None:
            self._settle(query, "send_error", None, f"not sent: {reason}")

    def _set_alarm(self) -> None:
        """Wake up at the deadline of the oldest open query: all have the same patience, so it is the first."""
        oldest = next(iter(self._open.values()), None)
        if self._alarm is None and oldest is not None:
            left_ns = oldest.issued_tick_ns + self._deadline_ns - time.perf_counter_ns()
            self._alarm = self._loop.call_later(max(0.0, left_ns / 1e9), self._expire)

    def _expire(self) -> None:
        self._alarm = None
        limit_ns = time.perf_counter_ns() - self._deadline_ns
        for query in list(takewhile(lambda each: each.issued_tick_ns <= limit_ns, self._open.values())):
            self._settle(query, "timeout", None, f"no result within {self._deadline_ns / 1e9:g} s")
        self._set_alarm()

    def _settle_answered(self, query: Query, reply: Reply) -> None:
        try:
            check_sut(reply.body)
            answer = self._encode(query.sample_index, reply)
        except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
            self._settle(query, "error", reply, f"malformed result: {error}")
        else:
            self._settle(query, "ok", reply, None, answer)

    def _settle(
        self, query: Query, verdict: QueryVerdict, reply: Reply | None, error: str | None, answer: bytes | None = None
    ) -> None:
        """The gate: the only place that completes a query, at most once each."""
        del self._open[query.key]
        self._closed[query.key] = query
        query.verdict, query.reply, query.error = verdict, reply, error
        query.completed_tick_ns = time.perf_counter_ns()
        self._in_flight -= query.begun_ns > 0
        self._failed += verdict != "ok"
        if self._playing:
            _complete(query.loadgen_id, self._encode(query.sample_index, None) if answer is None else answer)
        if self._waiting:
            self._send_more()
        self._end_if_idle()

    def _count_surplus(self, reply: Reply) -> None:
        query = self._closed.get(reply.key)
        if query is None:
            self.counts["strays"] += 1
            return
        if query.reply is None:
            query.reply = reply  # ended without one: the verdict stays, but where it ran is known now
            self.counts["late"] += 1
            return
        self.surplus.append(reply)
        self.counts["duplicates"] += 1
        query.duplicates += 1


def _complete(loadgen_id: int, answer: bytes) -> None:
    buffer = array("B", answer)
    address, size = buffer.buffer_info()
    # LoadGen copies what it keeps before the call returns.
    lg.QuerySamplesComplete([lg.QuerySampleResponse(loadgen_id, address if size else 0, size)])


def _nothing() -> None:
    """LoadGen's flush: there is nothing to flush."""


def _nothing_to_load(_indices: list[int]) -> None:
    """LoadGen's load and unload: the samples are in the object store already."""
