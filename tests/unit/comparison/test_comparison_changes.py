"""What a comparison says of runs: known statistics, both sides of every verdict, and what it refuses to say."""

import math

import numpy as np
import pytest
from scipy import stats

from serverless_mlperf.comparison.changes import Change, compare, holm

BASE = [100.0, 103.0, 98.0, 101.0, 99.0]
SCALED = {factor: [value * factor for value in BASE] for factor in (0.9, 1.001, 1.1)}


def change(base: list[float], new: list[float], margin: float = 0.05) -> Change:
    """One figure on its own."""
    return compare({"f": (base, new)}, margin)["f"]


def widths(changes: list[Change]) -> list[float]:
    """Of the intervals, on the logarithmic scale."""
    return [math.log(each.high / each.low) for each in changes if each.high and each.low]


def test_interval_and_p_are_students() -> None:
    """On logarithms, with the common variance, as scipy computes them; of p, slower has four fifths."""
    new = [104.0, 109.0, 103.0, 108.0, 101.0]
    found = change(BASE, new)
    test = stats.ttest_ind(np.log(new), np.log(BASE))
    interval = test.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((math.exp(interval.low), math.exp(interval.high)))
    assert found.ratio == pytest.approx(stats.gmean(new) / stats.gmean(BASE))
    assert found.p == pytest.approx(stats.ttest_ind(np.log(new), np.log(BASE), alternative="greater").pvalue / 0.8)


@pytest.mark.parametrize(("factor", "verdict"), [(0.9, "faster"), (1.001, "same"), (1.1, "slower")])
def test_verdicts(factor: float, verdict: str) -> None:
    """A tenth is seen in five runs of 2 % spread, a thousandth is within the margin."""
    assert change(BASE, SCALED[factor]).verdict == verdict


def test_a_small_change_that_is_sure_is_the_same() -> None:
    """The margin decides, not p alone: nobody acts on a thousandth."""
    exact = [100.0, 100.001, 99.999, 100.0, 100.001]
    found = change(exact, [value * 1.001 for value in exact])
    assert found.p is not None
    assert found.p < 1e-6
    assert found.verdict == "same"
    assert change(exact, [value * 1.001 for value in exact], margin=0.0005).verdict == "slower"


def test_too_few_runs_cannot_tell_and_say_how_many_would() -> None:
    """With the runs that it asks for, and the same spread, no change is told to be none."""
    wide = [90.0, 110.0, 100.0]
    found = change(wide, [value * 1.02 for value in wide])
    assert found.verdict == "cannot tell"
    assert found.more_runs is not None
    spread = float(np.std(np.log(wide), ddof=1))
    for runs, fits in ((3 + found.more_runs - 1, False), (3 + found.more_runs, True)):
        half = stats.t.ppf(0.95, 2 * runs - 2) * spread * math.sqrt(2 / runs)
        assert bool(half <= math.log(1.05)) == fits


def test_one_run_each_is_a_ratio_and_no_more() -> None:
    """There is no spread to judge it by."""
    found = change([100.0], [150.0])
    assert found.ratio == pytest.approx(1.5)
    assert (found.low, found.p, found.verdict, found.more_runs) == (None, None, "cannot tell", 2)


def test_a_side_without_runs_has_no_ratio() -> None:
    """It is no change of 0."""
    assert change([], [1.0]) == Change(0, 1, None, None, None, None, None, "cannot tell")


def test_figures_must_be_times() -> None:
    """A ratio of 0 or of nothing is none."""
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="must be positive"):
            change([1.0], [bad])


def test_holm_counts_the_tests() -> None:
    """As statsmodels' multipletests gives it for the same values."""
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06}
    )


def test_variances_of_many_cells_are_moderated() -> None:
    """Where they differ by chance alone, the intervals of all cells become alike."""
    rng = np.random.default_rng(3)
    runs = {n: (np.exp(rng.normal(0, 0.05, 5)).tolist(), np.exp(rng.normal(0, 0.05, 5)).tolist()) for n in range(300)}
    together = widths(list(compare(runs).values()))
    alone = widths([change(*both) for both in runs.values()])
    assert np.std(np.log(together)) < np.std(np.log(alone)) / 3


def test_cells_that_differ_in_spread_keep_their_own() -> None:
    """A quiet cell is not judged by a noisy one's spread."""
    rng = np.random.default_rng(5)
    sizes = [0.001 * 3**n for n in range(6)]
    runs = {
        n: (np.exp(rng.normal(0, s, 8)).tolist(), np.exp(rng.normal(0, s, 8)).tolist()) for n, s in enumerate(sizes)
    }
    found = widths(list(compare(runs).values()))
    assert found[5] / found[0] > 50
