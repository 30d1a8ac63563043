"""Budget arithmetic of the CPU controller: pure, in nanoseconds, one value per environment.

A budget of share x 20 ms is handed out per period, as on Lambda (period and carried debt: measured there by the
EuroSys'26 over-allocation artefact). What was used beyond it is owed in the next period; what was not used is lost.
"""

from dataclasses import dataclass, field
from typing import Final

PERIOD_NS: Final = 20_000_000
GRAIN_NS: Final = 150_000
"""A rest this small is not worth another wake-up: the environment is stopped now and the rest is credited."""
SHORTEST_SLEEP_NS: Final = 400_000
"""The controller looks at an environment no more often; what is overrun meanwhile is carried as debt."""


def stagger_ns(slot: int) -> int:
    """Phase of a slot's periods: successive slots lie as far apart as can be (van der Corput's sequence)."""
    phase, width = 0, PERIOD_NS
    while slot:
        width //= 2
        phase += width * (slot & 1)
        slot >>= 1
    return phase


@dataclass(slots=True)
class Throttle:
    """The budget of one environment; times are the monotonic clock, `cpu_ns` the environment's CPU clock."""

    quota_ns: int
    cores: int
    """Cores it can keep busy: how fast a budget can be used up."""
    phase_ns: int = 0
    _period_ends_ns: int = field(default=0, init=False)
    _cpu_at_start_ns: int = field(default=0, init=False)
    _budget_ns: int = field(default=0, init=False)

    def begin(self, now_ns: int, cpu_ns: int) -> None:
        """Start with a whole budget at the current place in the period."""
        into_period_ns = (now_ns - self.phase_ns) % PERIOD_NS
        self._period_ends_ns = now_ns - into_period_ns + PERIOD_NS
        self._cpu_at_start_ns = cpu_ns
        self._budget_ns = self.quota_ns

    def step(self, now_ns: int, cpu_ns: int) -> tuple[bool, int]:
        """Whether it may run now, and when to ask again."""
        if now_ns >= self._period_ends_ns:
            self._next_period(now_ns, cpu_ns)
        left_ns = self._budget_ns - (cpu_ns - self._cpu_at_start_ns)
        if left_ns <= GRAIN_NS:
            return False, self._period_ends_ns
        earliest_ns = now_ns + max(left_ns // self.cores, SHORTEST_SLEEP_NS)
        return True, min(earliest_ns, self._period_ends_ns)

    def _next_period(self, now_ns: int, cpu_ns: int) -> None:
        periods = (now_ns - self._period_ends_ns) // PERIOD_NS + 1
        balance_ns = self._budget_ns - (cpu_ns - self._cpu_at_start_ns) + (periods - 1) * self.quota_ns
        self._budget_ns = self.quota_ns + min(balance_ns, GRAIN_NS)
        self._cpu_at_start_ns = cpu_ns
        self._period_ends_ns += periods * PERIOD_NS
