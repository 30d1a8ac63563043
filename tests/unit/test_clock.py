"""Clocks of environments against the client's."""

from hypothesis import given
from hypothesis import strategies as st

from serverless_mlperf.clock import ClockOffset, Exchange, estimate_offsets

DELAYS = st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1)


def exchange(offset: int, there: int, inside: int, back: int, begun: int = 10**12, name: str = "e") -> Exchange:
    """A query whose way took so long in either direction, seen by a clock that is ahead by the offset."""
    start = begun + there + offset
    return Exchange(name, begun, start, start + inside, begun + there + inside + back)


@given(st.integers(-(10**10), 10**10), DELAYS)
def test_interval_holds_the_offset(offset: int, delays: list[tuple[int, int, int]]) -> None:
    """Whatever the delays: the true offset is within the uncertainty of the estimate, and a correction has its sign."""
    found = estimate_offsets([exchange(offset, *each, begun=n * 10**10) for n, each in enumerate(delays)])["e"]
    assert found.low_ns <= offset <= found.high_ns
    assert found.estimate_ns is not None
    assert found.uncertainty_ns is not None
    assert abs(found.estimate_ns - offset) <= found.uncertainty_ns
    assert not found.significant or found.correction_ns * offset > 0


def test_least_delays_decide() -> None:
    """One quick way in each direction, of two different queries, gives the bounds."""
    found = estimate_offsets([exchange(500, 10, 7, 900), exchange(500, 800, 7, 20)])["e"]
    assert found == ClockOffset("e", 2, 480, 510)
    assert (found.estimate_ns, found.uncertainty_ns, found.correction_ns) == (495, 15, 495)


def test_what_may_be_nothing_is_not_corrected() -> None:
    """On one host the interval holds 0."""
    found = estimate_offsets([exchange(0, 10, 7, 90)])["e"]
    assert (found.low_ns, found.high_ns, found.significant, found.correction_ns) == (-90, 10, False, 0)


def test_odd_intervals_round_outwards() -> None:
    """The uncertainty covers both ends."""
    found = ClockOffset("e", 1, 0, 3)
    assert (found.estimate_ns, found.uncertainty_ns) == (1, 2)


def test_clock_that_was_set_has_no_offset() -> None:
    """No one offset explains both queries: nothing is estimated and nothing corrected."""
    found = estimate_offsets([exchange(10_000, 10, 7, 10), exchange(-10_000, 10, 7, 10)])["e"]
    assert (found.consistent, found.estimate_ns, found.uncertainty_ns, found.correction_ns) == (False, None, None, 0)


def test_environments_are_apart() -> None:
    """Each has a clock of its own."""
    found = estimate_offsets([exchange(900, 1, 1, 1, name="a"), exchange(-900, 1, 1, 1, name="b")])
    assert [found[name].correction_ns for name in "ab"] == [900, -900]
