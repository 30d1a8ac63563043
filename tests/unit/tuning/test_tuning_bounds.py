"""Intervals over queries and runs: known statistics, and nothing said where nothing is known."""

import math

import numpy as np
import pytest
from scipy import stats

from serverless_mlperf.tuning.bounds import (
    Interval,
    allowed_over,
    over_runs,
    pooled_spread,
    quantile_interval,
    queries_for_upper_bound,
    spread_of,
    widened,
)


@pytest.mark.parametrize(
    ("p", "tail", "count"), [(0.99, 0.01, 459), (0.9, 0.01, 44), (0.99, 0.05, 299), (0.5, 0.025, 6)]
)
def test_queries_that_tell_an_upper_bound(p: float, tail: float, count: int) -> None:
    """The least n with p^n <= tail: LoadGen's 459 and 44 at 99 %, and one fewer has none."""
    assert queries_for_upper_bound(p, tail) == count
    assert allowed_over(count, p, tail) == 0
    assert allowed_over(count - 1, p, tail) is None


@pytest.mark.parametrize(("count", "over"), [(662, 1), (838, 2), (2010, 10)])
def test_allowed_over_is_loadgens(count: int, over: int) -> None:
    """So many over the bound need so many queries, for a p99 at 99 % (LoadGen's early stopping)."""
    assert allowed_over(count, 0.99, 0.01) == over
    assert allowed_over(count - 1, 0.99, 0.01) == over - 1


def test_quantile_interval_is_scipys() -> None:
    """Both ends are order statistics with binomial ranks."""
    values = np.sort(np.random.default_rng(3).lognormal(3, 0.2, 500))
    found = quantile_interval(values, 0.9, (0.025, 0.025))
    expected = stats.quantile_test(values, p=0.9).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.value == np.quantile(values, 0.9, method="inverted_cdf")


def test_few_queries_have_no_upper_end() -> None:
    """A p99 of 20 queries is bounded by nothing that was seen."""
    found = quantile_interval(np.sort(np.arange(1.0, 21.0)), 0.99, (0.025, 0.025))
    assert (found.value, found.high) == (20.0, math.inf)


def test_mean_over_runs_is_students() -> None:
    """With equal runs and the spread of themselves: the interval of a mean of logarithms."""
    values = (100.0, 104.0, 98.0, 101.0)
    found = over_runs(values, (10, 10, 10, 10), pooled_spread([values]), (0.025, 0.025))
    logs = np.log(values)
    low, high = stats.t.interval(0.95, 3, loc=logs.mean(), scale=stats.sem(logs))
    assert (found.value, found.low, found.high) == pytest.approx((stats.gmean(values), math.exp(low), math.exp(high)))


def test_longer_runs_weigh_more() -> None:
    """By their queries; fewer effective runs make the interval wider."""
    values, spread = (100.0, 110.0), pooled_spread([(100.0, 103.0, 98.0)])
    even, uneven = (over_runs(values, counts, spread, (0.025, 0.025)) for counts in ((50, 50), (10, 90)))
    assert uneven.value > even.value
    assert uneven.high / uneven.low > even.high / even.low


def test_without_two_runs_nothing_is_known() -> None:
    """Of no candidate: the ends are nowhere."""
    assert pooled_spread([(1.0,), (2.0,)]) is None
    assert widened(Interval(5.0, 4.0, 6.0), (10,), None, (0.025, 0.025)) == Interval(5.0)


def test_spread_is_common_or_ones_own_where_that_is_more() -> None:
    """A noisy candidate is not judged by the quiet ones."""
    quiet, noisy = (100.0, 101.0, 100.5), (100.0, 150.0, 80.0)
    common = pooled_spread([quiet, quiet, noisy])
    assert common is not None
    mine = spread_of(noisy, common)
    assert mine is not None
    assert mine.variance == pytest.approx(np.var(np.log(noisy), ddof=1))
    assert spread_of(quiet, common) == common
