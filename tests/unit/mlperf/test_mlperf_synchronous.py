"""Driver and warm-up with a transport whose `send` lasts until the answer."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mlperf_specs import fake_spec

from serverless_mlperf.mlperf.driver import Driver
from serverless_mlperf.mlperf.responses import ENCODERS
from serverless_mlperf.mlperf.spec import WarmupRule
from serverless_mlperf.mlperf.warmup import WarmUp
from serverless_mlperf.transports.base import Reply
from serverless_mlperf.transports.fake import FakeTransport

DEADLINE_S = 20


class Answering(FakeTransport):
    """Answers within `send`; environments are as many as there were queries under way."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way = 0
        self.peak = 0
        self.served: Counter[int] = Counter()
        self.answered: Callable[[], None] = lambda: None
        """What LoadGen does as soon as it has an answer, on its own thread."""

    async def send(self, key: str, sample_index: int) -> None:  # noqa: ARG002 - the protocol's
        """Let others come, then answer."""
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        environment = self.under_way
        await asyncio.sleep(0)
        self.served[environment] += 1
        self.under_way -= 1
        assert self._on_reply is not None
        self._on_reply(Reply(key, True, body(environment, self.served[environment])))
        self.answered()


def body(environment: int, invocation: int) -> dict[str, Any]:
    """A result."""
    sut = {"environment_id": f"e{environment}", "invocation": invocation, "cold": invocation == 1}
    return {"result": [[1, 1.0]], "sut": {**sut, "start_ns": 1, "finish_ns": 2}}


def samples(number: int) -> list[SimpleNamespace]:
    """What LoadGen hands over."""
    return [SimpleNamespace(id=0, index=0)] * number


async def ended(driver: Driver, queries: int) -> None:
    """Wait until so many queries have ended."""
    async with asyncio.timeout(DEADLINE_S):
        while driver.done < queries:
            await asyncio.sleep(0.001)


def test_query_issued_while_the_only_sender_ends_is_sent() -> None:
    """LoadGen's next query may come before the task that sent the last one is seen to be done."""

    async def case() -> None:
        transport = Answering()
        driver = Driver(transport, ENCODERS["classification"], (f"r-{n:08d}" for n in count()), DEADLINE_S, senders=1)
        transport.answered = lambda: driver._issue(samples(1)) if driver.done < 5 else None
        await transport.open(driver.receive)
        driver._issue(samples(1))
        await ended(driver, 5)
        assert transport.peak == 1

    asyncio.run(case())


def test_senders_bound_what_is_in_flight() -> None:
    """A burst waits in the client; what waits has begun later than it was issued."""

    async def case() -> None:
        transport = Answering()
        driver = Driver(transport, ENCODERS["classification"], (f"r-{n:08d}" for n in count()), DEADLINE_S, senders=3)
        await transport.open(driver.receive)
        driver._issue(samples(50))
        await ended(driver, 50)
        assert transport.peak == driver.peak_in_flight == 3
        assert all(query.issued_ns <= query.begun_ns for query in driver.queries)

    asyncio.run(case())


def test_warm_up_keeps_no_more_under_way_than_it_may() -> None:
    """Exactly so many at once reach all environments, and none is one too many."""

    async def case() -> None:
        transport = Answering()
        warm_up = WarmUp(transport, (f"r-{n:08d}" for n in count()), 4, 20, WarmupRule(deadline_s=DEADLINE_S), 4)
        await transport.open(warm_up.receive)
        await warm_up.run(lambda *_: None)
        assert transport.peak == 4
        assert transport.served == Counter({1: 3, 2: 3, 3: 3, 4: 3})

    asyncio.run(case())


def test_bounds_follow_the_transport(tmp_path: Path) -> None:
    """Where a send lasts until the answer the target's concurrency bounds it, in the run and before it."""
    spec = replace(fake_spec(tmp_path), senders=7)
    assert (spec.sends_at_once, spec.warmup_at_once) == (7, 4)
    spec = replace(spec, transport="invoke")
    assert (spec.sends_at_once, spec.warmup_at_once) == (2, 2)


def test_warm_up_is_no_burst_where_events_are_throttled(tmp_path: Path) -> None:
    """A backlog that the platform would send back is not made."""
    spec = fake_spec(tmp_path)
    throttled = replace(spec, target=replace(spec.target, absorbs_bursts=False))
    assert (spec.warmup_at_once, throttled.warmup_at_once) == (4, 2)
