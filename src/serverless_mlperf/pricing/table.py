"""List prices by region, each group with its date and source: bundled, or read anew by `prices refresh`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
import json
from pathlib import Path
from typing import Any, Final, cast, get_args

from pydantic import TypeAdapter, ValidationError

from serverless_mlperf.cache import cache_section
from serverless_mlperf.errors import InputError
from serverless_mlperf.workloads import Architecture

SCHEMA: Final = 1
REFRESHED: Final = "prices.json"

Tier = tuple[float | None, float]
"""(GB-seconds a month up to which it holds, None: all above; USD per GB-second)."""
ByArchitecture = Mapping[Architecture, float | None]
NOT_LISTED: Final[ByArchitecture] = {"x86_64": None, "arm64": None}


@dataclass(frozen=True, slots=True)
class FunctionPrices:
    """AWS Lambda."""

    as_of: str
    """A date, or `undated`."""
    source: str
    request_usd: Mapping[Architecture, float]
    gb_second_usd: Mapping[Architecture, tuple[Tier, ...]]
    provisioned_gb_second_usd: ByArchitecture = field(default_factory=lambda: NOT_LISTED)
    """Of memory kept ready, used or not."""
    provisioned_duration_gb_second_usd: ByArchitecture = field(default_factory=lambda: NOT_LISTED)
    """Of queries that run in it: without tiers."""
    ephemeral_gb_second_usd: float | None = None
    """Of /tmp above 512 MB, while a query runs."""
    snapshot_cached_gb_second_usd: float | None = None
    """SnapStart: of a published version's memory, used or not."""
    snapshot_restored_gb_usd: float | None = None
    """SnapStart: of the memory, once per environment that starts."""

    def duration_usd(self, gb_seconds: float, architecture: Architecture) -> float:
        """Price of so many GB-seconds in one month, tier by tier; raises InputError beyond the tiers that are known."""
        total, floor = 0.0, 0.0
        for limit, price in self.gb_second_usd[architecture]:
            ceiling = gb_seconds if limit is None else min(limit, gb_seconds)
            total += max(0.0, ceiling - floor) * price
            if ceiling >= gb_seconds:
                return total
            floor = ceiling
        raise InputError(
            f"prices: {gb_seconds:.3g} GB-seconds a month are beyond the tiers known ({floor:.3g}); run prices refresh"
        )


@dataclass(frozen=True, slots=True)
class StoragePrices:
    """S3 requests: PUT, COPY and LIST cost the one, GET the other; DELETE is free."""

    as_of: str
    source: str
    put_usd: float
    get_usd: float
    gb_month_usd: float | None = None
    """Standard class, first tier."""


@dataclass(frozen=True, slots=True)
class LogPrices:
    """CloudWatch Logs."""

    as_of: str
    source: str
    ingested_gb_usd: float
    stored_gb_month_usd: float | None = None


@dataclass(frozen=True, slots=True)
class QueuePrices:
    """SQS, standard queues."""

    as_of: str
    source: str
    request_usd: float | None


@dataclass(frozen=True, slots=True)
class RegionPrices:
    """All prices of one region, in USD; one that is not known is None."""

    function: FunctionPrices
    storage: StoragePrices
    logs: LogPrices
    queue: QueuePrices | None = None
    unknown: Mapping[str, str] = field(default_factory=dict)
    """`group.price` -> why it is None."""

    @property
    def queue_request_usd(self) -> float | None:
        """Of one SQS request."""
        return None if self.queue is None else self.queue.request_usd

    def why_unknown(self, name: str) -> str:
        """Why the price `group.price` is None."""
        return f"{name}: {self.unknown.get(name, 'not in the prices in use; run prices refresh')}"


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices of the regions that are known."""

    schema: int
    regions: Mapping[str, RegionPrices]
    origin: str = "bundled"
    """Where it was read."""

    def region(self, name: str) -> RegionPrices:
        """The prices of a region; raises InputError."""
        try:
            return self.regions[name]
        except KeyError:
            known = ", ".join(sorted(self.regions))
            raise InputError(
                f"region {name}: no prices; choose one of {known}, or run prices refresh --region {name}"
            ) from None


_TABLE: Final = TypeAdapter(PriceTable)
_REGION: Final = TypeAdapter(RegionPrices)


def region_document(prices: RegionPrices) -> dict[str, Any]:
    """The prices of a region as JSON values, for what a result names."""
    document: dict[str, Any] = _REGION.dump_python(prices, mode="json")
    return document


def region_from(document: Any, where: str) -> RegionPrices:
    """Read `region_document` back; raises InputError naming `where` when it is damaged."""
    try:
        return _REGION.validate_python(document)
    except ValidationError as error:
        raise InputError(f"{where}: its prices are damaged ({error.errors()[0]['msg']})") from error


def architecture_of(name: str) -> Architecture:
    """The architecture of that name; raises InputError."""
    for known in get_args(Architecture):
        if name == known:
            return cast(Architecture, known)
    raise InputError(f"architecture {name}: give {' or '.join(get_args(Architecture))}")


def refreshed_path() -> Path:
    """Where `prices refresh` puts what it has read."""
    return cache_section("prices") / REFRESHED


def load_prices() -> PriceTable:
    """The bundled table with the regions that were read anew in place of theirs; raises InputError when damaged."""
    bundled = _parsed(resources.files(__package__).joinpath("prices.json").read_text(), "bundled")
    path = refreshed_path()
    if not path.exists():
        return bundled
    try:
        newer = _parsed(path.read_text(), str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); remove it, or run prices refresh") from error
    return PriceTable(SCHEMA, {**bundled.regions, **newer.regions}, newer.origin)


def table_json(regions: Mapping[str, RegionPrices]) -> str:
    """A table as text that `load_prices` reads."""
    document: dict[str, Any] = _TABLE.dump_python(PriceTable(SCHEMA, regions), mode="json")
    document.pop("origin")
    return json.dumps(document, indent=1) + "\n"


def _parsed(text: str, origin: str) -> PriceTable:
    try:
        table = _TABLE.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"prices {origin}: damaged at {where or 'the top'}; run prices refresh") from error
    if table.schema != SCHEMA:
        raise InputError(f"prices {origin}: schema {table.schema}, this version reads {SCHEMA}; run prices refresh")
    return PriceTable(table.schema, table.regions, origin)
