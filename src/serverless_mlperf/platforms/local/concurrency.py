"""Lambda's limits on what runs at once and how often: of the account, of a function, and on how fast one may grow.

The host's own bound is another thing: who meets it waits, and is never told of a limit that Lambda does not have.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from serverless_mlperf.platforms.local.model import ThrottledError

ACCOUNT_CONCURRENCY: Final = 1000
"""Default of an account (lambda/latest/dg/gettingstarted-limits)."""
SCALE_UP: Final = 1000
SCALE_UP_WINDOW_S: Final = 10.0
"""New environments of a function per window, refilled all the time and never beyond it (dg/scaling-behavior)."""
REQUESTS_PER_S: Final = 10
"""Synchronous requests for each unit of concurrency: of the account over all functions (dg/lambda-concurrency), and of
a function with reserved concurrency (dg/urls-configuration). Asynchronous ones have no such limit (dg/gettingstarted-
limits)."""
REQUESTS_WINDOW_S: Final = 1.0
"""How many may come at once is not documented: here a second's worth, refilled all the time."""
RESERVED: Final = "ReservedFunctionConcurrentInvocationLimitExceeded"
UNRESERVED: Final = "ConcurrentInvocationLimitExceeded"
RESERVED_RATE: Final = "ReservedFunctionInvocationRateLimitExceeded"
ACCOUNT_RATE: Final = "CallerRateLimitExceeded"
SCALING: Final = "FunctionInvocationRateLimitExceeded"
"""Reasons of Lambda's TooManyRequestsException. Which one it gives for the account's requests and for the scale-up rate
is not documented: the last two are our reading of their names."""


@dataclass(slots=True)
class Allowance:
    """So many in a window: refilled all the time, and never saved up beyond it."""

    left: float
    since_s: float

    def refill(self, now_s: float, most: float, window_s: float) -> bool:
        """Add what time has brought; whether there is one left to take."""
        self.left = min(most, self.left + (now_s - self.since_s) * most / window_s)
        self.since_s = now_s
        return self.left >= 1


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
        self._growth: dict[str, Allowance] = {}
        """Environments that a function may still start."""
        self._requests = Allowance(float(account * REQUESTS_PER_S), now_s())
        """Synchronous requests that all functions together may still be sent."""
        self._reserved_requests: dict[str, Allowance] = {}

    def reserve(self, name: str, number: int | None) -> None:
        """Set a function's reserved concurrency; None: it has a part in the unreserved rest."""
        if number is None:
            self._reserved.pop(name, None)
            self._reserved_requests.pop(name, None)
        else:
            self._reserved[name] = number

    def forget(self, name: str) -> None:
        """A function is deleted; what is under way still counts until it has ended."""
        self._reserved.pop(name, None)
        self._growth.pop(name, None)
        self._reserved_requests.pop(name, None)

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

    def request(self, name: str) -> None:
        """Count one synchronous request; raises ThrottledError when they come too fast."""
        now_s, per_s = self._now_s(), self.account * REQUESTS_PER_S
        own = self._own_requests(name, now_s)
        if not self._requests.refill(now_s, per_s, REQUESTS_WINDOW_S):
            raise ThrottledError(f"function {name}: the account takes {per_s} requests a second", ACCOUNT_RATE)
        self._requests.left -= 1
        if own is not None:
            own.left -= 1

    def _own_requests(self, name: str, now_s: float) -> Allowance | None:
        """What a function with reserved concurrency may still be sent, one at least."""
        reserved = self._reserved.get(name)
        if reserved is None:
            return None
        per_s = reserved * REQUESTS_PER_S
        own = self._reserved_requests.get(name)
        if own is None:
            own = self._reserved_requests[name] = Allowance(per_s, now_s)
        if not own.refill(now_s, per_s, REQUESTS_WINDOW_S):
            text = f"function {name}: its reserved concurrency of {reserved} takes {per_s} requests a second"
            raise ThrottledError(text, RESERVED_RATE)
        return own

    def grow(self, name: str) -> None:
        """Count one more environment of a function; raises ThrottledError when it grows too fast."""
        now_s = self._now_s()
        growth = self._growth.get(name)
        if growth is None:
            growth = self._growth[name] = Allowance(self._scale_up, now_s)
        if not growth.refill(now_s, self._scale_up, SCALE_UP_WINDOW_S):
            window = f"{self._scale_up} environments in {SCALE_UP_WINDOW_S:.0f} s"
            raise ThrottledError(f"function {name}: it grows by {window} at most", SCALING)
        growth.left -= 1

    def describe(self) -> dict[str, Any]:
        """For the status page."""
        return {
            "account": self.account,
            "reserved": dict(self._reserved),
            "under_way": dict(self._under_way),
            "throttled_calls": dict(self.throttled),
            "requests_per_s": self.account * REQUESTS_PER_S,
            "scale_up": {"environments": self._scale_up, "window_s": SCALE_UP_WINDOW_S},
        }
