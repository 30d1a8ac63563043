"""Faults on demand of S3's events: lost, doubled, late, out of order; always behind the acceptance of the request."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

from serverless_mlperf.platforms.local.faults import EVENT_KINDS, FaultPlan

Deliver = Callable[[], None]


class EventFaults:
    """Delivers events to functions and queues with the faults of a plan; nothing but `lose` ever loses one."""

    def __init__(self) -> None:
        self._overtaken: defaultdict[str, list[Deliver]] = defaultdict(list)
        """Events by target that wait until another one has overtaken them."""
        self._timers: set[asyncio.TimerHandle] = set()

    def deliver(self, plan: FaultPlan, target: str, key: str, deliver: Deliver) -> None:
        """Deliver one event about a key to its target (an ARN), or not, or twice, or later."""
        due = {kind: plan.draws(kind) for kind in EVENT_KINDS}
        if due["lose"]:
            plan.note("lose", key)
            return
        copies = 1
        if due["duplicate"]:
            plan.note("duplicate", key)
            copies = 2
        for _ in range(copies):
            if due["delay"]:
                self._later(plan.settings.event_delay_s, deliver)
            elif due["reorder"]:
                self._hold(plan.settings.event_delay_s, target, deliver)
            else:
                deliver()
        if due["delay"]:
            plan.note("delay", key)
        elif due["reorder"]:
            plan.note("reorder", key)
        else:
            self._release(target)

    @property
    def pending(self) -> int:
        """Events, and groups of them, that are still to come."""
        return len(self._timers)

    def close(self) -> None:
        """Drop what is still to come: the server ends."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._overtaken.clear()

    def _hold(self, at_most_s: float, target: str, deliver: Deliver) -> None:
        self._overtaken[target].append(deliver)
        self._later(at_most_s, lambda: self._release(target))

    def _release(self, target: str) -> None:
        """What was overtaken follows now."""
        for deliver in self._overtaken.pop(target, ()):
            deliver()

    def _later(self, delay_s: float, act: Deliver) -> None:
        def run() -> None:
            self._timers.discard(timer)
            act()

        timer = asyncio.get_running_loop().call_later(delay_s, run)
        self._timers.add(timer)
