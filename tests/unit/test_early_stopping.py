"""LoadGen's early stopping, ground truth pinned on both sides; real LoadGen is in test_mlperf_agreement."""

from hypothesis import given
from hypothesis import strategies as st
import pytest

from serverless_mlperf.early_stopping import (
    MULTI_STREAM_LEVEL,
    SERVER_LEVEL,
    SINGLE_STREAM_LEVEL,
    allowed_over,
    criterion,
    estimate,
    loadgen_percentile,
    min_queries,
)


@pytest.mark.parametrize(
    ("p", "over", "needs"),
    [(0.99, 0, 459), (0.99, 1, 662), (0.99, 2, 838), (0.99, 5, 1307), (0.99, 10, 2010), (0.9, 0, 44), (0.9, 1, 64)],
)
def test_least_number_of_queries(p: float, over: int, needs: int) -> None:
    """So many over-latency queries are allowed from so many queries on, and not with one less."""
    assert min_queries(over, p) == needs
    assert allowed_over(needs, p) == over
    assert allowed_over(needs - 1, p) == (over - 1 if over else None)


@pytest.mark.parametrize(("p", "needs"), [(SINGLE_STREAM_LEVEL, 64), (MULTI_STREAM_LEVEL, 662)])
def test_estimate_begins_where_one_may_be_over(p: float, needs: int) -> None:
    """At 64 queries (p90) and 662 (p99) it is the largest latency; with one less there is none."""
    at, below = estimate(range(needs), p), estimate(range(needs - 1), p)
    assert (at.value_ns, at.discarded, at.needs) == (needs - 1, 0, needs)
    assert (below.value_ns, below.discarded, below.needs) == (None, None, needs)


def test_estimate_of_527_queries() -> None:
    """35 are discarded for the p90: the 93.2nd percentile is reported."""
    found = estimate(list(range(527, 0, -1)), SINGLE_STREAM_LEVEL)
    assert (found.value_ns, found.discarded) == (527 - 35, 35)


@pytest.mark.parametrize(
    ("queries", "over", "met", "allowed"),
    [(458, 0, False, None), (459, 0, True, 0), (661, 1, False, 0), (662, 1, True, 1), (662, 2, False, 1)],
)
def test_server_criterion(queries: int, over: int, met: bool, allowed: int | None) -> None:
    """Over-latency queries are those above the target, and it passes from the least number on."""
    latencies = [10] * (queries - over) + [11] * over
    found = criterion(latencies, target_ns=10)
    assert (found.met, found.allowed, found.over, found.queries) == (met, allowed, over, queries)


@given(st.integers(0, 60), st.sampled_from([0.9, 0.97, SERVER_LEVEL]))
def test_allowed_and_needed_are_inverse(over: int, p: float) -> None:
    """The least number for t allows exactly t, and one more failure needs more queries."""
    needs = min_queries(over, p)
    assert allowed_over(needs, p) == over
    assert min_queries(over + 1, p) > needs + 1


def test_loadgens_percentile_is_one_rank_higher() -> None:
    """x[floor(n p)]: of ten values the p90 is the tenth, not the ninth."""
    assert loadgen_percentile(range(1, 11), 0.9) == 10
    assert loadgen_percentile(range(1, 12), 0.9) == 10
    assert loadgen_percentile([7], 0.999) == 7
