"""Bounds and what has been spent, by hand."""

from datetime import date

import pytest

from serverless_mlperf.budget import Allowance, Budget, Rate, Spending, billed_ms
from serverless_mlperf.platforms.base import Report
from serverless_mlperf.pricing.billing import rules_on

RATE = Rate(request_usd=2e-7, ms_usd=1e-8, most_ms=500, init_ms=3000)


def report(billed: int, duration: float, init: float | None = None) -> Report:
    """What a platform says of an invocation."""
    return Report("r", duration, billed, init, 1024, 100)


@pytest.mark.parametrize(
    ("budget", "spent", "asked", "fits"),
    [
        (Budget(), Spending(10**9, 1e9, 1e9), Spending(1, 1, 1), True),
        (Budget(queries=100), Spending(99), Spending(1), True),
        (Budget(queries=100), Spending(100), Spending(1), False),
        (Budget(queries=100), Spending(0), Spending(101), False),
        (Budget(usd=0.5), Spending(usd=0.25), Spending(usd=0.25), True),
        (Budget(usd=0.5), Spending(usd=0.25), Spending(usd=0.26), False),
        (Budget(minutes=2), Spending(seconds=119), Spending(1), True),
        (Budget(minutes=2), Spending(seconds=120), Spending(1), False),
        (Budget(minutes=2), Spending(seconds=60), Spending(1, seconds=61), False),
        (Budget(queries=100, usd=1), Spending(50, 1.0), Spending(1, 0.1), False),
    ],
)
def test_what_is_asked_must_fit_into_every_bound(budget: Budget, spent: Spending, asked: Spending, fits: bool) -> None:
    """Up to the bound itself; at the end of the minutes nothing fits."""
    assert (budget.refusal(spent, asked) is None) == fits


def test_a_refusal_names_the_option_and_the_numbers() -> None:
    """So that one can tell by how much it must be raised."""
    spent, asked = Spending(7, 0.001, 90), Spending(4, 0.0005, 31)
    assert Budget(queries=10).refusal(spent, asked) == "--max-queries 10: 7 sent, 4 more asked"
    assert Budget(usd=0.0012).refusal(spent, asked) == (
        "--max-usd 0.0012: 0.00100000 USD spent at list prices, 0.00050000 USD more asked"
    )
    assert Budget(minutes=2).refusal(spent, asked) == "--max-minutes 2: 1.50 taken, 0.52 more asked"


def test_only_what_is_left_can_be_spent() -> None:
    """A reservation is never larger than the rest, and never below nothing."""
    budget = Budget(queries=100, usd=1.0)
    assert budget.left(Spending(90, 0.2), Spending(50, 5.0)) == Spending(10, 0.8)
    assert budget.left(Spending(190, 2.0), Spending(50, 5.0)) == Spending()
    assert Budget(minutes=1).left(Spending(190, 2.0), Spending(50, 5.0)) == Spending(50, 5.0)
    assert (Budget().bounded, Budget(minutes=1).bounded) == (False, True)


def test_a_query_costs_what_was_billed_or_the_most() -> None:
    """13 ms: 2e-7 + 13e-8; unknown: 500 ms, a first one 3,500 ms."""
    assert RATE.usd_of(report(13, 12.0)) == pytest.approx(3.3e-7)
    assert RATE.usd_of(None) == pytest.approx(5.2e-6)
    assert RATE.usd_of(None, first=True) == pytest.approx(35.2e-6)


def test_queries_of_which_nothing_is_known_cost_the_most() -> None:
    """Five sent, two of them told: 10 and 20 ms; three are taken for 500 ms."""
    told = [report(10, 9.1), report(20, 19.1)]
    assert RATE.usd_of_all(told, 5) == pytest.approx(5 * 2e-7 + 30e-8 + 1500e-8)
    assert RATE.usd_of_all(told, 0) == 0


def test_old_rules_are_applied_to_the_duration() -> None:
    """2020: 112 ms and an init phase of 900 ms are billed as 200 ms; the platform's own figure is by present rules."""
    told = report(1012, 112.0, 900.0)
    assert billed_ms(told, RATE.rules) == 1012
    assert billed_ms(told, rules_on(date(2020, 6, 1))) == 200


def test_an_allowance_holds_what_was_spent_before() -> None:
    """Sums are of the experiment, not of the run."""
    allowance = Allowance(Budget(queries=10), Spending(8), RATE)
    assert allowance.budget.refusal(allowance.spent + Spending(1), Spending(1)) is None
    assert allowance.budget.refusal(allowance.spent + Spending(2), Spending(1)) is not None
