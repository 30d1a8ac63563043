"""Percentiles that say what they do not know."""

import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
from scipy.stats import binom

from serverless_mlperf.percentiles import (
    LEVELS,
    Quantile,
    level_name,
    min_count_for_interval,
    min_count_for_value,
    percentiles,
    quantile,
    without_interval,
)


def test_percentiles_are_measured_values() -> None:
    """`inverted_cdf` never interpolates: the p50 of four values is the second."""
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.5).value_ms == 2.0
    assert quantile([float(n) for n in range(10, 0, -1)], 0.9).value_ms == 9.0


@pytest.mark.parametrize(("p", "count"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.97, 122), (0.99, 368), (0.999, 3688)])
def test_interval_is_finite_from_its_least_sample_on(p: float, count: int) -> None:
    """Both sides of the boundary, in the formula and in scipy's interval: one value less has no upper end."""
    assert min_count_for_interval(p) == quantile(np.arange(5.0), p).interval_needs == count
    enough, few = quantile(np.arange(float(count)), p), quantile(np.arange(count - 1.0), p)
    assert (enough.low_ms is None, enough.high_ms) == (False, count - 1.0)
    assert few.high_ms is None


@pytest.mark.parametrize(("p", "count"), [(0.5, 2), (0.9, 10), (0.95, 20), (0.97, 34), (0.99, 100), (0.999, 1000)])
def test_value_is_given_where_it_is_not_simply_the_largest(p: float, count: int) -> None:
    """Both sides of the boundary: the p99.9 of 999 values would be their maximum, and is not given."""
    place = LEVELS.index(p)
    assert min_count_for_value(p) == count
    assert percentiles(np.arange(float(count)))[place].value_ms == count - 2
    assert percentiles(np.arange(count - 1.0))[place].value_ms is None
    assert quantile(np.arange(count - 1.0), p).value_ms == count - 2


@pytest.mark.parametrize(("count", "p"), [(6, 0.5), (100, 0.5), (400, 0.9), (1000, 0.99), (5000, 0.999)])
def test_interval_covers_with_95_percent_and_no_narrower_one_does(count: int, p: float) -> None:
    """The ranks are the binomial ones: each tail holds at most 2.5 %, and one rank further in would hold more."""
    found = quantile(np.arange(float(count)), p)
    assert found.low_ms is not None
    assert found.high_ms is not None
    low, high = int(found.low_ms), int(found.high_ms)
    assert binom.cdf(low, count, p) <= 0.025 < binom.cdf(low + 1, count, p)
    assert binom.sf(high, count, p) <= 0.025 < binom.sf(high - 1, count, p)


@given(st.lists(st.floats(0, 1e9), max_size=60), st.integers(0, 20))
def test_levels_are_in_order(values: list[float], censored: int) -> None:
    """Known values never cross, intervals hold their value, and beyond one level there is no known one."""
    found = percentiles(values, censored)
    assert len(found) == (len(LEVELS) if values or censored else 0)
    known = [each.value_ms for each in found if each.value_ms is not None]
    assert known == sorted(known)
    beyond = ["value" in each.beyond for each in found if each.value_ms is not None or "value" in each.beyond]
    assert beyond == sorted(beyond)
    for each in found:
        assert each.count == len(values) + censored
        assert each.low_ms is None or each.value_ms is None or each.low_ms <= each.value_ms
        assert each.high_ms is None or each.value_ms is None or each.high_ms >= each.value_ms


def test_censored_queries_are_later_than_all_others() -> None:
    """Two of 100 lost: the p97 is the 97th of all, the p99 lies beyond the deadline, and nothing is left out."""
    found = {each.name: each for each in percentiles(np.arange(98.0), censored=2)}
    assert (found["p97"].value_ms, found["p97"].beyond) == (96.0, ())
    assert (found["p99"].value_ms, found["p99"].beyond) == (None, ("value",))
    assert (found["p95"].value_ms, found["p95"].high_ms, found["p95"].beyond) == (94.0, None, ("high",))


def test_all_censored() -> None:
    """Nothing but losses: every level is beyond, none is a number."""
    found = percentiles([], censored=1000)
    assert {each.value_ms for each in found} == {None}
    assert all("value" in each.beyond for each in found)


def test_interval_can_be_taken_away() -> None:
    """Of a burst the value stands alone, and what was beyond stays beyond."""
    assert without_interval(Quantile(0.5, 2.0, 1.0, None, 9, ("high",))) == Quantile(0.5, 2.0, None, None, 9)
    assert without_interval(Quantile(0.5, None, 1.0, None, 9, ("value", "high"))).beyond == ("value",)


def test_names_of_levels() -> None:
    """As MLPerf writes them."""
    assert [level_name(p) for p in LEVELS] == ["p50", "p90", "p95", "p97", "p99", "p99.9"]


def test_no_part_is_infinite() -> None:
    """What is beyond is None, so that it can be written as JSON."""
    for each in percentiles([1.0], censored=50):
        assert all(part is None or math.isfinite(part) for part in (each.value_ms, each.low_ms, each.high_ms))
