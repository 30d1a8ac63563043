"""What is paid for beside queries: memory kept ready, snapshots, /tmp above its free part, bytes kept: pure.

A price that is not known makes the sum None; `RegionPrices.why_unknown` has the reason.
"""

import math
from typing import Final

from serverless_mlperf.pricing.cost import MIB_PER_GB
from serverless_mlperf.pricing.table import RegionPrices
from serverless_mlperf.workloads import Architecture

PROVISIONED_STEP_S: Final = 300
"""Provisioned concurrency is billed in steps of five minutes (aws.amazon.com/lambda/pricing)."""
SNAPSHOT_LEAST_S: Final = 3 * 3600
"""A cached snapshot is billed for three hours at least (lambda/latest/dg/snapstart.html)."""
FREE_EPHEMERAL_MIB: Final = 512
HOURS_PER_MONTH: Final = 730
"""As AWS's own calculator counts."""


def provisioned_usd(
    environments: int, memory_mib: int, seconds: float, prices: RegionPrices, architecture: Architecture
) -> float | None:
    """So many environments kept ready for so long, whether they are used or not."""
    price = prices.function.provisioned_gb_second_usd[architecture]
    billed_s = math.ceil(seconds / PROVISIONED_STEP_S) * PROVISIONED_STEP_S
    return _times(environments * memory_mib / MIB_PER_GB * billed_s, price)


def provisioned_duration_usd(
    billed_ms: float, memory_mib: int, prices: RegionPrices, architecture: Architecture
) -> float | None:
    """The duration of one query that a provisioned environment serves: in place of the usual price."""
    price = prices.function.provisioned_duration_gb_second_usd[architecture]
    return _times(memory_mib / MIB_PER_GB * billed_ms / 1000, price)


def snapshot_cached_usd(memory_mib: int, seconds: float, prices: RegionPrices) -> float | None:
    """One published version's snapshot, kept for so long."""
    billed_s = max(SNAPSHOT_LEAST_S, seconds)
    return _times(memory_mib / MIB_PER_GB * billed_s, prices.function.snapshot_cached_gb_second_usd)


def snapshot_restored_usd(memory_mib: int, restores: int, prices: RegionPrices) -> float | None:
    """So many environments started from a snapshot."""
    return _times(restores * memory_mib / MIB_PER_GB, prices.function.snapshot_restored_gb_usd)


def ephemeral_usd(ephemeral_mib: int, billed_ms: float, prices: RegionPrices) -> float | None:
    """The /tmp of one query above the part that is free."""
    above_gb = max(0, ephemeral_mib - FREE_EPHEMERAL_MIB) / MIB_PER_GB
    return _times(above_gb * billed_ms / 1000, prices.function.ephemeral_gb_second_usd)


def stored_usd(gigabytes: float, prices: RegionPrices) -> float | None:
    """Objects in S3 for a month."""
    return _times(gigabytes, prices.storage.gb_month_usd)


def logs_stored_usd(gigabytes: float, prices: RegionPrices) -> float | None:
    """Logs kept for a month, as CloudWatch has them, compressed."""
    return _times(gigabytes, prices.logs.stored_gb_month_usd)


def _times(quantity: float, price_usd: float | None) -> float | None:
    """None only where something is to be paid for and its price is not known."""
    if not quantity:
        return 0.0
    return None if price_usd is None else quantity * price_usd
