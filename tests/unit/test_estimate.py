"""What an experiment is estimated to take, by hand."""

from typing import Any

import pytest

from serverless_mlperf.config import load_config
from serverless_mlperf.errors import InputError
from serverless_mlperf.estimate import Estimates, within_budget
from serverless_mlperf.plan import RAMP
from serverless_mlperf.pricing.choice import pricing_by
from serverless_mlperf.pricing.cost import LOG_BYTES
from serverless_mlperf.pricing.table import load_prices

CELL: dict[str, Any] = {"tasks": ["classification"], "engine_and_formats": ["ie-ir"], "memory_mib": [1769]}


def estimates(environments: int = 2, region: str = "us-east-1", **options: Any) -> Estimates:
    """Of one cell, unless other options say more."""
    config = load_config(None, {**CELL, "price_region": region, **options})
    pricing = pricing_by(config, load_prices().region(region))
    return Estimates(config, dict.fromkeys(config.cells, environments), pricing)


def queries(made: Estimates) -> tuple[int, int]:
    """The range."""
    found = made.experiment()
    return found.least.queries, found.most.queries


def test_a_query_lasts_between_a_tenth_and_one_and_a_half_of_the_papers_cpu_time() -> None:
    """OpenVINO's MobileNet: 53.8 to 60.0 vCPU-ms. At 1,769 MB: 5.4 ms, and 60.0 x 1.5 + 20 + 100 = 210 ms.

    At 442 MB, a quarter of a core: 21.5 ms, and 110 x 4.002 + 100 = 540 ms; a timeout of 1 s bounds them.
    """
    made = estimates(memory_mib=[1769, 442, 128], timeout_s=1)
    assert [made.billed_ms(cell) for cell in made.config.cells] == [(6, 210), (22, 541), (75, 1000)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # 100 and 3 for each of two environments; at most twice that and the four under way.
        ({"retry_invalid": 0}, (106, 116)),
        ({"retry_invalid": 2}, (106, 3 * 116)),
        ({"retry_invalid": 0, "transport": "invoke"}, (106, 114)),
        ({"retry_invalid": 0, "repeat": 5}, (530, 580)),
        ({"retry_invalid": 0, "cold": 20}, (126, 136)),
        ({"retry_invalid": 0, "sweep": [1, 2, 4]}, (318, 348)),
        # 662 queries of 8 samples each.
        ({"retry_invalid": 0, "scenario": "multi-stream"}, (5302, 5312)),
        # Every sample once; MultiStream fills up to 13 x 8.
        ({"retry_invalid": 0, "mode": "accuracy", "samples": 100}, (106, 116)),
        ({"retry_invalid": 0, "mode": "accuracy", "samples": 100, "scenario": "multi-stream"}, (106, 120)),
        # 200, 100 and 200 queries (scores are compared), each with a warm-up.
        ({"retry_invalid": 0, "mode": "test01", "samples": 100}, (518, 548)),
        # One rate at least, ten at most.
        ({"retry_invalid": 0, "scenario": "server", "search_capacity": True}, (844, len(RAMP) * 854)),
        # 600 s at 5 queries a second, more or less a tenth.
        ({"retry_invalid": 0, "scenario": "server", "length": "full", "target_qps": 5.0}, (2706, 3316)),
        # 600 s at 1.21 s a query, or at 6 ms.
        ({"retry_invalid": 0, "scenario": "single-stream", "length": "full"}, (501, 100_016)),
    ],
)
def test_queries_are_counted_with_warm_up_and_repetitions(options: dict[str, Any], expected: tuple[int, int]) -> None:
    """Runs, steps, tries, cold starts; two environments."""
    assert queries(estimates(**options)) == expected


def test_money_is_queries_times_list_prices() -> None:
    """invoke, 1,769 MB: 2e-7 and the logs for each, and 1769/1024 x 1.66667e-5 USD a second.

    Least: 106 queries of 6 ms; most: 114 of 210 ms and two init phases of 3 s.
    """
    found = estimates(transport="invoke", retry_invalid=0).experiment()
    fixed_usd, second_usd = 2e-7 + LOG_BYTES * 0.5e-9, 1769 / 1024 * 1.66667e-5
    assert found.least.usd == pytest.approx(106 * (fixed_usd + 0.006 * second_usd))
    assert found.most.usd == pytest.approx(114 * (fixed_usd + 0.210 * second_usd) + 2 * 3 * second_usd)


def test_old_rules_round_up_and_bill_no_init_phase() -> None:
    """In 2020 the least is 100 ms, and the most 300 ms."""
    made = estimates(billing_date="2020-06-01")
    (cell,) = made.config.cells
    assert made.billed_ms(cell) == (100, 300)
    assert made.rate(cell).init_ms == 0


def test_a_duration_is_the_least_that_a_run_takes() -> None:
    """600 s for each of two runs; without one, the queries at the fastest on all environments."""
    full = estimates(scenario="server", length="full", target_qps=5.0, repeat=2).experiment()
    assert full.least.seconds == 1200
    assert full.most.seconds > 3 * 1200
    assert estimates().experiment().least.seconds == pytest.approx(100 * 0.006 / 2)


def test_what_a_resumed_experiment_lacks_is_counted_alone() -> None:
    """Two of three runs; of a test with three steps one may be all that is left."""
    made = estimates(repeat=3, retry_invalid=0)
    (cell,) = made.config.cells
    assert made.experiment({cell: 2}).least.queries == 212
    assert made.experiment({cell: 0}).most.queries == 0
    steps = estimates(mode="test01", samples=100, retry_invalid=0)
    assert steps.experiment({cell: 1}).least.queries == 106
    assert steps.experiment({cell: 1}).most.queries == 548


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        ({"max_queries": 105}, "--max-queries 105: 0 sent, 106 more asked at least (modelled)"),
        ({"max_usd": 1e-6}, "--max-usd 1e-06: 0.00000000 USD spent at list prices, "),
        ({"max_minutes": 0.001}, "--max-minutes 0.001: 0.00 taken, "),
    ],
)
def test_what_cannot_fit_is_refused(bound: dict[str, Any], said: str) -> None:
    """By the least alone; the bound and the numbers are named."""
    with pytest.raises(InputError) as caught:
        within_budget(estimates(**bound))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_estimate_says_what_it_is_and_what_it_assumes() -> None:
    """Modelled, the milliseconds, the prices' date, and no free tier; nothing without a budget."""
    assert within_budget(estimates()) == ()
    lines = within_budget(estimates(max_queries=106, retry_invalid=0))
    assert lines[0].startswith("estimate (modelled): 106 to 116 queries, 0.00")
    assert "a query is billed 6 to 210 ms, by the paper's CPU times over 10 to times 1.5" in lines[1]
    assert "prices of 2025-10-28 (us-east-1), without the free tier" in lines[2]
    assert len(lines) == 3
    ireland = within_budget(estimates(region="eu-west-1", max_queries=1000))
    assert ireland[3].startswith("  without the completion queue: queue.request_usd: no source")


def test_spending_before_counts_against_the_bound() -> None:
    """A resumed experiment with 5 of 110 queries left cannot send 106 more."""
    made = estimates(max_queries=110, retry_invalid=0)
    spent = made.experiment().least
    (cell,) = made.config.cells
    with pytest.raises(InputError, match=r"--max-queries 110: 106 sent, 106 more asked at least"):
        within_budget(made, spent, {cell: 1})
