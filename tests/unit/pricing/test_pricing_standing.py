"""What is paid for beside queries, against sums made by hand."""

import pytest

from serverless_mlperf.pricing.standing import (
    ephemeral_usd,
    logs_stored_usd,
    provisioned_duration_usd,
    provisioned_usd,
    snapshot_cached_usd,
    snapshot_restored_usd,
    stored_usd,
)
from serverless_mlperf.pricing.table import load_prices

VIRGINIA, IRELAND = (load_prices().region(name) for name in ("us-east-1", "eu-west-1"))


@pytest.mark.parametrize(("seconds", "billed_s"), [(1, 300), (300, 300), (301, 600), (3600, 3600), (0, 0)])
def test_provisioned_concurrency_is_billed_in_steps_of_five_minutes(seconds: float, billed_s: int) -> None:
    """Ten environments of 1,536 MB are 15 GB, at 4.1667e-6 USD a GB-second."""
    assert provisioned_usd(10, 1536, seconds, VIRGINIA, "x86_64") == pytest.approx(15 * billed_s * 4.1667e-6)


def test_two_hours_of_a_hundred_environments() -> None:
    """Ready and used have each their price.

    100 x 1 GB x 7,200 s = 720,000 GB-s x 4.1667e-6 = 3.00 USD ready; 1.2 million queries of 1 s are 1,200,000 GB-s x
    9.7222e-6 = 11.67 USD of duration, in place of 20.00 USD.
    """
    assert provisioned_usd(100, 1024, 7200, VIRGINIA, "x86_64") == pytest.approx(3.00, abs=0.001)
    one = provisioned_duration_usd(1000, 1024, VIRGINIA, "x86_64")
    assert one is not None
    assert 1_200_000 * one == pytest.approx(11.67, abs=0.005)


def test_snapshots_are_kept_for_three_hours_at_least() -> None:
    """2 GB: a minute costs as much as 10,800 s (2 x 10,800 x 1.5046e-6 = 0.0325), 4 h cost 2 x 14,400 x 1.5046e-6."""
    assert snapshot_cached_usd(2048, 60, VIRGINIA) == pytest.approx(0.03249936)
    assert snapshot_cached_usd(2048, 4 * 3600, VIRGINIA) == pytest.approx(0.04333248)
    assert snapshot_restored_usd(2048, 100, VIRGINIA) == pytest.approx(200 * 1.397998e-4)


def test_ephemeral_storage_is_free_up_to_512_mb() -> None:
    """10,240 MB are 9.5 GB above it: 9.5 x 0.1 s x 3.09e-8 = 2.9355e-8 USD a query."""
    assert ephemeral_usd(512, 100, VIRGINIA) == 0
    assert ephemeral_usd(10_240, 100, VIRGINIA) == pytest.approx(2.9355e-8)


def test_bytes_kept_cost_by_the_month() -> None:
    """100 GB: 2.30 USD in S3, 3.00 USD as logs."""
    assert stored_usd(100, VIRGINIA) == pytest.approx(2.30)
    assert logs_stored_usd(100, VIRGINIA) == pytest.approx(3.00)


def test_prices_that_are_not_known_give_none_and_nothing_gives_zero() -> None:
    """Ireland's arm64, snapshots and S3 storage are in no source; of nothing the price is known everywhere."""
    assert provisioned_usd(1, 1024, 300, IRELAND, "arm64") is None
    assert provisioned_duration_usd(100, 1024, IRELAND, "arm64") is None
    assert snapshot_cached_usd(1024, 1, IRELAND) is None
    assert snapshot_restored_usd(1024, 1, IRELAND) is None
    assert stored_usd(1, IRELAND) is None
    assert (provisioned_usd(0, 1024, 300, IRELAND, "arm64"), stored_usd(0, IRELAND)) == (0, 0)
