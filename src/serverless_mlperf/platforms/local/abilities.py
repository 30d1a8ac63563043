"""What this host can emulate: its cores, the controllers it can use, the sizes whose share it can give."""

from dataclasses import dataclass
import os
import select
from statistics import median
import time
from typing import Final

from serverless_mlperf.calibration import Calibration, calibrate
from serverless_mlperf.platforms.local.host import RESERVE_VCPU
from serverless_mlperf.platforms.local.model import MIB_PER_VCPU
from serverless_mlperf.platforms.local.restraint import AUTO, CONTROLLERS, choose, unavailable

LARGEST_MIB: Final = 10_240
"""A function can have no more (AWS: lambda/latest/dg/configuration-memory)."""
_NAP_S: Final = 0.001
_NAPS: Final = 50


@dataclass(frozen=True, slots=True)
class Abilities:
    """A host, as far as the local platform depends on it."""

    cores: int
    calibration: Calibration
    """CPU time that a short spin on every core was given."""
    controllers: dict[str, str | None]
    """Every controller, with the reason where this host cannot use it."""
    best_controller: str
    """What `auto` comes to."""
    largest_memory_mib: int
    """Of a function whose whole share this host can give while client and server run beside it."""
    timer_late_ns: int
    """Median lateness of a sleep of 1 ms: how exactly a tick is met."""


def abilities(spin_s: float = 0.3) -> Abilities:
    """Look at this host; blocking, for `spin_s` and a little; raises HostError if the spin cannot be done."""
    cores = len(os.sched_getaffinity(0))
    return Abilities(
        cores=cores,
        calibration=calibrate(spin_s),
        controllers={name: unavailable(name) for name in CONTROLLERS},
        best_controller=choose(AUTO),
        largest_memory_mib=min(LARGEST_MIB, int((cores - RESERVE_VCPU) * MIB_PER_VCPU)),
        timer_late_ns=_timer_late_ns(),
    )


def _timer_late_ns() -> int:
    late = []
    for _ in range(_NAPS):
        due_ns = time.monotonic_ns() + int(_NAP_S * 1e9)
        select.select([], [], [], _NAP_S)
        late.append(time.monotonic_ns() - due_ns)
    return int(median(late))
