"""What the paper's experiment cost by the rules of its day, and what it would cost now: pure.

The paper publishes `forward` alone, so that is what is priced: the least that a query can have been billed for. Both
columns are by the same list prices; only Lambda's rules differ.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final

from serverless_mlperf.pricing.billing import rules_on
from serverless_mlperf.pricing.cost import Pricing, QueryCost, Requests, month_cost
from serverless_mlperf.pricing.table import RegionPrices
from serverless_mlperf.report.figures import Bar

DAY: Final = date(2020, 6, 1)
"""Of the paper's experiment, near enough: rules were the same until December."""
QUERIES: Final = 1001
"""Of a cell: `generate_loadgen_input.py --num 1000` writes one file more (its loop runs while `counter <= num`)."""
REQUESTS: Final = Requests(puts=3, gets=3)
"""Of a query: PUT input, COPY to completed/, PUT output; GET input, image, output. The seed waits by the clock and has
no queue; its LIST requests are not counted."""


@dataclass(frozen=True, slots=True)
class CellPrice:
    """One cell of the paper."""

    model: str
    engine: str
    memory_mib: int
    forward_ms: float
    billed_then_ms: int
    billed_now_ms: int
    then_usd: float
    """Duration of one query."""
    now_usd: float


@dataclass(frozen=True, slots=True)
class PaperPrice:
    """All cells, and the sums over their queries."""

    cells: tuple[CellPrice, ...]
    then: QueryCost
    now: QueryCost
    queries: int

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def paper_price(bars: Sequence[Bar], region: str, prices: RegionPrices, today: date) -> PaperPrice:
    """Price the cells that have a latency; by the tiers, sums are far within the first one."""
    then, now = (Pricing(region, prices, rules_on(day)) for day in (DAY, today))
    cells = tuple(_cell(bar, bar.latency_ms, then, now) for bar in bars if bar.latency_ms is not None)
    return PaperPrice(
        cells,
        _sum([month_cost(QUERIES, each.billed_then_ms, each.memory_mib, REQUESTS, then) for each in cells]),
        _sum([month_cost(QUERIES, each.billed_now_ms, each.memory_mib, REQUESTS, now) for each in cells]),
        QUERIES * len(cells),
    )


def lines(price: PaperPrice, prices: RegionPrices, region: str) -> Iterator[str]:
    """The table and its sums, in lines of at most 80 columns."""
    yield f"the paper's {len(price.cells)} cells, by median forward alone (a lower bound), USD per million"
    yield f"{'':20}{'MB':>5}{'forward':>10}{'billed 2020':>13}{'USD/M':>8}{'billed now':>12}{'USD/M':>8}"
    for each in price.cells:
        name = f"{each.model} {each.engine}"
        yield (
            f"{name:20}{each.memory_mib:5}{each.forward_ms:10.1f}{each.billed_then_ms:13}{each.then_usd * 1e6:8.2f}"
            f"{each.billed_now_ms:12}{each.now_usd * 1e6:8.2f}"
        )
    for name, cost in (("2020", price.then), ("now", price.now)):
        yield (
            f"{price.queries} queries {name}: {cost.total_usd:.4f} USD = duration {cost.duration_usd:.4f} + requests "
            f"{cost.request_usd:.4f}"
        )
        yield f"  + S3 {cost.storage_usd:.4f} + logs {cost.logs_usd:.4f}"
    yield f"list prices of {prices.function.as_of} in {region} for both, without free tier;"
    yield "durations were rounded up to 100 ms until 2020-12-01, and are to 1 ms since"


def _cell(bar: Bar, forward_ms: float, then: Pricing, now: Pricing) -> CellPrice:
    billed = [pricing.rules.billed_ms(forward_ms) for pricing in (then, now)]
    costs = [
        month_cost(1, ms, bar.memory_mib, REQUESTS, pricing).duration_usd
        for ms, pricing in zip(billed, (then, now), strict=True)
    ]
    return CellPrice(bar.model, bar.engine, bar.memory_mib, forward_ms, *billed, *costs)


def _sum(costs: Sequence[QueryCost]) -> QueryCost:
    return QueryCost(
        duration_usd=sum(each.duration_usd for each in costs),
        request_usd=sum(each.request_usd for each in costs),
        storage_usd=sum(each.storage_usd for each in costs),
        logs_usd=sum(each.logs_usd for each in costs),
        queue_usd=0.0,
    )
