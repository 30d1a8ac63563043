"""What a run's queries cost, in lines."""

from typing import Final

from serverless_mlperf.pricing.cost import QueryCost, RunCost
from serverless_mlperf.report.results import CellResult

NO_DATA: Final = "-"


def per_million(result: CellResult) -> str:
    """USD of a million warm queries."""
    warm = result.cost.warm if result.cost else None
    return NO_DATA if warm is None else f"{warm.per_million_usd:.2f}"


def cost_lines(cost: RunCost | None) -> tuple[str, ...]:
    """Lines of a run's block; () where the platform billed nothing."""
    if cost is None:
        return ()
    kind = "modelled: " if cost.modelled else "durations as billed: "
    rules = "" if (cost.granularity_ms, cost.init_billed) == (1, True) else f", {_rules(cost)}"
    return (
        f"  cost on Lambda ({kind}{cost.region}, {cost.architecture}, prices of {cost.prices_as_of}{rules}), "
        "USD per million:",
        *(f"    {name} queries {_parts(each)}" for name, each in (("warm", cost.warm), ("cold", cost.cold)) if each),
    )


def _parts(cost: QueryCost) -> str:
    million = 1_000_000
    queue = "not known" if cost.queue_usd is None else f"{cost.queue_usd * million:.2f}"
    return (
        f"{cost.per_million_usd:.2f} = duration {cost.duration_usd * million:.2f} + requests "
        f"{cost.request_usd * million:.2f} + S3 {cost.storage_usd * million:.2f} + logs {cost.logs_usd * million:.2f}"
        + ("" if cost.queue_usd == 0 else f" + queue {queue}")
    )


def _rules(cost: RunCost) -> str:
    init = "init billed" if cost.init_billed else "init free"
    return f"rounded up to {cost.granularity_ms} ms, {init}"
