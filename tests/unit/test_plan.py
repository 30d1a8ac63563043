"""Which runs a cell needs."""

from dataclasses import dataclass
from typing import Any

import pytest

from serverless_mlperf.config import load_config
from serverless_mlperf.plan import RAMP, RunPlan, missing_step, next_run


@dataclass(frozen=True)
class Step:
    """A run that was measured."""

    valid: bool = True
    target_qps: float | None = None
    capacity_qps: float | None = 100.0
    reasons: tuple[str, ...] = ()


def plans(steps: int, **options: Any) -> list[RunPlan]:
    """The plans of a round, as long as every run is VALID."""
    config = load_config(None, options)
    made: list[RunPlan] = []
    while (plan := next_run(config, [Step()] * len(made))) is not None and len(made) < steps:
        made.append(plan)
    return made


@pytest.mark.parametrize(
    ("mode", "modes"),
    [
        ("performance", ["performance"]),
        ("accuracy", ["accuracy"]),
        ("test01", ["performance", "accuracy", "test01"]),
        ("test04", ["performance", "test04"]),
    ],
)
def test_compliance_brings_its_references(mode: str, modes: list[str]) -> None:
    """TEST01 compares with a performance and an accuracy run, TEST04 with a performance run."""
    assert [plan.mode for plan in plans(9, mode=mode)] == modes


def test_compared_runs_have_the_rate_of_the_first() -> None:
    """Server without a rate: half of the capacity is measured once, not anew for the run that is compared."""
    config = load_config(None, {"scenario": "server", "mode": "test01"})
    rates = [plan.target_qps for n in range(3) if (plan := next_run(config, [Step(target_qps=20.0)] * n))]
    assert rates == [None, 20.0, 20.0]


def test_sweep_has_a_run_per_point() -> None:
    """In the order given."""
    assert [plan.max_in_flight for plan in plans(9, sweep=[1, 2, 4])] == [1, 2, 4]


def test_search_ramps_up_to_its_end() -> None:
    """Shares of the capacity that the first run's warm-up showed, upwards only."""
    made = plans(99, scenario="server", search_capacity=True)
    assert (made[0].load_share, made[0].target_qps) == (RAMP[0], None)
    assert [plan.target_qps for plan in made[1:]] == [share * 100 for share in RAMP[1:]]
    assert sorted(RAMP) == list(RAMP)


def test_search_ends_at_the_first_rate_that_breaks_the_bound() -> None:
    """A higher rate could only be worse."""
    config = load_config(None, {"scenario": "server", "search_capacity": True})
    assert next_run(config, [Step(), Step(valid=False)]) is None
    assert next_run(config, [Step(capacity_qps=None)]) is None


def test_missing_is_the_first_step_that_is_not_valid() -> None:
    """A round goes on at the step that is missing or INVALID, and is complete when all are VALID."""
    config = load_config(None, {"mode": "test01"})
    assert missing_step(config, []) == 1
    assert missing_step(config, [Step(), Step()]) == 3
    assert missing_step(config, [Step(), Step(valid=False), Step()]) == 2
    assert missing_step(config, [Step(), Step(), Step()]) is None


def test_search_is_complete_when_the_bound_breaks() -> None:
    """That its last rate is INVALID is what a search looks for; another reason is to be measured again."""
    config = load_config(None, {"scenario": "server", "search_capacity": True})
    broken = Step(valid=False, reasons=("latency_bound: too slow",))
    assert missing_step(config, [Step(), broken]) is None
    assert missing_step(config, [Step(), Step(valid=False, reasons=("lost: 1 of 9",))]) == 2
