"""How many queries follow from the objectives, and what each claim may be wrong by."""

from itertools import accumulate, pairwise

import pytest

from serverless_mlperf.errors import InputError
from serverless_mlperf.tuning.bounds import allowed_over, queries_for_upper_bound
from serverless_mlperf.tuning.ladder import Ladder, make_ladder
from serverless_mlperf.tuning.objectives import parse_objectives


def ladder(*slo: str, candidates: int = 4, **options: float) -> Ladder:
    """Of some objectives."""
    return make_ladder(parse_objectives(slo), candidates, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("slo", ["p50=1s", "p90=1s", "p99=1s", "p99.9=1s", "mean=1s"])
def test_sums_double(slo: str) -> None:
    """From run to run, and the first run is what LoadGen says VALID, or more."""
    runs = ladder(slo).runs
    sums = list(accumulate(runs))
    assert all(abs(after - 2 * before) <= 1 for before, after in pairwise(sums))
    assert runs[0] >= 64
    assert len(runs) >= 4


def test_a_quantile_takes_what_can_tell_it() -> None:
    """Three times the least: of a p99 far more than of a p90; and both looks have enough."""
    long, short = ladder("p99=1s"), ladder("p90=1s")
    tail = long.tails(0.95).meets
    assert long.most == 3 * queries_for_upper_bound(0.99, tail) == 1722
    assert allowed_over(sum(long.runs[: long.first_look]), 0.99, tail) is not None
    assert short.most == 512


def test_errors_add_up_to_the_permitted_one() -> None:
    """Of all claims that can be wrong, over all candidates, looks and objectives."""
    plan = ladder("p99=1s", "cold=2s", candidates=6)
    tails, runs = plan.tails(0.95), len(plan.runs)
    assert 6 * 2 * tails.meets + 2 * runs * tails.misses + 5 * runs * tails.worse == pytest.approx(0.05)


def test_budget_is_half_of_the_grid() -> None:
    """And all of it for one candidate, which has nobody to be compared with."""
    assert ladder("p99=1s").budget == ladder("p99=1s").grid // 2
    assert ladder("p99=1s", candidates=1).budget == ladder("p99=1s", candidates=1).grid
    assert ladder("p99=1s", budget=0.25).budget == ladder("p99=1s").grid // 4


def test_first_runs_are_always_in_the_budget() -> None:
    """However small the share: without them there is nothing to choose from."""
    plan = ladder("p90=1s", budget=0.05)
    assert plan.budget == 4 * plan.runs[0]


def test_cold_starts_are_forced_for_their_objective_alone() -> None:
    """As many as tell a median's bound, three times."""
    assert ladder("p90=1s").cold == 0
    assert ladder("p90=1s", "cold=2s").cold == 3 * queries_for_upper_bound(0.5, 0.05 / 2 / 4 / 2)


def test_too_few_queries_are_refused() -> None:
    """A bound below what can tell the objective, and below four runs."""
    with pytest.raises(InputError, match="573 are too few: p99 is told from 574; give at least 574"):
        ladder("p99=1s", most=573)
    assert ladder("p99=1s", most=574).most == 574
    with pytest.raises(InputError, match="100 are too few: 4 runs are, the first of 64; give at least 512"):
        ladder("p50=1s", most=100)
