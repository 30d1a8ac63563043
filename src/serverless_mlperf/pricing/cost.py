"""The price of a query, part by part: pure.

It is the list price of the first tier, without the free tier. Measured on AWS it is what AWS bills; from the local
platform's durations it says what the same query would cost on Lambda, and is called modelled.
Not in it: data transfer out, storage over time, and what a cold start reads of the model.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from serverless_mlperf.budget import billed_ms
from serverless_mlperf.pricing.billing import BillingRules
from serverless_mlperf.pricing.table import RegionPrices
from serverless_mlperf.records import Record
from serverless_mlperf.workloads import Architecture

MIB_PER_GB: Final = 1024
"""AWS bills memory in units of 1024 MB (aws.amazon.com/lambda/pricing, its examples)."""
EVENT_OVERHEAD_BYTES: Final = 26
"""CloudWatch Logs adds them to every line (API_PutLogEvents)."""
_LOG_LINES: Final = (
    f"START RequestId: {'0' * 36} Version: $LATEST\n",
    f"END RequestId: {'0' * 36}\n",
    f"REPORT RequestId: {'0' * 36}\tDuration: 100.00 ms\tBilled Duration: 100 ms\tMemory Size: 1536 MB\t"
    "Max Memory Used: 200 MB\t\n",
)
LOG_BYTES: Final = sum(len(line) + EVENT_OVERHEAD_BYTES for line in _LOG_LINES)
"""Of an invocation whose handler prints nothing, as ours."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests of one query beside its invocation, by price."""

    puts: int
    """S3: PUT and COPY."""
    gets: int
    """S3."""
    queue: int = 0
    """SQS: sent, received, deleted. Ten messages fit into one request, so these are the most it takes."""


REQUESTS: Final[Mapping[tuple[str, str | None], Requests]] = {
    # PUT input, COPY to completed/, PUT output; GET input, image and, by the client, output.
    ("s3", None): Requests(puts=3, gets=3, queue=3),
    ("invoke", "inline"): Requests(puts=0, gets=0),
    ("invoke", "s3ref"): Requests(puts=0, gets=1),
}
"""(transport, payload) -> what a query takes; DELETE is free."""


@dataclass(frozen=True, slots=True)
class QueryCost:
    """USD of one query, on average, by what it is paid for."""

    duration_usd: float
    request_usd: float
    storage_usd: float
    """S3 requests."""
    logs_usd: float
    queue_usd: float | None = None
    """SQS requests; None where their price is not known."""

    @property
    def total_usd(self) -> float:
        """The sum of what is known."""
        return self.duration_usd + self.request_usd + self.storage_usd + self.logs_usd + (self.queue_usd or 0.0)

    @property
    def per_million_usd(self) -> float:
        """Of a million such queries."""
        return self.total_usd * 1_000_000


@dataclass(frozen=True, slots=True)
class RunCost:
    """What the queries of a run cost, warm and cold apart; None where there was none of the kind."""

    warm: QueryCost | None
    cold: QueryCost | None
    run_usd: float
    """All measured queries together."""
    region: str
    architecture: Architecture
    prices_as_of: str
    """Of Lambda's prices."""
    granularity_ms: int
    init_billed: bool
    modelled: bool
    """From durations of the local platform."""


@dataclass(frozen=True, slots=True)
class Pricing:
    """By which prices and rules an experiment is priced."""

    region: str
    prices: RegionPrices
    rules: BillingRules
    architecture: Architecture = "x86_64"
    modelled: bool = True


def query_cost(billed_ms: float, memory_mib: int, requests: Requests, pricing: Pricing) -> QueryCost:
    """The price of one query."""
    return month_cost(1, billed_ms, memory_mib, requests, pricing)


def month_cost(queries: int, billed_ms: float, memory_mib: int, requests: Requests, pricing: Pricing) -> QueryCost:
    """The price of so many equal queries in one month, tiers counted."""
    prices, architecture = pricing.prices, pricing.architecture
    gb_seconds = queries * memory_mib / MIB_PER_GB * billed_ms / 1000
    return QueryCost(
        duration_usd=prices.function.duration_usd(gb_seconds, architecture),
        request_usd=queries * prices.function.request_usd[architecture],
        storage_usd=queries * (requests.puts * prices.storage.put_usd + requests.gets * prices.storage.get_usd),
        logs_usd=queries * LOG_BYTES / 1e9 * prices.logs.ingested_gb_usd,
        queue_usd=_queue_usd(queries * requests.queue, prices),
    )


def _queue_usd(requests: int, prices: RegionPrices) -> float | None:
    """None where there are any and their price is not known."""
    if not requests:
        return 0.0
    return None if prices.queue_request_usd is None else requests * prices.queue_request_usd


def run_cost(
    records: Sequence[Record], memory_mib: int, transport: str, payload: str | None, pricing: Pricing
) -> RunCost | None:
    """What a run's queries cost; None when the platform billed none of them.

    A query whose billed duration is not known is not guessed at: averages and sum are of the others.
    """
    requests, costs = REQUESTS[transport, payload], {}
    billed = {cold: _billed_ms(records, pricing.rules, cold=cold) for cold in (False, True)}
    for cold, durations in billed.items():
        costs[cold] = query_cost(fmean(durations), memory_mib, requests, pricing) if durations else None
    if not any(billed.values()):
        return None
    return RunCost(
        warm=costs[False],
        cold=costs[True],
        run_usd=sum(cost.total_usd * len(billed[cold]) for cold, cost in costs.items() if cost is not None),
        region=pricing.region,
        architecture=pricing.architecture,
        prices_as_of=pricing.prices.function.as_of,
        granularity_ms=pricing.rules.granularity_ms,
        init_billed=pricing.rules.init_billed,
        modelled=pricing.modelled,
    )


def _billed_ms(records: Iterable[Record], rules: BillingRules, *, cold: bool) -> list[int]:
    found = (billed_ms(record, rules) for record in records if bool(record.cold) == cold)
    return [each for each in found if each is not None]
