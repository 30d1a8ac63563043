"""What the host can run at once: a promise of CPU is only made where it can be kept."""

import math
from typing import Final

from serverless_mlperf.platforms.local.model import cpu_share

RESERVE_VCPU: Final = 0.25
"""Left for client, server and controller."""
INIT_VCPU: Final = 1.0
"""An init phase is not throttled: it counts as a whole core."""
_TOLERANCE: Final = 1e-9


def most_at_once(memory_mib: int, cores: int) -> int:
    """Environments of one size that may run at once; one is always allowed."""
    return max(1, math.floor((cores - RESERVE_VCPU) / cpu_share(memory_mib) + _TOLERANCE))


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
