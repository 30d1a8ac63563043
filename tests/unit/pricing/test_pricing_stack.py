"""The price of a stack against sums made by hand."""

import pytest

from serverless_mlperf.pricing.stack import StackFunction, estimate_stack
from serverless_mlperf.pricing.table import load_prices

VIRGINIA, IRELAND = (load_prices().region(name) for name in ("us-east-1", "eu-west-1"))


def test_an_idle_stack_costs_what_stands_ready() -> None:
    """Two environments of 1 GB for 730 h: 2 x 2,628,000 s x 4.1667e-6 = 21.90 USD; 1 GB in S3 is 0.023 USD."""
    found = estimate_stack(VIRGINIA, [StackFunction(1024, provisioned=2), StackFunction(3008)], 0, stored_bytes=10**9)
    assert {item.name: item.month_usd for item in found.idle} == {
        "provisioned concurrency": pytest.approx(21.9001752),
        "SnapStart": 0,
        "S3 storage": pytest.approx(0.023),
        "queues, functions, roles": 0,
        "logs": 0,
    }
    assert found.idle_month_usd == pytest.approx(21.9231752)
    assert found.idle_hour_usd == pytest.approx(21.9231752 / 730)
    assert (found.run_low_usd, found.run_high_usd, found.unknown) == (0, 0, ())


def test_a_run_costs_between_its_bounds() -> None:
    """1,000 queries at 1,024 MB by an image inline: 10 ms are 1.66667e-7 USD, 100 ms 1.66667e-6; the rest is fixed.

    Fixed: 2.0e-7 for the request and the logs of an invocation.
    """
    low, high = (
        estimate_stack(VIRGINIA, [StackFunction(1024)], 1000, "invoke", billed_ms=(ms, ms)).run_low_usd
        for ms in (10, 100)
    )
    assert high - low == pytest.approx(1000 * (1.66667e-6 - 1.66667e-7))
    assert low == pytest.approx(1000 * (1.66667e-7 + 2e-7 + 0.168e-6), rel=0.02)
    both = estimate_stack(VIRGINIA, [StackFunction(1024)] * 24, 1000, "invoke", billed_ms=(10, 100))
    assert [both.run_low_usd, both.run_high_usd] == pytest.approx([24 * low, 24 * high])


def test_arm_and_snapshots_and_tmp_count() -> None:
    """A fifth cheaper per GB-second; a snapshot of 1 GB for a month is 2,628,000 x 1.5046e-6 = 3.95 USD."""
    x86, arm = (
        estimate_stack(VIRGINIA, [StackFunction(1024, kind)], 1, "invoke", billed_ms=(1000, 1000)).run_low_usd
        for kind in ("x86_64", "arm64")
    )
    assert x86 - arm == pytest.approx(1.66667e-5 - 1.33334e-5)
    large = StackFunction(1024, snapstart=True, ephemeral_mib=1536)
    found = estimate_stack(VIRGINIA, [large], 1, "invoke", billed_ms=(1000, 1000))
    assert found.run_low_usd - x86 == pytest.approx(3.09e-8)
    assert {item.name: item.month_usd for item in found.idle}["SnapStart"] == pytest.approx(3.9540888)


def test_what_is_not_known_is_said() -> None:
    """Ireland: None with its reason, no 0; the sums are called incomplete."""
    found = estimate_stack(IRELAND, [StackFunction(1024, "arm64", provisioned=1)], 10, stored_bytes=10**6)
    assert {item.name for item in found.idle if item.month_usd is None} == {"provisioned concurrency", "S3 storage"}
    assert found.unknown == (
        "function.provisioned_gb_second_usd.arm64: no source found for this region; run prices refresh",
        "storage.gb_month_usd: the sources found contradict each other or are of 2017; run prices refresh",
    )
    lines = list(found.lines())
    assert lines[0].endswith("USD a month, without what is not known")
    assert any("without the completion queue: queue.request_usd: no source" in line for line in lines)
    assert all("estimated" in line for line in lines if not line.startswith("  "))
