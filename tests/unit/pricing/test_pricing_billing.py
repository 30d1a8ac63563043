"""Billed durations by the rules of their day."""

from datetime import date

import pytest

from serverless_mlperf.pricing.billing import PRESENT_RULES, BillingRules, rules_on


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2020, 6, 1), BillingRules(100, init_billed=False)),
        (date(2020, 11, 30), BillingRules(100, init_billed=False)),
        (date(2020, 12, 1), BillingRules(1, init_billed=False)),
        (date(2025, 7, 31), BillingRules(1, init_billed=False)),
        (date(2025, 8, 1), PRESENT_RULES),
    ],
)
def test_rules_change_on_their_day(day: date, expected: BillingRules) -> None:
    """1 ms since 2020-12-01, the init phase since 2025-08-01."""
    assert rules_on(day) == expected


@pytest.mark.parametrize(
    ("duration_ms", "init_ms", "present", "between", "seed"),
    [(0.2, None, 1, 1, 100), (100.0, None, 100, 100, 100), (100.01, None, 101, 101, 200), (99.5, 250.2, 350, 100, 100)],
)
def test_durations_are_rounded_up(
    duration_ms: float, init_ms: float | None, present: int, between: int, seed: int
) -> None:
    """To the granularity, at least one unit; with the init phase where that is billed."""
    rules = (PRESENT_RULES, rules_on(date(2024, 1, 1)), rules_on(date(2020, 1, 1)))
    assert [each.billed_ms(duration_ms, init_ms) for each in rules] == [present, between, seed]


def test_negative_durations_are_no_durations() -> None:
    """They would be billed as one unit else."""
    with pytest.raises(ValueError, match="negative duration"):
        PRESENT_RULES.billed_ms(-0.1)
