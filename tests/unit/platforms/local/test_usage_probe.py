"""The server's own usage: which samples count, and that they take no more memory than they may."""

import pytest

from serverless_mlperf.platforms.local.gateway.usage_probe import UsageProbe

NOTHING = {"cpu_ns": None, "loop_lag_p99_ns": None, "loop_lag_max_ns": None}


@pytest.mark.parametrize("count", [5, 10, 14, 20, 23])
def test_last_samples_count(count: int) -> None:
    """Ten are kept, the last ones, also when their place has been taken several times."""
    probe = UsageProbe(kept=10)
    for number in range(count):
        probe.note(number * 10, number, number * 3)
    first = max(0, count - 10)
    assert probe.window(0, 10_000) == {
        "cpu_ns": (count - 1 - first) * 3,
        "loop_lag_p99_ns": sorted(range(first, count))[int((count - first) * 0.99)],
        "loop_lag_max_ns": count - 1,
    }


def test_only_samples_inside_the_window_count() -> None:
    """Both ends belong to it; one sample alone says nothing."""
    probe = UsageProbe(kept=10)
    for number in range(10):
        probe.note(number * 10, 100 - number, number)
    assert probe.window(20, 50) == {"cpu_ns": 3, "loop_lag_p99_ns": 98, "loop_lag_max_ns": 98}
    assert probe.window(21, 39) == NOTHING
    assert probe.window(500, 600) == NOTHING
    assert UsageProbe().window(0, 10**18) == NOTHING
