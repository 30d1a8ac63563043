"""What the host can run at once: a promise of CPU is only made where it can be kept."""

import math
from typing import Final

from serverless_mlperf.platforms.local.model import cpu_share

RESERVE_VCPU: Final = 0.25
"""Left for client, server and controller, at least."""
QUIET_RESERVE_VCPU: Final = 0.3
"""What they take under load (5 CPU-ms a query, 60 queries/s): with less left, functions wait for each other."""
INIT_VCPU: Final = 1.0
"""An init phase is not throttled: it counts as a whole core."""
_TOLERANCE: Final = 1e-9


def most_at_once(memory_mib: int, cores: int, reserve_vcpu: float = RESERVE_VCPU) -> int:
    """Environments of one size that may run at once; one is always allowed."""
    return max(1, math.floor((cores - reserve_vcpu) / cpu_share(memory_mib) + _TOLERANCE))


def undisturbed_at_once(memory_mib: int, cores: int) -> int:
    """Environments of one size that run at once without waiting for the host: what an experiment has by default.

    Measured on 2 cores (bench/environments.py): the mean forward is 0.92 to 1.01 of what the quota predicts, and 1.03
    to 1.19 with one environment more, which the host's shares would still allow.
    """
    return most_at_once(memory_mib, cores, QUIET_RESERVE_VCPU)


class Capacity:
    """Shares of what runs now: in an invocation or in an init phase."""

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self.running = 0
        self.used_vcpu = 0.0

    def fits(self, vcpu: float) -> bool:
        """Whether so much more can be promised; the first one always can."""
        return self.running == 0 or self.used_vcpu + vcpu <= self.cores - RESERVE_VCPU + _TOLERANCE

    def take(self, vcpu: float) -> None:
        """Something starts to run."""
        self.running += 1
        self.used_vcpu += vcpu

    def give_back(self, vcpu: float) -> None:
        """Something stands still or is gone."""
        self.running -= 1
        self.used_vcpu = self.used_vcpu - vcpu if self.running else 0.0

    def change(self, before_vcpu: float, after_vcpu: float) -> None:
        """What runs needs another amount from now on."""
        self.used_vcpu += after_vcpu - before_vcpu
