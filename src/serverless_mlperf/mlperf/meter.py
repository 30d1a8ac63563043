"""Counts what a run sends, and stops it at the bounds of its budget: before a query is sent, never after."""

from collections.abc import Callable
import time

from serverless_mlperf.budget import Allowance, Spending
from serverless_mlperf.transports.base import Reply


class Meter:
    """One run's; used from one thread.

    A query is let through when it fits at the most that it is assumed to cost. Where results bring the platform's
    word (`invoke`), that takes its place at once; only queries under way that cost more than assumed can overdraw.
    """

    def __init__(
        self, allowance: Allowance | None, environments: int, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._allowance = allowance
        self._environments = environments
        self._clock_s = clock_s
        self._began_s = clock_s()
        self._usd = 0.0
        self._assumed: dict[str, float] = {}
        """Key -> what a query is taken to cost, of those that the platform has said nothing of."""
        self.sent = 0
        """Queries that were let through."""
        self.refused: str | None = None
        """Which bound stopped the run, with the numbers; None while none has."""

    def admit(self, key: str) -> bool:
        """Whether one more query may be sent; then it is counted. After the first refusal none may."""
        allowance = self._allowance
        if allowance is None or not allowance.budget.bounded:
            self.sent += 1
            return True
        usd = allowance.rate.usd_of(None, first=self.sent < self._environments)
        if self.refused is None:
            spent = allowance.spent + Spending(self.sent, self._usd, self._clock_s() - self._began_s)
            self.refused = allowance.budget.refusal(spent, Spending(1, usd))
        if self.refused is not None:
            return False
        self.sent += 1
        self._usd += usd
        if allowance.budget.usd is not None:
            self._assumed[key] = usd
        return True

    def note(self, reply: Reply) -> None:
        """Take what the platform says a query was billed for in place of what was assumed.

        Read only where a run is bounded by money: it is parsing inside of the measured window.
        """
        if self._allowance is None or reply.key not in self._assumed:
            return
        report = reply.report
        if report is not None:
            assumed = self._assumed.pop(reply.key)
            self._usd += self._allowance.rate.usd_of(report) - assumed
