"""The price of a query against sums made by hand, and against the requests that a query really takes."""

from datetime import date

import pytest

from serverless_mlperf.budget import billed_ms
from serverless_mlperf.errors import InputError
from serverless_mlperf.pricing.billing import PRESENT_RULES, rules_on
from serverless_mlperf.pricing.cost import LOG_BYTES, REQUESTS, Pricing, month_cost, query_cost, run_cost
from serverless_mlperf.pricing.table import load_prices
from serverless_mlperf.records import Record

VIRGINIA = Pricing("us-east-1", load_prices().region("us-east-1"), PRESENT_RULES)
INLINE, S3 = REQUESTS["invoke", "inline"], REQUESTS["s3", None]


def record(
    billed: int | None, *, cold: bool = False, duration: float | None = None, init: float | None = None
) -> Record:
    """A query as the platform billed it."""
    return Record(
        "k",
        0,
        "ok",
        latency_ns=1,
        issued_ns=1,
        cold=cold,
        phases_ns={},
        billed_ms=billed,
        duration_ms=duration,
        init_ms=init,
    )


def test_a_query_costs_the_sum_of_its_parts() -> None:
    """24,576 queries of 100 ms at 1,769 MB: $0.076 for compute and requests, and $0.40 for the S3 path."""
    cost = query_cost(100, 1769, S3, VIRGINIA)
    assert cost.duration_usd == pytest.approx(1769 / 1024 * 0.1 * 1.66667e-5)
    assert 24_576 * (cost.duration_usd + cost.request_usd) == pytest.approx(0.0757, abs=1e-4)
    assert 24_576 * cost.storage_usd == pytest.approx(0.398, abs=1e-3)
    assert cost.logs_usd == pytest.approx(LOG_BYTES * 0.5e-9)
    assert cost.queue_usd == pytest.approx(3 * 4e-7)
    known = cost.duration_usd + cost.request_usd + cost.storage_usd + cost.logs_usd
    assert cost.total_usd == pytest.approx(known + 3 * 4e-7)
    assert cost.per_million_usd == pytest.approx(cost.total_usd * 1e6)


def test_an_inline_query_takes_no_storage() -> None:
    """The image is in the event; by key it is one GET."""
    by_key = query_cost(100, 768, REQUESTS["invoke", "s3ref"], VIRGINIA)
    assert query_cost(100, 768, INLINE, VIRGINIA).storage_usd == 0
    assert by_key.storage_usd == pytest.approx(4e-7)


def test_arm_is_a_fifth_cheaper() -> None:
    """Per GB-second, not per request."""
    arm = Pricing("us-east-1", VIRGINIA.prices, PRESENT_RULES, "arm64")
    x86, cheaper = query_cost(100, 1024, INLINE, VIRGINIA), query_cost(100, 1024, INLINE, arm)
    assert cheaper.duration_usd / x86.duration_usd == pytest.approx(0.8, abs=1e-4)
    assert cheaper.request_usd == x86.request_usd


def test_tiers_count_over_a_month() -> None:
    """7 billion GB-seconds: 6 at the first price, one at the second."""
    cost = month_cost(7_000_000_000, 1000, 1024, INLINE, VIRGINIA)
    assert cost.duration_usd == pytest.approx(6e9 * 1.66667e-5 + 1e9 * 1.5e-5)


def test_tiers_that_are_not_known_are_not_guessed() -> None:
    """Ireland's second tier is in no source that we have."""
    ireland = Pricing("eu-west-1", load_prices().region("eu-west-1"), PRESENT_RULES)
    assert month_cost(6_000_000_000, 1000, 1024, INLINE, ireland).duration_usd == pytest.approx(6e9 * 1.66667e-5)
    with pytest.raises(InputError, match="beyond the tiers known"):
        month_cost(6_000_000_001, 1000, 1024, INLINE, ireland)


def test_warm_and_cold_queries_are_priced_apart() -> None:
    """What was not billed is no part of an average; nothing billed is no price."""
    records = [record(100), record(110), record(None), record(400, cold=True)]
    cost = run_cost(records, 1024, "invoke", "inline", VIRGINIA)
    assert cost is not None
    assert cost.warm == query_cost(105, 1024, INLINE, VIRGINIA)
    assert cost.cold == query_cost(400, 1024, INLINE, VIRGINIA)
    assert cost.run_usd == pytest.approx(2 * cost.warm.total_usd + cost.cold.total_usd)
    assert run_cost([record(None)], 1024, "s3", None, VIRGINIA) is None


def test_the_platforms_own_figure_counts_by_present_rules() -> None:
    """A duration is reported rounded: 12.003 ms is billed as 13 ms and reads 12.00."""
    rounded = record(13, duration=12.0)
    assert billed_ms(rounded, PRESENT_RULES) == 13
    assert billed_ms(rounded, rules_on(date(2020, 1, 1))) == 100
    assert billed_ms(record(None, duration=None), rules_on(date(2020, 1, 1))) is None
