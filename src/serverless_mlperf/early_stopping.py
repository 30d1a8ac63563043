"""LoadGen's own figures, recomputed from latencies: its percentiles and its early-stopping rules.

Sources: mlcommons/inference, loadgen/results.cc (`PerformanceSummary::ProcessLatencies`, `::EarlyStopping`) and
loadgen/early_stopping.cc (`odds`, `MinPassingQueriesFinder`). They are not the percentiles of `percentiles.py`:
LoadGen takes the value at floor(n p), which is one rank higher wherever n p is whole, and its early-stopping estimate
is the upper end of a one-sided 99 % interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

CONFIDENCE: Final = 0.99
"""results.cc, `EarlyStopping`: `double confidence = 0.99; double tolerance = 0.0;`."""
SINGLE_STREAM_LEVEL: Final = 0.9
"""mlperf.conf, `*.SingleStream.target_latency_percentile = 90`."""
MULTI_STREAM_LEVEL: Final = 0.99
"""mlperf.conf, `*.MultiStream.target_latency_percentile = 99`; results.cc, `multi_stream_percentile = 0.99`."""
SERVER_LEVEL: Final = 0.99
"""mlperf.conf, `*.Server.target_latency_percentile = 99`."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """LoadGen's result of SingleStream and MultiStream: a percentile's upper 99 % bound, made of the run's queries."""

    p: float
    queries: int
    needs: int
    """Least number of queries that gives an estimate: 64 for the p90, 662 for the p99."""
    value_ns: int | None
    """None below that number."""
    discarded: int | None
    """How many latencies are higher than the estimate, as LoadGen says it ("would discard")."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """LoadGen's rule for Server: how many queries are, and how many may be, over the target latency."""

    p: float
    queries: int
    target_ns: int
    over: int
    """Queries over the target latency."""
    allowed: int | None
    """How many may be at this number of queries; None when there are too few even for none."""
    needs: int
    """Queries this many over-latency ones would need."""

    @property
    def met(self) -> bool:
        """Whether the run passes: enough queries for the over-latency ones it has."""
        return self.queries >= self.needs


def loadgen_percentile(ordered_ns: Sequence[int], p: float) -> int:
    """Of at least one value in ascending order: x[floor(n p)] (results.cc, `ProcessLatencies`)."""
    return ordered_ns[int(len(ordered_ns) * p)]


def min_queries(over: int, p: float) -> int:
    """Least number of queries of which `over` may be over latency, with 99 % confidence that a share p is not.

    The least n with P[at most `over` of n are over latency] < 1 %, were their share exactly 1 - p
    (early_stopping.cc, `odds` and `find_min_passing`; there n is written h + t).
    """
    low = high = over + 1
    while not _is_unlikely(over, high, p):
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _is_unlikely(over, middle, p) else (middle + 1, high)
    return high


def allowed_over(queries: int, p: float) -> int | None:
    """How many of these queries may be over latency; None when there are too few even for none."""
    if queries < min_queries(0, p):
        return None
    low, high = 0, queries
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _is_unlikely(middle, queries, p) else (low, middle - 1)
    return low


def estimate(latencies_ns: Sequence[int], p: float) -> Estimate:
    """LoadGen's early-stopping estimate of a percentile (results.cc, `EarlyStopping`, SingleStream and MultiStream).

    With t the number of over-latency queries that n queries allow, it is the t-th highest latency.
    """
    queries, needs = len(latencies_ns), min_queries(1, p)
    allowed = allowed_over(queries, p) if queries >= needs else None
    if not allowed:
        return Estimate(p, queries, needs, None, None)
    return Estimate(p, queries, needs, sorted(latencies_ns)[queries - allowed], allowed - 1)


def criterion(latencies_ns: Sequence[int], target_ns: int, p: float = SERVER_LEVEL) -> Criterion:
    """LoadGen's Server rule applied to a run's latencies (results.cc, `EarlyStopping`, Server)."""
    queries, over = len(latencies_ns), sum(latency > target_ns for latency in latencies_ns)
    return Criterion(p, queries, target_ns, over, allowed_over(queries, p), min_queries(over, p))


def _is_unlikely(over: int, queries: int, p: float) -> bool:
    """Whether at most `over` of `queries` has a probability below 1 %, were each over latency with 1 - p.

    The binomial distribution as a regularised incomplete beta function, as in early_stopping.cc, `odds`.
    """
    from scipy.special import betainc  # not at the top: a run's own process reads this module's percentiles

    return over < queries and bool(betainc(queries - over, over + 1, p) < 1 - CONFIDENCE)
