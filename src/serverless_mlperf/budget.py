"""How much an experiment may ask, spend and take, and what it has so far: pure.

A query is every invocation that is asked for: measured or warm-up, or a cold start. Queries and money are those of an
experiment with all its resumptions; minutes are those of one call of `run`, from when it begins to measure. Money is
list price without the free tier: by the milliseconds that were billed where the platform has said them, else by the
most that a query is assumed to take. On a platform that bills nothing it is what the same would cost, and counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from serverless_mlperf.pricing.billing import PRESENT_RULES, BillingRules

MINUTE_S: Final = 60


class Billed(Protocol):
    """What a platform says of an invocation."""

    @property
    def billed_ms(self) -> int | None:
        """By the present rules."""

    @property
    def duration_ms(self) -> float | None:
        """Before it was rounded up."""

    @property
    def init_ms(self) -> float | None:
        """Of a cold start."""


def billed_ms(billed: Billed, rules: BillingRules) -> int | None:
    """What an invocation is billed for; None where the platform did not report it.

    By the present rules that is the platform's own figure: the duration it reports is rounded to 10 us, and rounding it
    up again would now and then miss a millisecond.
    """
    if rules == PRESENT_RULES:
        return billed.billed_ms
    return None if billed.duration_ms is None else rules.billed_ms(billed.duration_ms, billed.init_ms)


@dataclass(frozen=True, slots=True)
class Spending:
    """What has been asked, spent and taken."""

    queries: int = 0
    usd: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: "Spending") -> "Spending":
        return Spending(self.queries + other.queries, self.usd + other.usd, self.seconds + other.seconds)


@dataclass(frozen=True, slots=True)
class Rate:
    """What one query of a cell costs."""

    request_usd: float
    """Whatever it is billed for: the invocation, S3, queue, logs."""
    ms_usd: float
    """Per millisecond billed."""
    most_ms: float
    """What it is taken to be billed for until the platform says otherwise."""
    init_ms: float
    """The same, on top, of the first query of an environment."""
    rules: BillingRules = PRESENT_RULES

    def usd(self, billed: float) -> float:
        """The price of a query that is billed for so many milliseconds."""
        return self.request_usd + billed * self.ms_usd

    def usd_of(self, billed: Billed | None, *, first: bool = False) -> float:
        """The price of a query: by what the platform says, or the most."""
        known = None if billed is None else billed_ms(billed, self.rules)
        return self.usd(self.most_ms + (self.init_ms if first else 0.0) if known is None else known)

    def usd_of_all(self, billed: Iterable[Billed], count: int) -> float:
        """The price of `count` queries, of which the platform has said some; of the others the most."""
        known = [ms for each in billed if (ms := billed_ms(each, self.rules)) is not None][:count]
        return sum(self.usd(ms) for ms in known) + (count - len(known)) * self.usd(self.most_ms)


@dataclass(frozen=True, slots=True)
class Budget:
    """The bounds; None: there is none."""

    queries: int | None = None
    usd: float | None = None
    minutes: float | None = None

    @property
    def bounded(self) -> bool:
        """Whether there is any bound."""
        return (self.queries, self.usd, self.minutes) != (None, None, None)

    def refusal(self, spent: Spending, asked: Spending) -> str | None:
        """Why `asked` may not follow `spent`, with the numbers; None when it may.

        What is asked fits when the sum is within each bound; at the end of the minutes nothing fits.
        """
        if self.queries is not None and spent.queries + asked.queries > self.queries:
            return f"--max-queries {self.queries}: {spent.queries} sent, {asked.queries} more asked"
        if self.usd is not None and spent.usd + asked.usd > self.usd:
            return f"--max-usd {self.usd:g}: {spent.usd:.8f} USD spent at list prices, {asked.usd:.8f} USD more asked"
        if self.minutes is not None and not self._in_time(spent, asked):
            asked_minutes = asked.seconds / MINUTE_S
            return (
                f"--max-minutes {self.minutes:g}: {spent.seconds / MINUTE_S:.2f} taken, {asked_minutes:.2f} more asked"
            )
        return None

    def _in_time(self, spent: Spending, asked: Spending) -> bool:
        limit_s = (self.minutes or 0.0) * MINUTE_S
        return spent.seconds < limit_s and spent.seconds + asked.seconds <= limit_s

    def left(self, spent: Spending, asked: Spending) -> Spending:
        """As much of `asked` as is left after `spent`: the most that can be spent before a bound stops it."""
        queries, usd = asked.queries, asked.usd
        if self.queries is not None:
            queries = min(queries, max(0, self.queries - spent.queries))
        if self.usd is not None:
            usd = min(usd, max(0.0, self.usd - spent.usd))
        return replace(asked, queries=queries, usd=usd)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one run may take: travels to its process."""

    budget: Budget
    spent: Spending
    """Before it."""
    rate: Rate
