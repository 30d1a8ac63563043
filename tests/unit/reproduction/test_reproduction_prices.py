"""The paper's experiment, priced by hand for its day and for today."""

from datetime import date

import pytest

from serverless_mlperf.pricing.cost import LOG_BYTES
from serverless_mlperf.pricing.table import load_prices
from serverless_mlperf.reproduction.prices import PaperPrice, lines, paper_price
from serverless_mlperf.reproduction.published import published_bars

VIRGINIA = load_prices().region("us-east-1")


@pytest.fixture(scope="module")
def price() -> PaperPrice:
    """Then and on a day of 2026."""
    return paper_price(published_bars(), "us-east-1", VIRGINIA, date(2026, 11, 1))


@pytest.mark.parametrize(
    ("model", "engine", "memory_mib", "then_ms", "now_ms", "then", "now"),
    [
        # 138.1 ms; 0.75 GB x 0.200 s x 16.6667 = 2.500005 USD a million; 0.75 x 0.139 x 16.6667 = 1.737503.
        ("mobilenet", "openvino", 768, 200, 139, 2.500005, 1.737503),
        # 32.3 ms; 2.9375 GB x 0.100 x 16.6667 = 4.895843; 2.9375 x 0.033 x 16.6667 = 1.615628.
        ("mobilenet", "openvino", 3008, 100, 33, 4.895843, 1.615628),
        # 514.3 ms; 0.75 x 0.600 x 16.6667 = 7.500015; 0.75 x 0.515 x 16.6667 = 6.437513.
        ("ssd", "caffe", 768, 600, 515, 7.500015, 6.437513),
        # 102.8 ms, just above one unit; 2.9375 x 0.200 x 16.6667 = 9.791686; 2.9375 x 0.103 x 16.6667 = 5.042718.
        ("ssd", "caffe", 3008, 200, 103, 9.791686, 5.042718),
    ],
)
def test_cells_are_priced_by_the_rules_of_their_day(
    price: PaperPrice, model: str, engine: str, memory_mib: int, then_ms: int, now_ms: int, then: float, now: float
) -> None:
    """100 ms units in 2020, 1 ms now; forward alone."""
    (cell,) = [c for c in price.cells if (c.model, c.engine, c.memory_mib) == (model, engine, memory_mib)]
    assert (cell.billed_then_ms, cell.billed_now_ms) == (then_ms, now_ms)
    assert cell.then_usd * 1e6 == pytest.approx(then, abs=1e-5)
    assert cell.now_usd * 1e6 == pytest.approx(now, abs=1e-5)


def test_the_experiment_is_24_cells_of_1001_queries(price: PaperPrice) -> None:
    """24,024 queries: requests 0.0048048 USD, S3 24,024 x (3 x 5e-6 + 3 x 4e-7) = 0.3891888 USD, by either rules.

    Durations in 2020, units of 100 ms summed by size: 768 MB (2+3+3+4+5+6) 23, 1536 MB (1+2+2+2+3+3) 13, 2240 MB
    (1+1+1+1+2+2) 8, 3008 MB (1+1+1+1+2+2) 8. In GB: 23 x 0.75 + 13 x 1.5 + 8 x 2.1875 + 8 x 2.9375 = 77.75, so
    1001 x 77.75 x 0.1 s x 1.66667e-5 = 0.12971318 USD.
    Now, in ms: 768 MB 139+218+222+301+439+515 = 1834, 1536 MB 63+103+105+140+277+205 = 893, 2240 MB
    43+69+70+94+187+137 = 600, 3008 MB 33+54+55+71+140+103 = 456. 1834 x 0.75 + 893 x 1.5 + 600 x 2.1875 +
    456 x 2.9375 = 5367 GB-ms, so 1001 x 5.367 x 1.66667e-5 = 0.08953963 USD.
    """
    assert (len(price.cells), price.queries) == (24, 24_024)
    assert price.then.duration_usd == pytest.approx(0.12971318, abs=1e-7)
    assert price.now.duration_usd == pytest.approx(0.08953963, abs=1e-7)
    for cost in (price.then, price.now):
        assert cost.request_usd == pytest.approx(0.0048048)
        assert cost.storage_usd == pytest.approx(0.3891888)
        assert cost.logs_usd == pytest.approx(24_024 * LOG_BYTES * 0.5e-9)
        assert cost.queue_usd == 0
    assert price.then.total_usd - price.now.total_usd == pytest.approx(0.0401735, abs=1e-7)


def test_a_day_before_the_change_costs_as_much_as_then() -> None:
    """The rules are those of the day that is asked for: 2020-11-30 is the last of the old ones."""
    for day, same in ((date(2020, 11, 30), True), (date(2020, 12, 1), False)):
        found = paper_price(published_bars(), "us-east-1", VIRGINIA, day)
        assert (found.then == found.now) == same


def test_lines_fit_a_terminal_and_name_what_they_are(price: PaperPrice) -> None:
    """80 columns; a lower bound, both rules, the prices' date, no free tier."""
    text = list(lines(price, VIRGINIA, "us-east-1"))
    assert max(map(len, text)) <= 80
    assert "by median forward alone (a lower bound)" in text[0]
    assert text[-2:] == [
        "list prices of 2025-10-28 in us-east-1 for both, without free tier;",
        "durations were rounded up to 100 ms until 2020-12-01, and are to 1 ms since",
    ]
    assert len(text) == 2 + 24 + 6
