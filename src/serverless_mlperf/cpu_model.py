"""How Lambda holds a function to its share of the CPU: pure arithmetic in nanoseconds.

The kernel's bandwidth control (kernel/sched/fair.c) with the constants measured on Lambda by the EuroSys'26
over-allocation artefact (ubc-cirrus-lab/demystifying-serverless-costs): a quota of share x 20 ms is handed out every
20 ms, and what is used is only charged at the scheduler's ticks, 4 ms apart. Hence

- whoever still has budget at a tick runs until the next one, and what is used beyond the budget is a debt that the
  following periods pay before anything runs again (at 128 MB: 4 ms of running, then a pause of 56 or 36 ms);
- ticks and periods lie on one grid (both timers fire at whole multiples of their length), and where both fall
  together the budget is handed out first: the timer that was armed earlier goes first;
- what is left at the end of a period is lost, unless the function was busy all through it.

`Budget` is what the controller acts on; `VirtualCpu` runs a demand under a `Budget` on a clock of its own, so that a
prediction is made with the very arithmetic that is enforced.
"""

from dataclasses import dataclass, field
from typing import Final

PERIOD_NS: Final = 20_000_000
"""A quota is handed out so often: throttle events on Lambda are 20 ms apart, or a multiple of it."""
TICK_NS: Final = 4_000_000
"""What is used is charged so often: a scheduler of 250 Hz, as on Lambda's hosts."""


def stagger_ns(slot: int) -> int:
    """Phase of a slot's periods: successive slots lie as far apart as can be (van der Corput's sequence)."""
    phase, width = 0, PERIOD_NS
    while slot:
        width //= 2
        phase += width * (slot & 1)
        slot >>= 1
    return phase


@dataclass(slots=True)
class Budget:
    """What one environment may still use; times are a monotonic clock, `cpu_ns` the environment's CPU clock.

    Whoever enforces it calls `step` when it is due; `pause` when the environment has nothing to do, and `resume` when
    it has something again. Being late is no error: what is used meanwhile is charged as well.
    """

    quota_ns: int
    """Per period."""
    cores: int = 1
    """Cores it can keep busy: how fast a budget can be used up."""
    phase_ns: int = 0
    """Of its periods and ticks."""
    runs: bool = field(default=True, init=False)
    """Whether it may run now."""
    _left_ns: int = field(default=0, init=False)
    _used_ns: int = field(default=0, init=False)
    """Since the last hand-out, as far as charged."""
    _charged_ns: int = field(default=0, init=False)
    """CPU clock of the last charge."""
    _refill_ns: int = field(default=0, init=False)
    """Moment of the next hand-out."""

    @property
    def unlimited(self) -> bool:
        """Whether it can never be held: its cores cannot exceed the quota."""
        return self.quota_ns >= self.cores * PERIOD_NS

    def begin(self, now_ns: int, cpu_ns: int) -> int:
        """Start with a whole budget at the current place in the period; returns when `step` is due."""
        self._refill_ns = now_ns - (now_ns - self.phase_ns) % PERIOD_NS + PERIOD_NS
        self._left_ns, self._used_ns, self._charged_ns = self.quota_ns, 0, cpu_ns
        self.runs = True
        return self._due_ns(now_ns)

    def step(self, now_ns: int, cpu_ns: int) -> int:
        """A tick: hand out what is due, charge what was used, decide whether it runs; returns when the next is due."""
        self._hand_out(now_ns)
        self._charge(cpu_ns)
        self.runs = self._left_ns > 0 or self.unlimited
        return self._due_ns(now_ns)

    def pause(self, now_ns: int, cpu_ns: int) -> None:
        """It has nothing to do from now on."""
        self._hand_out(now_ns)
        self._charge(cpu_ns)

    def resume(self, now_ns: int, cpu_ns: int) -> int:
        """It has something to do again, and may if it has anything left; returns when `step` is due."""
        return self.step(now_ns, cpu_ns)

    def _hand_out(self, now_ns: int) -> None:
        periods = (now_ns - self._refill_ns) // PERIOD_NS + 1
        if periods <= 0:
            return
        most_ns = self.quota_ns + (min(max(self._left_ns, 0), TICK_NS) if self._used_ns >= PERIOD_NS - TICK_NS else 0)
        self._left_ns = min(self._left_ns + periods * self.quota_ns, most_ns)
        self._used_ns = 0
        self._refill_ns += periods * PERIOD_NS

    def _charge(self, cpu_ns: int) -> None:
        used_ns = cpu_ns - self._charged_ns
        self._charged_ns = cpu_ns
        self._left_ns -= used_ns
        self._used_ns += used_ns

    def _due_ns(self, now_ns: int) -> int:
        if not self.runs:
            return self._refill_ns + -self._left_ns // self.quota_ns * PERIOD_NS
        # No tick before the budget can be used up would stop it. The last one of a period counts in any case: what
        # is used after it is charged to the next period.
        earliest_ns = max(now_ns + 1, now_ns + self._left_ns // self.cores)
        tick_ns = earliest_ns + (self.phase_ns - earliest_ns) % TICK_NS
        last_ns = self._refill_ns - TICK_NS
        return min(tick_ns, last_ns if now_ns < last_ns else self._refill_ns)


class VirtualCpu:
    """A clock on which one environment works and waits under its budget."""

    def __init__(self, budget: Budget, now_ns: int = 0) -> None:
        self.now_ns = now_ns
        self._budget = budget
        self._cpu_ns = 0
        self._due_ns = budget.begin(now_ns, 0)

    def work(self, cpu_ns: int, rate: float = 1.0) -> int:
        """Use so much CPU time on `rate` cores at once, as soon as the budget allows; returns the ns it takes."""
        begun_ns, done_at_ns = self.now_ns, self._cpu_ns + cpu_ns
        while self._cpu_ns < done_at_ns:
            if self._budget.runs:
                rest_ns = done_at_ns - self._cpu_ns
                wall_ns = min(self._due_ns - self.now_ns, -int(-rest_ns // rate))
                self._cpu_ns += min(rest_ns, round(wall_ns * rate))
                self.now_ns += wall_ns
            else:
                self.now_ns = self._due_ns
            if self.now_ns >= self._due_ns:
                self._due_ns = self._budget.step(self.now_ns, self._cpu_ns)
        return self.now_ns - begun_ns

    def idle(self, wall_ns: int) -> None:
        """Wait without using CPU."""
        if wall_ns <= 0:
            return
        self._budget.pause(self.now_ns, self._cpu_ns)
        self.now_ns += wall_ns
        self._due_ns = self._budget.resume(self.now_ns, self._cpu_ns)
