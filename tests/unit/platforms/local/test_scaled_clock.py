"""The clock of Lambda's minutes: its speed, its order, what cancelling leaves behind."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from serverless_mlperf.platforms.local.scaled_clock import ScaledClock


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario that must end within some seconds."""

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scenario()

    asyncio.run(bounded())


def test_a_day_passes_in_a_moment() -> None:
    """At speed 1,000,000 a sleep of a day returns, and the clock says that a day has passed."""

    async def scenario() -> None:
        clock = ScaledClock(1e6)
        await clock.sleep(86_400)
        assert clock.now_s() >= 86_400

    run(scenario)


def test_put_forward_it_calls_what_is_due_in_order() -> None:
    """On a clock that stands still nothing is called until it is put forward; then in the order of the times."""

    async def scenario() -> None:
        clock, called = ScaledClock(0), list[str]()
        for name, delay_s in (("late", 120), ("first", 60), ("second", 60), ("never", 121)):
            clock.call_later(delay_s, called.append, name)
        clock.call_later(60, lambda: called.append("cancelled")).cancel()
        await asyncio.sleep(0)
        assert called == []
        clock.advance(120)
        woken = clock.call_later(0, lambda: None)
        while woken.act is not None:
            await asyncio.sleep(0)
        assert called == ["first", "second", "late"]
        assert clock.now_s() == 120

    run(scenario)


def test_a_new_speed_holds_for_what_waits() -> None:
    """A timer that was set at a crawl is called soon when the clock is sped up; time does not jump."""

    async def scenario() -> None:
        clock, called = ScaledClock(0.001), asyncio.Event()
        clock.call_later(1000, called.set)
        before_s = clock.now_s()
        clock.set_speed(1e6)
        assert clock.now_s() - before_s < 1000
        await called.wait()

    run(scenario)


def test_a_failing_call_does_not_stop_the_clock() -> None:
    """An exception of one call goes to the loop's handler; the next timer is called nevertheless."""

    async def scenario() -> None:
        told = list[str]()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(str(context["exception"])))
        clock, called = ScaledClock(1000), asyncio.Event()

        def fail() -> None:
            raise ValueError("one call")

        clock.call_later(1, fail)
        clock.call_later(2, called.set)
        await called.wait()
        assert told == ["one call"]

    run(scenario)


def test_cancelled_timers_do_not_pile_up() -> None:
    """Of 10,000 timers that are set and cancelled, no more than a few hundred are kept."""

    async def scenario() -> None:
        clock = ScaledClock(0)
        for _ in range(10_000):
            clock.call_later(60, lambda: None).cancel()
        assert len(clock._timers) < 1000
        assert clock.describe() == {"speed": 0.0, "now_s": 0.0, "timers": 0}

    run(scenario)


@pytest.mark.parametrize("speed", [-1.0, 1e7, float("nan"), float("inf")])
def test_impossible_speeds_are_refused(speed: float) -> None:
    """Neither backwards, nor faster than a million, nor what is no number."""

    async def scenario() -> None:
        with pytest.raises(ValueError, match="clock speed"):
            ScaledClock(speed)
        clock = ScaledClock()
        with pytest.raises(ValueError, match="put forward"):
            clock.advance(1e12 if speed > 0 else speed)

    run(scenario)
