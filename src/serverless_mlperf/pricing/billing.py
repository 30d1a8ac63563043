"""What Lambda bills an invocation for, which has changed twice: pure."""

from dataclasses import dataclass
from datetime import date
import math
from typing import Final

ONE_MS_SINCE: Final = date(2020, 12, 1)
"""Before, durations were rounded up to 100 ms (AWS News Blog, 2020-12-01)."""
INIT_SINCE: Final = date(2025, 8, 1)
"""Since then the init phase of zip packages on managed runtimes is billed as well (AWS Compute Blog)."""


@dataclass(frozen=True, slots=True)
class BillingRules:
    """How a duration becomes a billed one."""

    granularity_ms: int
    init_billed: bool

    def billed_ms(self, duration_ms: float, init_ms: float | None = None) -> int:
        """Milliseconds billed; `init_ms` is that of a cold start."""
        if duration_ms < 0 or (init_ms or 0) < 0:
            raise ValueError(f"negative duration: {duration_ms} ms, init {init_ms} ms")
        whole_ms = duration_ms + (init_ms or 0 if self.init_billed else 0)
        return max(1, math.ceil(whole_ms / self.granularity_ms)) * self.granularity_ms


PRESENT_RULES: Final = BillingRules(granularity_ms=1, init_billed=True)
"""What the local platform reports by, and AWS."""


def rules_on(day: date) -> BillingRules:
    """The rules of a day."""
    return BillingRules(1 if day >= ONE_MS_SINCE else 100, day >= INIT_SINCE)
