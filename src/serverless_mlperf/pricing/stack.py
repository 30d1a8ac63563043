"""What a deployed experiment costs: while it stands idle, and when it is measured: pure, for plans.

All of it is list price without the free tier, and an estimate: called so wherever it is shown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from serverless_mlperf.pricing.billing import PRESENT_RULES
from serverless_mlperf.pricing.cost import LOG_BYTES, REQUESTS, Pricing, query_cost
from serverless_mlperf.pricing.standing import (
    FREE_EPHEMERAL_MIB,
    HOURS_PER_MONTH,
    ephemeral_usd,
    logs_stored_usd,
    provisioned_usd,
    snapshot_cached_usd,
    stored_usd,
)
from serverless_mlperf.pricing.table import RegionPrices
from serverless_mlperf.workloads import Architecture

BILLED_MS: Final = (5.0, 1000.0)
"""What a query is assumed to be billed for where nothing better is known: from a tenth of the paper's fastest cell
to twice its slowest."""
_HOUR_S: Final = 3600


@dataclass(frozen=True, slots=True)
class StackFunction:
    """What of a deployed function costs."""

    memory_mib: int
    architecture: Architecture = "x86_64"
    provisioned: int = 0
    """Environments kept ready."""
    snapstart: bool = False
    ephemeral_mib: int = FREE_EPHEMERAL_MIB


@dataclass(frozen=True, slots=True)
class Item:
    """One line of what is paid per month while nothing is asked."""

    name: str
    month_usd: float | None
    note: str
    """What it is, or why it is not known."""


@dataclass(frozen=True, slots=True)
class StackEstimate:
    """What a stack costs; USD, list prices, no free tier."""

    idle: tuple[Item, ...]
    run_low_usd: float
    run_high_usd: float
    """All queries of a run of the experiment, by the least and the most they are assumed to take."""
    assumptions: tuple[str, ...]

    @property
    def idle_month_usd(self) -> float:
        """The sum of what is known, for a month of 730 hours."""
        return sum(item.month_usd or 0.0 for item in self.idle)

    @property
    def idle_hour_usd(self) -> float:
        """The same for one hour."""
        return self.idle_month_usd / HOURS_PER_MONTH

    @property
    def unknown(self) -> tuple[str, ...]:
        """What is not in the sums, and why."""
        return tuple(item.note for item in self.idle if item.month_usd is None)

    def lines(self) -> Iterator[str]:
        """For people; every figure is called an estimate."""
        yield (
            f"estimated price, idle: {self.idle_hour_usd:.4f} USD an hour, {self.idle_month_usd:.2f} USD a month"
            + (", without what is not known" if self.unknown else "")
        )
        for item in self.idle:
            month = "not known" if item.month_usd is None else f"{item.month_usd:.4f}"
            yield f"  {item.name}: {month} ({item.note})"
        yield f"estimated price of a run: {self.run_low_usd:.4f} to {self.run_high_usd:.4f} USD"
        yield from (f"  {each}" for each in self.assumptions)


def estimate_stack(
    prices: RegionPrices,
    functions: Sequence[StackFunction],
    queries: int,
    transport: str = "s3",
    payload: str = "inline",
    stored_bytes: int = 0,
    billed_ms: tuple[float, float] = BILLED_MS,
) -> StackEstimate:
    """Price a stack; `queries` is how many a run sends to each function, `payload` what `invoke` carries.

    `stored_bytes`: packages, models and images in the bucket. Queues, functions and roles cost nothing while nothing
    is asked.
    """
    way = (transport, payload if transport == "invoke" else None)
    low, high = (_run_usd(prices, functions, queries, way, each) for each in billed_ms)
    return StackEstimate(
        idle=(*_idle(prices, functions, stored_bytes), _logs(prices, queries * len(functions))),
        run_low_usd=low,
        run_high_usd=high,
        assumptions=(*_assumptions(prices, queries, way, billed_ms), *_left_out(prices, functions, way)),
    )


def _run_usd(
    prices: RegionPrices,
    functions: Sequence[StackFunction],
    queries: int,
    way: tuple[str, str | None],
    billed_ms: float,
) -> float:
    """Provisioned environments serve at a price of their own, which is lower: the usual one is an upper bound of it."""
    total = 0.0
    for each in functions:
        pricing = Pricing("", prices, PRESENT_RULES, each.architecture)
        one = query_cost(billed_ms, each.memory_mib, REQUESTS[way], pricing).total_usd
        total += queries * (one + (ephemeral_usd(each.ephemeral_mib, billed_ms, prices) or 0.0))
    return total


def _idle(prices: RegionPrices, functions: Sequence[StackFunction], stored_bytes: int) -> Iterator[Item]:
    ready = [
        (provisioned_usd(f.provisioned, f.memory_mib, _HOUR_S, prices, f.architecture), f.architecture)
        for f in functions
    ]
    missing = sorted({architecture for usd, architecture in ready if usd is None})
    count = sum(f.provisioned for f in functions)
    yield _item(
        "provisioned concurrency",
        _monthly([usd for usd, _ in ready], HOURS_PER_MONTH),
        f"{count} environments" if count else "none",
        [prices.why_unknown(f"function.provisioned_gb_second_usd.{architecture}") for architecture in missing],
    )
    kept = [snapshot_cached_usd(f.memory_mib, HOURS_PER_MONTH * _HOUR_S, prices) for f in functions if f.snapstart]
    yield _item(
        "SnapStart",
        _monthly(kept, 1),
        f"{len(kept)} snapshots" if kept else "none",
        [prices.why_unknown("function.snapshot_cached_gb_second_usd")],
    )
    yield _item(
        "S3 storage",
        stored_usd(stored_bytes / 1e9, prices),
        f"{stored_bytes / 1e6:.0f} MB",
        [prices.why_unknown("storage.gb_month_usd")],
    )
    yield Item("queues, functions, roles", 0.0, "are paid for by request")


def _logs(prices: RegionPrices, queries: int) -> Item:
    """Before they are compressed, and as if none expired: an upper bound."""
    gigabytes = queries * LOG_BYTES / 1e9
    unknown = [prices.why_unknown("logs.stored_gb_month_usd")]
    return _item("logs", logs_stored_usd(gigabytes, prices), f"of one run, {gigabytes * 1000:.2f} MB", unknown)


def _item(name: str, month_usd: float | None, note: str, unknown: Sequence[str]) -> Item:
    return Item(name, month_usd, "; ".join(unknown) if month_usd is None else note)


def _monthly(parts: Sequence[float | None], times: float) -> float | None:
    """The sum, or None when a part of it is not known."""
    known = [each for each in parts if each is not None]
    return sum(known) * times if len(known) == len(parts) else None


def _assumptions(
    prices: RegionPrices, queries: int, way: tuple[str, str | None], billed_ms: tuple[float, float]
) -> Iterator[str]:
    yield f"{queries} queries per function by {way[0]}, each billed {billed_ms[0]:g} to {billed_ms[1]:g} ms (assumed)"
    yield f"list prices of {prices.function.as_of}, first tier, without the free tier"


def _left_out(prices: RegionPrices, functions: Sequence[StackFunction], way: tuple[str, str | None]) -> Iterator[str]:
    """What a run's price lacks, and why."""
    if REQUESTS[way].queue and prices.queue_request_usd is None:
        yield f"without the completion queue: {prices.why_unknown('queue.request_usd')}"
    if any(ephemeral_usd(f.ephemeral_mib, 1, prices) is None for f in functions):
        yield f"without /tmp above 512 MB: {prices.why_unknown('function.ephemeral_gb_second_usd')}"
