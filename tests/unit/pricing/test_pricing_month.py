"""A month of one function, part by part, by hand."""

from dataclasses import replace

import pytest

from serverless_mlperf.pricing.cost import REQUESTS
from serverless_mlperf.pricing.month import MonthUse, month_parts
from serverless_mlperf.pricing.table import load_prices

VIRGINIA, IRELAND = (load_prices().region(name) for name in ("us-east-1", "eu-west-1"))
USE = MonthUse(1_000_000, 100, 1024, ephemeral_mib=512, provisioned=0, snapshots=0, restores=0, hours=1)
INLINE = REQUESTS["invoke", "inline"]


def test_parts_that_are_not_used_cost_nothing() -> None:
    """A million queries of 100 ms at 1 GB: 100,000 GB-s x 1.66667e-5 = 1.66667 USD; and 0.20 USD of requests."""
    parts, unknown = month_parts(USE, INLINE, VIRGINIA, "x86_64")
    assert parts["duration_usd"] == pytest.approx(1.66667)
    assert parts["request_usd"] == pytest.approx(0.20)
    assert [parts[f"{name}_usd"] for name in ("ephemeral", "provisioned", "snapshots", "restores", "queue")] == [0] * 5
    assert unknown == []


def test_provisioned_queries_have_a_price_of_their_own() -> None:
    """100,000 GB-s x 9.7222e-6 = 0.97222 USD; two kept ready for an hour: 2 x 3,600 x 4.1667e-6 = 0.03000024 USD."""
    parts, _ = month_parts(replace(USE, provisioned=2), INLINE, VIRGINIA, "x86_64")
    assert parts["duration_usd"] == pytest.approx(0.97222)
    assert parts["provisioned_usd"] == pytest.approx(0.03000024)


def test_snapshots_and_ephemeral_storage_are_parts() -> None:
    """Two versions for three hours at least, ten restores of 1 GB; 0.5 GB of /tmp: 50,000 GB-s x 3.09e-8."""
    parts, _ = month_parts(replace(USE, snapshots=2, restores=10, ephemeral_mib=1024), INLINE, VIRGINIA, "x86_64")
    assert parts["snapshots_usd"] == pytest.approx(2 * 10_800 * 1.5046e-6)
    assert parts["restores_usd"] == pytest.approx(10 * 1.397998e-4)
    assert parts["ephemeral_usd"] == pytest.approx(50_000 * 3.09e-8)


def test_parts_that_are_not_known_are_none_and_named() -> None:
    """Of arm64 in Ireland, by S3: the queue, what is provisioned, and snapshots."""
    use = replace(USE, provisioned=1, snapshots=1, restores=1)
    parts, unknown = month_parts(use, REQUESTS["s3", None], IRELAND, "arm64")
    names = {name for name, usd in parts.items() if usd is None}
    assert names == {"duration_usd", "queue_usd", "provisioned_usd", "snapshots_usd", "restores_usd"}
    assert len(unknown) == len(names)
    assert all("no source found" in reason for reason in unknown)
