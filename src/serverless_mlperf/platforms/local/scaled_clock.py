"""The clock of what Lambda does in minutes: it can run faster than the wall clock, stand still, or be put forward.

Retries, event age, back-off, scale-up, request rates and keep-alive go by it. What is measured never does: function
timeouts, init phases, CPU, durations and REPORT lines are real, and so are SQS's visibility timeouts, which are
promises to clients who live in real time.
"""

import asyncio
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
import math
from typing import Any, Final

MAX_SPEED: Final = 1e6
MAX_ADVANCE_S: Final = 366 * 86_400.0
_BATCH: Final = 256
"""Timers served in one turn of the event loop: many that are due at once must not hold it."""


class Timer:
    """One call to come; small, since many may wait."""

    __slots__ = ("_clock", "act", "values")

    def __init__(self, clock: "ScaledClock", act: Callable[..., None], values: tuple[Any, ...]) -> None:
        self._clock = clock
        self.act: Callable[..., None] | None = act
        self.values = values

    def cancel(self) -> None:
        """Do not call; harmless when it has been called."""
        if self.act is not None:
            self.act = None
            self._clock.on_cancelled()


class ScaledClock:
    """Not thread-safe: made and used on one event loop."""

    def __init__(self, speed: float = 1.0) -> None:
        self._loop = asyncio.get_running_loop()
        self._speed = checked_speed(speed)
        self._base_s, self._since_s = 0.0, self._loop.time()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._cancelled = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at_s = math.inf

    @property
    def speed(self) -> float:
        """Seconds of this clock in a real one; 0: it stands still until it is put forward."""
        return self._speed

    def now_s(self) -> float:
        """Seconds of this clock since it was made."""
        return self._base_s + (self._loop.time() - self._since_s) * self._speed

    def call_later(self, delay_s: float, act: Callable[..., None], *values: Any) -> Timer:
        """Call once, after a time on this clock; calls that are due together are made in the order of their times."""
        timer, at_s = Timer(self, act, values), self.now_s() + delay_s
        heappush(self._timers, (at_s, next(self._order), timer))
        if at_s < self._alarm_at_s:
            self._arm()
        return timer

    async def sleep(self, delay_s: float) -> None:
        """Return after a time on this clock."""
        woken: asyncio.Future[None] = self._loop.create_future()
        timer = self.call_later(delay_s, lambda: None if woken.done() else woken.set_result(None))
        try:
            await woken
        finally:
            timer.cancel()

    def set_speed(self, speed: float) -> None:
        """Run at another speed from now on; raises ValueError for one that is none."""
        checked = checked_speed(speed)
        self._rebase(0.0)
        self._speed = checked
        self._arm()

    def advance(self, seconds: float) -> None:
        """Put the clock forward; what became due meanwhile is called in its order. Raises ValueError."""
        if not 0 <= seconds <= MAX_ADVANCE_S:
            raise ValueError(f"a clock is put forward by 0 to {MAX_ADVANCE_S:.0f} s, not {seconds!r}")
        self._rebase(seconds)
        self._arm()

    def describe(self) -> dict[str, Any]:
        """For the status page."""
        return {"speed": self._speed, "now_s": round(self.now_s(), 3), "timers": len(self._timers) - self._cancelled}

    def close(self) -> None:
        """Call nothing any more."""
        self._timers.clear()
        self._arm()

    def on_cancelled(self) -> None:
        """A timer will not be called: the heap is cleaned when most of it is of that kind."""
        self._cancelled += 1
        if self._cancelled > _BATCH and self._cancelled * 2 > len(self._timers):
            self._timers = [entry for entry in self._timers if entry[2].act is not None]
            heapify(self._timers)
            self._cancelled = 0

    def _rebase(self, ahead_s: float) -> None:
        self._base_s, self._since_s = self.now_s() + ahead_s, self._loop.time()

    def _arm(self) -> None:
        """Have the loop call when the first timer is due."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm, self._alarm_at_s = None, math.inf
        if not self._timers:
            return
        at_s = self._timers[0][0]
        left_s = at_s - self.now_s()
        if left_s > 0 and not self._speed:
            return
        self._alarm_at_s = at_s
        self._alarm = self._loop.call_later(max(0.0, left_s) / (self._speed or 1.0), self._ring)

    def _ring(self) -> None:
        self._alarm, self._alarm_at_s = None, math.inf
        try:
            self._call_due(self.now_s())
        finally:
            self._arm()

    def _call_due(self, now_s: float) -> None:
        for _ in range(_BATCH):
            if not self._timers or self._timers[0][0] > now_s:
                return
            timer = heappop(self._timers)[2]
            act, timer.act = timer.act, None
            if act is None:
                self._cancelled -= 1
            else:
                act(*timer.values)


def checked_speed(speed: float) -> float:
    """A speed that a clock can have; raises ValueError."""
    if not 0 <= speed <= MAX_SPEED:
        raise ValueError(f"clock speed {speed!r}: it must be from 0 (stands still) to {MAX_SPEED:.0f}")
    return float(speed)
