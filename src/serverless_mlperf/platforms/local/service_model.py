"""How Lambda, the service, behaves around the functions: its clock, its limits, what it keeps warm (values only)."""

from dataclasses import dataclass
import math
from typing import Final

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.local.concurrency import ACCOUNT_CONCURRENCY, SCALE_UP
from serverless_mlperf.platforms.local.delays import check_profiles
from serverless_mlperf.platforms.local.keep_alive import OFF, check_profile
from serverless_mlperf.platforms.local.scaled_clock import checked_speed

INIT_LIMIT_S: Final = 10.0
"""After so long Lambda runs an init phase again, within the function's timeout (AWS: runtime environment)."""


@dataclass(frozen=True, slots=True)
class ServiceModel:
    """Checked settings; raises InputError for one that cannot be."""

    clock_speed: float = 1.0
    """Seconds of Lambda's minutes (retries, event age, back-off, scale-up, keep-alive) in a real one."""
    account_concurrency: int = ACCOUNT_CONCURRENCY
    """Invocations of all functions at once, reserved or not."""
    scale_up: int = SCALE_UP
    """Environments that a function may start in 10 s."""
    keep_alive: str = OFF
    """When idle environments end: a profile of keep_alive.PROFILES."""
    delays: tuple[str, ...] = ()
    """Modelled delays: profiles of delays.PROFILES."""
    seed: int = 0
    """Of all that the service draws."""
    init_limit_s: float = INIT_LIMIT_S
    """Real seconds of an init phase, whatever the clock's speed; fewer than Lambda's are for phases that hang."""

    def __post_init__(self) -> None:
        check_profile(self.keep_alive)
        check_profiles(self.delays)
        try:
            checked_speed(self.clock_speed)
        except ValueError as error:
            raise InputError(f"--clock-speed: {error}") from None
        if not 0 < self.init_limit_s < math.inf:
            raise InputError(f"--init-limit-s: {self.init_limit_s} must be a number of seconds above 0; Lambda has 10")
        for name in ("account_concurrency", "scale_up"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')}: {getattr(self, name)} must be at least 1")
