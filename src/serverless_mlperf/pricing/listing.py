"""The price table as flat rows, and as lines of at most 80 columns."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
import textwrap
from typing import Any, Final

from serverless_mlperf.pricing.table import PriceTable, RegionPrices

WIDTH: Final = 80
_NAME: Final = 52


@dataclass(frozen=True, slots=True)
class Price:
    """One price of one region."""

    region: str
    service: str
    price: str
    """What is paid for, with its unit."""
    architecture: str | None
    up_to_gb_s_month: float | None
    """End of a tier; None where there is none."""
    usd: float | None
    """None: not known."""


def price_rows(table: PriceTable) -> Iterator[dict[str, Any]]:
    """Every price with its date and source."""
    for region, prices in sorted(table.regions.items()):
        dated = _dated(prices)
        for price in _prices(region, prices):
            as_of, source = dated.get(price.service, (None, None))
            yield {**asdict(price), "as_of": as_of, "source": source}


def price_lines(table: PriceTable) -> Iterator[str]:
    """For people: prices by region, then whence they are, and why others are not known."""
    yield f"USD, list prices, without free tier ({table.origin})"
    for region, prices in sorted(table.regions.items()):
        yield region
        yield from (_line(price) for price in _prices(region, prices))
        for service, (as_of, source) in _dated(prices).items():
            yield from _wrapped(f"{service}, {as_of}: {source}")
        yield from (line for each in prices.unknown for line in _wrapped(f"not known: {prices.why_unknown(each)}"))


def _prices(region: str, prices: RegionPrices) -> Iterator[Price]:
    function, storage, logs = prices.function, prices.storage, prices.logs
    for architecture, tiers in function.gb_second_usd.items():
        for limit, usd in tiers:
            yield Price(region, "Lambda", "GB-second", architecture, limit, usd)
        ready, used = function.provisioned_gb_second_usd, function.provisioned_duration_gb_second_usd
        yield Price(region, "Lambda", "provisioned GB-second kept ready", architecture, None, ready[architecture])
        yield Price(region, "Lambda", "provisioned GB-second used", architecture, None, used[architecture])
        yield Price(region, "Lambda", "request", architecture, None, function.request_usd[architecture])
    others = {
        ("Lambda", "ephemeral storage above 512 MB, GB-second"): function.ephemeral_gb_second_usd,
        ("Lambda", "SnapStart cached, GB-second"): function.snapshot_cached_gb_second_usd,
        ("Lambda", "SnapStart restored, GB"): function.snapshot_restored_gb_usd,
        ("S3", "PUT, COPY, LIST"): storage.put_usd,
        ("S3", "GET"): storage.get_usd,
        ("S3", "stored, GB-month"): storage.gb_month_usd,
        ("CloudWatch", "logs taken in, GB"): logs.ingested_gb_usd,
        ("CloudWatch", "logs stored, GB-month"): logs.stored_gb_month_usd,
        ("SQS", "request"): prices.queue_request_usd,
    }
    yield from (Price(region, service, name, None, None, usd) for (service, name), usd in others.items())


def _dated(prices: RegionPrices) -> Mapping[str, tuple[str, str]]:
    """Service -> date and source of its prices."""
    function, storage, logs, queue = prices.function, prices.storage, prices.logs, prices.queue
    found = {
        "Lambda": (function.as_of, function.source),
        "S3": (storage.as_of, storage.source),
        "CloudWatch": (logs.as_of, logs.source),
    }
    return found | ({"SQS": (queue.as_of, queue.source)} if queue else {})


def _line(price: Price) -> str:
    architecture = f", {price.architecture}" if price.architecture else ""
    tier = f", up to {price.up_to_gb_s_month:.3g} GB-s a month" if price.up_to_gb_s_month else ""
    usd = "not known" if price.usd is None else f"{price.usd:.6g}"
    return f"  {price.service + ' ' + price.price + architecture + tier:{_NAME + 10}}{usd:>14}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
