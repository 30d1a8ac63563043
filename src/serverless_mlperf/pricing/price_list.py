"""Reads AWS's public price list (bulk JSON, no credentials): the only source that AWS keeps for programs.

Format: docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/reading-service-price-list-file-for-services.html
"""

from collections.abc import Iterator, Mapping
import json
import re
from typing import Any, Final
import urllib.error
import urllib.request

from serverless_mlperf.errors import PlatformError
from serverless_mlperf.pricing.table import Architecture, FunctionPrices, LogPrices, RegionPrices, StoragePrices, Tier

PRICE_LIST_URL: Final = "https://pricing.us-east-1.amazonaws.com"
TIMEOUT_S: Final = 30
MAX_BYTES: Final = 64 << 20
"""A region's price list of S3 has a few MB."""
_SUFFIX: Final[Mapping[Architecture, str]] = {"x86_64": "", "arm64": "-ARM"}


def read_region(region: str, base_url: str = PRICE_LIST_URL) -> RegionPrices:
    """Present prices of a region; raises PlatformError when they cannot be had. Blocking: three downloads."""
    function, storage, logs = (
        _Offer(name, _download(f"{base_url}/offers/v1.0/aws/{name}/current/{region}/index.json"))
        for name in ("AWSLambda", "AmazonS3", "AmazonCloudWatch")
    )
    return RegionPrices(
        FunctionPrices(
            as_of=function.published,
            source=f"{function.name}, AWS price list",
            request_usd={arch: function.only(f"Request{end}") for arch, end in _SUFFIX.items()},
            gb_second_usd={arch: function.tiers(f"Lambda-GB-Second{end}") for arch, end in _SUFFIX.items()},
        ),
        StoragePrices(
            as_of=storage.published,
            source=f"{storage.name}, AWS price list",
            put_usd=storage.only("Requests-Tier1"),
            get_usd=storage.only("Requests-Tier2"),
        ),
        LogPrices(
            as_of=logs.published,
            source=f"{logs.name}, AWS price list",
            ingested_gb_usd=logs.only("DataProcessing-Bytes"),
        ),
    )


class _Offer:
    """One service's list: usage type -> price dimensions on demand."""

    def __init__(self, name: str, document: Mapping[str, Any]) -> None:
        self.name = name
        try:
            self.published = str(document["publicationDate"])[:10]
            self._dimensions = dict(_on_demand(document))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise PlatformError(f"price list of {name}: not in the known format ({error!r})") from error

    def tiers(self, usage: str) -> tuple[Tier, ...]:
        """The tiers of a usage type, in order; it has the region's prefix, as in `EU-Request`, or none (us-east-1)."""
        names = [name for name in self._dimensions if re.fullmatch(f"([A-Z0-9]+-)?{usage}", name)]
        if len(names) != 1:
            found = ", ".join(sorted(names)) or "none"
            raise PlatformError(f"price list of {self.name}: one usage type {usage} expected, found {found}")
        return self._dimensions[names[0]]

    def only(self, usage: str) -> float:
        """The price of the first tier."""
        return self.tiers(usage)[0][1]


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
