"""The ledger in a results folder, and what may be paid from it."""

from pathlib import Path

import pytest

from serverless_mlperf.budget import Budget, Rate, Spending
from serverless_mlperf.errors import BudgetError, HostError
from serverless_mlperf.estimate import Estimate
from serverless_mlperf.platforms.base import Report
from serverless_mlperf.spending import LEDGER, Ledger, Purse

RATE = Rate(request_usd=0.0, ms_usd=0.001, most_ms=100, init_ms=0)
RUN = Estimate(Spending(10, 0.1, 5), Spending(50, 5.0, 60))


def purse(folder: Path, now_s: list[float] | None = None, **bounds: float) -> Purse:
    """With a clock of the test's own."""
    clock = now_s or [0.0]
    return Purse(folder, Budget(**bounds), lambda: clock[0])  # type: ignore[arg-type]


def be_killed(mine: Purse) -> None:
    """A run of which nothing is known."""
    with mine.paying("a", RUN, RATE) as payment:
        payment.settle([], None)
        raise RuntimeError("killed")


def test_a_run_is_paid_by_what_it_took(tmp_path: Path) -> None:
    """12 queries, of which the platform has told of two: 30 ms; ten are taken for 100 ms each."""
    mine = purse(tmp_path)
    with mine.paying("a", RUN, RATE) as payment:
        assert Ledger(tmp_path / LEDGER).total() == Spending(50, 5.0)
        payment.settle([Report("1", 9.5, 10, None, 1, 1), Report("2", 19.5, 20, None, 1, 1)], 12)
    assert mine.spent.queries == 12
    assert mine.spent.usd == pytest.approx(0.03 + 1.0)


def test_a_run_that_was_killed_counts_with_the_most(tmp_path: Path) -> None:
    """Also one that failed without a word of what it sent; never more than was left."""
    mine = purse(tmp_path, queries=70)
    for held in (50, 70):
        with pytest.raises(RuntimeError, match="killed"):
            be_killed(mine)
        assert purse(tmp_path).spent.queries == held


def test_nothing_is_begun_that_the_rest_cannot_pay(tmp_path: Path) -> None:
    """The least of a run must be left; nothing is noted then."""
    mine = purse(tmp_path, queries=19)
    with mine.paying("a", RUN, RATE) as payment:
        payment.settle([], 10)
    with pytest.raises(BudgetError) as caught, mine.paying("cell x, a run", RUN, RATE):
        raise AssertionError("begun all the same")
    assert str(caught.value) == (
        "--max-queries 19: 10 sent, 10 more asked for cell x, a run (estimated); raise it and go on with run --resume"
    )
    assert Ledger(tmp_path / LEDGER).total().queries == 10


def test_a_resumed_experiment_goes_on_counting_but_its_minutes_begin_anew(tmp_path: Path) -> None:
    """Queries and money are the folder's, minutes the call's."""
    now_s = [100.0]
    first = purse(tmp_path, now_s, minutes=1)
    with first.paying("a", RUN, RATE) as payment:
        assert payment.allowance.spent == Spending()
        now_s[0] = 156.0
        payment.settle([], 10)
    assert (first.spent.queries, first.spent.seconds) == (10, 56.0)
    with pytest.raises(BudgetError, match=r"--max-minutes 1: 0.93 taken, 0.08 more asked"):
        first.paying("b", RUN, RATE).__enter__()
    again = purse(tmp_path, now_s, minutes=1).spent
    assert (again.queries, again.seconds) == (10, 0.0)
    assert again.usd == pytest.approx(1.0)


def test_a_line_that_a_crash_has_cut_spoils_no_other(tmp_path: Path) -> None:
    """What was held before it stands."""
    ledger = Ledger(tmp_path / LEDGER)
    ledger.note("a", Spending(50, 5.0))
    text = ledger.path.read_text()
    ledger.path.write_text(text + '\n{"for": "a", "queries": -4')
    assert ledger.total() == Spending(50, 5.0)
    ledger.note("b", Spending(1, 0.5))
    assert ledger.total() == Spending(51, 5.5)


def test_a_ledger_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Before anything is sent."""
    with pytest.raises(HostError, match=r"spending.jsonl: cannot be written"):
        purse(tmp_path / "missing").paying("a", RUN, RATE).__enter__()
