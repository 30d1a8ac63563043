"""Figures over runs."""

import pytest
from scipy.stats import ttest_1samp

from serverless_mlperf.repeats import over_runs


def test_interval_is_students() -> None:
    """The runs are the sample: as scipy's own interval of a mean."""
    values = [10.0, 12.0, 11.0, 15.0]
    found, expected = over_runs(values), ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.mean, found.median, found.missing) == (12.0, 11.5, None)
    assert found.low == pytest.approx(expected.low)
    assert found.high == pytest.approx(expected.high)


@pytest.mark.parametrize("values", [[10.0], [10.0, 12.0]])
def test_fewer_than_three_runs_have_no_interval(values: list[float]) -> None:
    """A mean, and the reason why there is no interval."""
    found = over_runs(values)
    assert (found.mean, found.low, found.high) == (sum(values) / len(values), None, None)
    assert found.missing == f"interval n/a (needs >= 3 runs, has {len(values)})"


def test_run_without_a_value_is_not_skipped() -> None:
    """A percentile beyond the deadline in one run: the mean of the others would be too good."""
    found = over_runs([10.0, None, 12.0, 11.0])
    assert (found.mean, found.median, found.low) == (None, None, None)
    assert found.missing == "no value in 1 of 4 runs"


def test_equal_runs_have_an_interval_of_no_width() -> None:
    """No spread was seen, and none is made up."""
    found = over_runs([10.0, 10.0, 10.0])
    assert (found.low, found.high) == (10.0, 10.0)


def test_no_run() -> None:
    """Nothing is None with a reason."""
    assert over_runs([]).missing == "no run"
