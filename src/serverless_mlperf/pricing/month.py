"""A month of one function, part by part: pure."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from serverless_mlperf.pricing.billing import PRESENT_RULES
from serverless_mlperf.pricing.cost import Pricing, Requests, month_cost
from serverless_mlperf.pricing.standing import (
    ephemeral_usd,
    provisioned_duration_usd,
    provisioned_usd,
    snapshot_cached_usd,
    snapshot_restored_usd,
)
from serverless_mlperf.pricing.table import RegionPrices
from serverless_mlperf.workloads import Architecture


@dataclass(frozen=True, slots=True)
class MonthUse:
    """What is used of it."""

    queries: int
    billed_ms: float
    memory_mib: int
    ephemeral_mib: int
    provisioned: int
    """Environments kept ready for `hours`; if there are any, all queries run in them."""
    snapshots: int
    restores: int
    hours: float
    """That environments are kept ready, and snapshots cached."""


def month_parts(
    use: MonthUse, requests: Requests, prices: RegionPrices, architecture: Architecture
) -> tuple[dict[str, float | None], list[str]]:
    """USD by part, and why a part is None."""
    queries, memory_mib, seconds = use.queries, use.memory_mib, use.hours * 3600
    pricing = Pricing("", prices, PRESENT_RULES, architecture)
    parts: dict[str, float | None] = asdict(month_cost(queries, use.billed_ms, memory_mib, requests, pricing))
    if use.provisioned:
        parts["duration_usd"] = _each(
            queries, provisioned_duration_usd(use.billed_ms, memory_mib, prices, architecture)
        )
    parts |= {
        "ephemeral_usd": _each(queries, ephemeral_usd(use.ephemeral_mib, use.billed_ms, prices)),
        "provisioned_usd": provisioned_usd(use.provisioned, memory_mib, seconds, prices, architecture),
        "snapshots_usd": _of_snapshots(use, seconds, prices),
        "restores_usd": snapshot_restored_usd(memory_mib, use.restores, prices),
    }
    return parts, [prices.why_unknown(_PRICES[name](architecture)) for name, usd in parts.items() if usd is None]


_PRICES: dict[str, Callable[[Architecture], str]] = {
    "duration_usd": lambda architecture: f"function.provisioned_duration_gb_second_usd.{architecture}",
    "queue_usd": lambda _: "queue.request_usd",
    "ephemeral_usd": lambda _: "function.ephemeral_gb_second_usd",
    "provisioned_usd": lambda architecture: f"function.provisioned_gb_second_usd.{architecture}",
    "snapshots_usd": lambda _: "function.snapshot_cached_gb_second_usd",
    "restores_usd": lambda _: "function.snapshot_restored_gb_usd",
}
"""Part -> the price that it hangs on."""


def _of_snapshots(use: MonthUse, seconds: float, prices: RegionPrices) -> float | None:
    return _each(use.snapshots, snapshot_cached_usd(use.memory_mib, seconds, prices)) if use.snapshots else 0.0


def _each(count: int, usd: float | None) -> float | None:
    return None if usd is None else count * usd
