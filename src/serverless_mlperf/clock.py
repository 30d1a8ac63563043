"""How far the clocks of the function's environments are from the client's, and when that is worth a correction.

A function cannot start before the client has begun to send, and its result cannot be noticed before it is finished.
With offset = function's clock - client's clock, every query therefore says

    finish - noticed  <=  offset  <=  start - begun

and the queries with the least delay in either direction say most (NTP's minimum filter). What remains is an interval
that must hold the offset, not an estimate with an error of unknown size. The clocks are taken not to drift in a run;
an empty interval shows that they did, or that one was set.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exchange:
    """The four stamps of one query: the outer two by the client's clock, the inner two by the function's, in ns."""

    environment_id: str
    begun_ns: int
    start_ns: int
    finish_ns: int
    noticed_ns: int


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """What the queries of one environment say of its clock; a positive offset: it is ahead of the client's."""

    environment_id: str
    exchanges: int
    low_ns: int
    high_ns: int

    @property
    def consistent(self) -> bool:
        """Whether one offset explains all queries; else a clock drifted or was set during the run."""
        return self.low_ns <= self.high_ns

    @property
    def estimate_ns(self) -> int | None:
        """Middle of the interval: the offset, if the least delay were the same in both directions."""
        return (self.low_ns + self.high_ns) // 2 if self.consistent else None

    @property
    def uncertainty_ns(self) -> int | None:
        """The offset is within this of the estimate."""
        return -((self.low_ns - self.high_ns) // 2) if self.consistent else None

    @property
    def significant(self) -> bool:
        """Whether the clocks differ for certain: the interval does not hold 0."""
        return self.consistent and (self.low_ns > 0 or self.high_ns < 0)

    @property
    def correction_ns(self) -> int:
        """What to subtract from the function's stamps: the estimate if it is significant, else 0."""
        estimate_ns = self.estimate_ns
        return estimate_ns if self.significant and estimate_ns is not None else 0


def estimate_offsets(exchanges: Iterable[Exchange]) -> Mapping[str, ClockOffset]:
    """Environment id -> offset; an environment without a complete exchange has none."""
    by_environment: defaultdict[str, list[Exchange]] = defaultdict(list)
    for exchange in exchanges:
        by_environment[exchange.environment_id].append(exchange)
    return {name: _offset(name, mine) for name, mine in by_environment.items()}


def _offset(name: str, exchanges: list[Exchange]) -> ClockOffset:
    low_ns = max(each.finish_ns - each.noticed_ns for each in exchanges)
    high_ns = min(each.start_ns - each.begun_ns for each in exchanges)
    return ClockOffset(name, len(exchanges), low_ns, high_ns)
