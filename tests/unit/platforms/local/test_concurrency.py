"""Lambda's limits on what runs at once, as arithmetic."""

import pytest

from serverless_mlperf.platforms.local.concurrency import (
    ACCOUNT_RATE,
    RESERVED,
    RESERVED_RATE,
    SCALING,
    UNRESERVED,
    Concurrency,
)
from serverless_mlperf.platforms.local.model import ThrottledError


def test_reserved_and_unreserved_concurrency_do_not_mix() -> None:
    """What one function has reserved is its own and nobody else's; the rest is shared."""
    limits = Concurrency(lambda: 0.0, account=10)
    limits.reserve("own", 4)
    assert (limits.limit("own"), limits.limit("a"), limits.limit("b")) == (4, 6, 6)
    for name in ("own", "own", "a", "a", "a", "b", "b"):
        limits.check(name)
        limits.take(name)
    assert (limits.under_way("own"), limits.under_way("a"), limits.under_way("b")) == (2, 5, 5)
    limits.take("a")
    with pytest.raises(ThrottledError) as refused:
        limits.check("b")
    assert refused.value.reason == UNRESERVED
    limits.check("own")
    limits.give_back("a")
    limits.check("b")


def test_a_full_reservation_has_its_own_reason() -> None:
    """The reserved concurrency in use is told apart from the account's; one of 0 is hopeless."""
    limits = Concurrency(lambda: 0.0)
    limits.reserve("f", 1)
    limits.take("f")
    with pytest.raises(ThrottledError) as refused:
        limits.check("f")
    assert (refused.value.reason, refused.value.hopeless) == (RESERVED, False)
    limits.reserve("f", 0)
    with pytest.raises(ThrottledError) as refused:
        limits.check("f")
    assert refused.value.hopeless
    limits.reserve("f", None)
    limits.check("f")


def test_environments_are_refilled_all_the_time_and_never_saved_up() -> None:
    """1,000 at once, then 100 a second; after a long rest 1,000 again, of each function."""
    now_s = 0.0
    limits = Concurrency(lambda: now_s)

    def start() -> int:
        """As many as may be started now."""
        for started in range(5000):
            try:
                limits.grow("f")
            except ThrottledError:
                return started
        return 5000

    assert start() == 1000
    limits.grow("another")
    now_s = 1.0
    assert start() == 100
    now_s = 1.005
    assert start() == 0
    now_s = 1.01
    assert start() == 1
    now_s = 5000.0
    assert start() == 1000
    with pytest.raises(ThrottledError) as refused:
        limits.grow("f")
    assert refused.value.reason == SCALING


def test_requests_a_second_are_ten_times_the_concurrency() -> None:
    """A second's worth at once, then ten a second for each unit: of the account, and of a reservation."""
    now_s = 0.0
    limits = Concurrency(lambda: now_s, account=200)
    limits.reserve("own", 5)

    def taken(name: str) -> tuple[int, str]:
        """Requests that are let pass now, and why no more."""
        for passed in range(5000):
            try:
                limits.request(name)
            except ThrottledError as error:
                return passed, error.reason
        return 5000, ""

    assert taken("own") == (50, RESERVED_RATE)
    assert taken("any") == (1950, ACCOUNT_RATE)
    now_s = 0.1
    assert taken("own") == (5, RESERVED_RATE)
    assert taken("any") == (195, ACCOUNT_RATE)
    assert taken("own") == (0, RESERVED_RATE)
    now_s = 60.0
    assert taken("any") == (2000, ACCOUNT_RATE)
    assert taken("own") == (0, ACCOUNT_RATE)


def test_a_new_reservation_has_a_rate_of_its_own() -> None:
    """Set anew, the rate is the new number's at the next refill; without one only the account's is left."""
    now_s = 0.0
    limits = Concurrency(lambda: now_s)
    limits.reserve("f", 1)
    for _ in range(10):
        limits.request("f")
    limits.reserve("f", 2)
    with pytest.raises(ThrottledError) as refused:
        limits.request("f")
    assert refused.value.reason == RESERVED_RATE
    now_s = 0.05
    limits.request("f")
    limits.reserve("f", None)
    for _ in range(100):
        limits.request("f")
    limits.reserve("f", 1)
    limits.request("f")
