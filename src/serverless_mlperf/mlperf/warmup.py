"""Warm-up: every environment of the target serves a few queries before anything is measured.

So many queries are kept under way that the platform starts all environments at once instead of reusing the first warm
one: through events twice as many as environments, so that there is always a backlog; through invocations exactly as
many, for one more would be refused.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
import time
from typing import Final

import aiohttp

from serverless_mlperf.errors import RunError
from serverless_mlperf.mlperf.query import Query, check_sut
from serverless_mlperf.mlperf.spec import WarmupRule
from serverless_mlperf.records import QueryVerdict
from serverless_mlperf.transports.base import Reply, Transport

MAX_ERRORS: Final = 3
"""So many error replies: the function is broken, waiting longer will not help."""


class WarmUp:
    """One warm-up against one transport."""

    def __init__(
        self,
        transport: Transport,
        keys: Iterator[str],
        environments: int,
        sample_count: int,
        rule: WarmupRule,
        at_once: int,
        admit: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._transport = transport
        self._keys = keys
        self._environments = environments
        self._sample_count = sample_count
        self._rule = rule
        self._at_once = at_once
        self._admit = admit
        self._stopped = False
        """A query was not let through: none is sent any more."""
        self._arrived = asyncio.Event()
        self._open: dict[str, Query] = {}
        self.queries: dict[str, Query] = {}
        self.served: Counter[str] = Counter()
        """Environment id -> invocations it has had in its life."""
        self.lost = 0
        self._errors: list[str] = []

    async def run(self, on_progress: Callable[[int, int], None]) -> None:
        """Send until the rule holds or a query is not let through, then wait until nothing is under way.

        Raises RunError with the reason.
        """
        try:
            async with asyncio.timeout(self._rule.deadline_s):
                while not self.complete:
                    await self._fill_up()
                    if self._stopped:
                        break
                    await self._wait_for_replies()
                    on_progress(self._warm, self._environments)
                await self._drain()
        except TimeoutError:
            raise RunError(f"warm-up not finished within {self._rule.deadline_s:g} s: {self._state()}") from None
        except (OSError, aiohttp.ClientError) as error:
            raise RunError(f"warm-up: a query could not be sent: {error}") from error

    @property
    def complete(self) -> bool:
        """Whether every environment has served enough."""
        return self._warm >= self._environments

    @property
    def capacity_qps(self) -> float | None:
        """What the environments can serve together: their count over the median time of a warm query in the function.

        None when no warm query was served, or in no time at all: a clock was set meanwhile. Delivery is not part of
        the time that the function reports, so this is an upper bound.
        """
        bodies = (query.reply.body["sut"] for query in self.queries.values() if query.reply and query.verdict == "ok")
        spans_ns = sorted(sut["finish_ns"] - sut["start_ns"] for sut in bodies if not sut["cold"])
        median_ns = spans_ns[len(spans_ns) // 2] if spans_ns else 0
        return self._environments / (median_ns / 1e9) if median_ns > 0 else None

    def receive(self, reply: Reply) -> None:
        """Take one result; the transport's callback."""
        self._open.pop(reply.key, None)
        query = self.queries.get(reply.key)
        if query is None or query.reply is not None:
            return
        query.reply, query.completed_tick_ns = reply, time.perf_counter_ns()
        query.verdict, query.error = self._judge(reply)
        if query.error is not None:
            self._errors.append(f"{reply.key}: {query.error}")
        self._arrived.set()

    def _judge(self, reply: Reply) -> tuple[QueryVerdict, str | None]:
        if not reply.ok:
            return "error", reply.error or "error record"
        try:
            sut = check_sut(reply.body)
        except ValueError as error:
            return "error", f"malformed result: {error}"
        name = sut["environment_id"]
        self.served[name] = max(self.served[name], sut["invocation"])
        return "ok", None

    @property
    def _warm(self) -> int:
        return sum(count >= self._rule.served for count in self.served.values())

    async def _fill_up(self) -> None:
        missing = self._at_once - len(self._open)
        await asyncio.gather(*(self._send(next(self._keys)) for _ in range(missing)))

    async def _send(self, key: str) -> None:
        if self._stopped or not self._admit(key):
            self._stopped = True
            return
        now_ns, tick_ns = time.time_ns(), time.perf_counter_ns()
        query = Query(key, 0, len(self.queries) % self._sample_count, now_ns, tick_ns, tick_ns, now_ns)
        self.queries[key] = self._open[key] = query
        await self._transport.send(key, query.sample_index)

    async def _wait_for_replies(self) -> None:
        try:
            async with asyncio.timeout(self._rule.patience_s):
                await self._arrived.wait()
        except TimeoutError:
            self._give_up()
        self._arrived.clear()
        if len(self._errors) >= MAX_ERRORS:
            raise RunError(f"warm-up: the function answers with errors: {self._errors[-1]}")

    def _give_up(self) -> None:
        self.lost += len(self._open)
        for query in self._open.values():
            query.verdict, query.error = "timeout", f"no reply within {self._rule.patience_s:g} s"
            query.completed_tick_ns = time.perf_counter_ns()
        self._open.clear()

    async def _drain(self) -> None:
        """Nothing may still run when the window opens."""
        while self._open:
            await self._wait_for_replies()

    def _state(self) -> str:
        seen = ", ".join(f"{name} served {count}" for name, count in sorted(self.served.items())) or "no result came"
        last_error = f"; last error {self._errors[-1]}" if self._errors else ""
        return (
            f"{self._warm} of {self._environments} environments served {self._rule.served} queries ({seen}; "
            f"{len(self._open)} under way, {self.lost} lost{last_error}); look at the function's log"
        )
