"""Reads AWS's public price list (bulk JSON, no credentials): the only source that AWS keeps for programs.

Format: docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/reading-service-price-list-file-for-services.html
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
import json
import re
from typing import Any, Final
import urllib.error
import urllib.request

from serverless_mlperf.errors import PlatformError
from serverless_mlperf.pricing.table import (
    ByArchitecture,
    FunctionPrices,
    LogPrices,
    QueuePrices,
    RegionPrices,
    StoragePrices,
    Tier,
)
from serverless_mlperf.workloads import Architecture

PRICE_LIST_URL: Final = "https://pricing.us-east-1.amazonaws.com"
TIMEOUT_S: Final = 30
_PREFIX: Final = "([A-Z0-9]+-)?"
"""Of a region, as in `EU-Request`; none in us-east-1, as a rule."""
MAX_BYTES: Final = 64 << 20
"""A region's price list of S3 has a few MB."""
_SUFFIX: Final[Mapping[Architecture, str]] = {"x86_64": "", "arm64": "-ARM"}
_QUEUE_REQUEST: Final = "Requests-(RBP|Tier1)"
"""Standard queues: the one name in us-east-1, the other elsewhere."""


def read_region(region: str, base_url: str = PRICE_LIST_URL) -> RegionPrices:
    """Present prices of a region; raises PlatformError when they cannot be had. Blocking: four downloads."""
    function, storage, logs, queue = (
        _Offer(name, _download(f"{base_url}/offers/v1.0/aws/{name}/current/{region}/index.json"))
        for name in ("AWSLambda", "AmazonS3", "AmazonCloudWatch", "AWSQueueService")
    )
    read = RegionPrices(_function(function), _storage(storage), _logs(logs), _queue(queue))
    unknown = {name: reason for each in (function, storage, logs, queue) for name, reason in each.unknown.items()}
    return replace(read, unknown=unknown)


def _function(offer: "_Offer") -> FunctionPrices:
    def by_architecture(usage: str, name: str) -> ByArchitecture:
        return {arch: offer.maybe(f"{usage}{end}", f"function.{name}.{arch}") for arch, end in _SUFFIX.items()}

    return FunctionPrices(
        **offer.origin,
        request_usd={arch: offer.only(f"Request{end}") for arch, end in _SUFFIX.items()},
        gb_second_usd={arch: offer.tiers(f"Lambda-GB-Second{end}") for arch, end in _SUFFIX.items()},
        provisioned_gb_second_usd=by_architecture("Lambda-Provisioned-Concurrency", "provisioned_gb_second_usd"),
        provisioned_duration_gb_second_usd=by_architecture(
            "Lambda-Provisioned-GB-Second", "provisioned_duration_gb_second_usd"
        ),
        ephemeral_gb_second_usd=offer.maybe("Lambda-Storage-GB-Second", "function.ephemeral_gb_second_usd"),
        snapshot_cached_gb_second_usd=offer.maybe(
            "Lambda-SnapStart-Cached-GB-S", "function.snapshot_cached_gb_second_usd"
        ),
        snapshot_restored_gb_usd=offer.maybe("Lambda-SnapStart-Restored-GB", "function.snapshot_restored_gb_usd"),
    )


def _storage(offer: "_Offer") -> StoragePrices:
    return StoragePrices(
        **offer.origin,
        put_usd=offer.only("Requests-Tier1"),
        get_usd=offer.only("Requests-Tier2"),
        gb_month_usd=offer.maybe("TimedStorage-ByteHrs", "storage.gb_month_usd"),
    )


def _logs(offer: "_Offer") -> LogPrices:
    return LogPrices(
        **offer.origin,
        ingested_gb_usd=offer.only("DataProcessing-Bytes"),
        stored_gb_month_usd=offer.maybe("TimedStorage-ByteHrs", "logs.stored_gb_month_usd"),
    )


def _queue(offer: "_Offer") -> QueuePrices:
    return QueuePrices(**offer.origin, request_usd=offer.maybe(_QUEUE_REQUEST, "queue.request_usd"))


class _Offer:
    """One service's list: usage type -> price dimensions on demand."""

    def __init__(self, name: str, document: Mapping[str, Any]) -> None:
        self.name = name
        self.unknown: dict[str, str] = {}
        """Price -> why it is None."""
        try:
            self.published = str(document["publicationDate"])[:10]
            self._dimensions = dict(_on_demand(document))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise PlatformError(f"price list of {name}: not in the known format ({error!r})") from error

    @property
    def origin(self) -> dict[str, str]:
        """Date and source of what was read."""
        return {"as_of": self.published, "source": f"{self.name}, AWS price list"}

    def tiers(self, usage: str) -> tuple[Tier, ...]:
        """The tiers of a usage type, in order; it has the region's prefix, as in `EU-Request`, or none (us-east-1)."""
        names = [name for name in self._dimensions if re.fullmatch(_PREFIX + usage, name)]
        if len(names) != 1:
            found = ", ".join(sorted(names)) or "none"
            raise PlatformError(f"price list of {self.name}: one usage type {usage} expected, found {found}")
        return self._dimensions[names[0]]

    def only(self, usage: str) -> float:
        """The price of the first tier."""
        return self.tiers(usage)[0][1]

    def maybe(self, usage: str, price: str) -> float | None:
        """The same of what not every region sells: None, and why, where it is not in the list."""
        if not any(re.fullmatch(_PREFIX + usage, name) for name in self._dimensions):
            self.unknown[price] = f"no usage type {usage} in the price list of {self.name} of {self.published}"
            return None
        return self.only(usage)


def _on_demand(document: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Tier, ...]]]:
    """Usage type -> tiers; several products of one usage type must have the same prices, or the type is left out."""
    prices: dict[str, set[tuple[Tier, ...]]] = {}
    terms = document["terms"]["OnDemand"]
    for sku, product in document["products"].items():
        for term in terms.get(sku, {}).values():
            name = product["attributes"]["usagetype"]
            prices.setdefault(name, set()).add(_tiers(term["priceDimensions"].values()))
    yield from ((name, found.pop()) for name, found in prices.items() if len(found) == 1)


def _tiers(dimensions: Any) -> tuple[Tier, ...]:
    """(end of the range, USD), without the ranges that are free."""
    ranges = sorted((float(d["beginRange"]), d["endRange"], float(d["pricePerUnit"]["USD"])) for d in dimensions)
    return tuple((None if end == "Inf" else float(end), usd) for _, end, usd in ranges if usd > 0)


def _download(url: str) -> Mapping[str, Any]:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - https, or a test's own http
            text = answer.read(MAX_BYTES + 1)
        document = json.loads(text) if len(text) <= MAX_BYTES else None
    except (OSError, ValueError, RecursionError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise PlatformError(f"{url}: cannot be read ({reason}); the prices in use stay as they are") from error
    if not isinstance(document, dict):
        raise PlatformError(f"{url}: no price list; the prices in use stay as they are")
    return document
