"""Lambda's limits on what runs at once: of the account, of a function, and on how fast a function may grow.

The host's own bound is another thing: who meets it waits, and is never told of a limit that Lambda does not have.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from serverless_mlperf.platforms.local.model import ThrottledError

ACCOUNT_CONCURRENCY: Final = 1000
"""Default of an account (lambda/latest/dg/gettingstarted-limits)."""
SCALE_UP: Final = 1000
SCALE_UP_WINDOW_S: Final = 10.0
"""New environments of a function per window, refilled all the time and never beyond it (dg/scaling-behavior)."""
RESERVED: Final = "ReservedFunctionConcurrentInvocationLimitExceeded"
UNRESERVED: Final = "ConcurrentInvocationLimitExceeded"
SCALING: Final = "FunctionInvocationRateLimitExceeded"
"""Reasons of Lambda's TooManyRequestsException. Which one it gives for the scale-up rate is not documented: the last
is our reading of its name."""


class Concurrency:
    """Counts invocations under way, by function: all its versions share its limit."""

    def __init__(
        self, now_s: Callable[[], float], account: int = ACCOUNT_CONCURRENCY, scale_up: int = SCALE_UP
    ) -> None:
        self.account = account
        self.throttled: Counter[str] = Counter()
        """Calls refused, by function."""
        self._now_s = now_s
        self._scale_up = scale_up
        self._reserved: dict[str, int] = {}
        self._under_way: Counter[str] = Counter()
        self._total = 0
        self._growth: dict[str, tuple[float, float]] = {}
        """Environments that a function may still start, and at what time that was so."""

    def reserve(self, name: str, number: int | None) -> None:
        """Set a function's reserved concurrency; None: it has a part in the unreserved rest."""
        if number is None:
            self._reserved.pop(name, None)
        else:
            self._reserved[name] = number

    def forget(self, name: str) -> None:
        """A function is deleted; what is under way still counts until it has ended."""
        self._reserved.pop(name, None)
        self._growth.pop(name, None)

    def limit(self, name: str) -> int:
        """Invocations that Lambda would run at once: the reserved number, or what others have not reserved."""
        reserved = self._reserved.get(name)
        return max(0, self.account - sum(self._reserved.values())) if reserved is None else reserved

    def under_way(self, name: str) -> int:
        """Invocations that count against that limit."""
        if name in self._reserved:
            return self._under_way[name]
        return self._total - sum(self._under_way[other] for other in self._reserved)

    def check(self, name: str, more: int = 0) -> None:
        """Raise ThrottledError when the limit is reached, with `more` that are about to start."""
        limit = self.limit(name)
        if self.under_way(name) + more >= limit:
            own = name in self._reserved
            whose = "its reserved concurrency" if own else "the account's unreserved concurrency"
            reason, hopeless = (RESERVED, limit == 0) if own else (UNRESERVED, False)
            raise ThrottledError(f"function {name}: {whose} of {limit} is in use", reason, hopeless=hopeless)

    def take(self, name: str) -> None:
        """An invocation is under way."""
        self._under_way[name] += 1
        self._total += 1

    def give_back(self, name: str) -> None:
        """It has been answered."""
        self._under_way[name] -= 1
        self._total -= 1
        if not self._under_way[name]:
            del self._under_way[name]

    def grow(self, name: str) -> None:
        """Count one more environment of a function; raises ThrottledError when it grows too fast."""
        now_s = self._now_s()
        left, since_s = self._growth.get(name, (float(self._scale_up), now_s))
        left = min(float(self._scale_up), left + (now_s - since_s) * self._scale_up / SCALE_UP_WINDOW_S)
        self._growth[name] = (left - 1, now_s) if left >= 1 else (left, now_s)
        if left < 1:
            window = f"{self._scale_up} environments in {SCALE_UP_WINDOW_S:.0f} s"
            raise ThrottledError(f"function {name}: it grows by {window} at most", SCALING)

    def describe(self) -> dict[str, Any]:
        """For the status page."""
        return {
            "account": self.account,
            "reserved": dict(self._reserved),
            "under_way": dict(self._under_way),
            "throttled_calls": dict(self.throttled),
            "scale_up": {"environments": self._scale_up, "window_s": SCALE_UP_WINDOW_S},
        }
