"""What a run may send: counted before it is sent; and whole runs that a bound stops, in their own process."""

import base64
from pathlib import Path
from typing import Any

from mlperf_specs import fake_spec
import pytest

from serverless_mlperf.budget import Allowance, Budget, Rate, Spending
from serverless_mlperf.mlperf.launch import run_process
from serverless_mlperf.mlperf.meter import Meter
from serverless_mlperf.mlperf.spec import Scenario, dump_spec, load_result, load_spec
from serverless_mlperf.mlperf.verdict import verdict
from serverless_mlperf.records import read_records
from serverless_mlperf.transports.base import Reply

RATE = Rate(request_usd=2e-7, ms_usd=1e-8, most_ms=480, init_ms=1000)
"""A query costs at most 5e-6 USD, a first one 15e-6."""


def allowance(spent: Spending = Spending(), **bounds: Any) -> Allowance:  # noqa: B008 - immutable
    """With some bounds."""
    return Allowance(Budget(**bounds), spent, RATE)


def answer(key: str, billed_ms: int) -> Reply:
    """A result with the platform's word beside it."""
    line = (
        f"REPORT RequestId: {key}\tDuration: {billed_ms}.00 ms\tBilled Duration: {billed_ms} ms\t"
        "Memory Size: 1024 MB\tMax Memory Used: 100 MB\t\n"
    )
    return Reply(key, ok=True, log_result=base64.b64encode(line.encode()).decode())


def test_queries_are_let_through_up_to_the_bound() -> None:
    """The experiment's earlier ones count; after the first refusal none is let through."""
    meter = Meter(allowance(Spending(7), queries=10), environments=1)
    assert [meter.admit(str(n)) for n in range(5)] == [True, True, True, False, False]
    assert (meter.sent, meter.refused) == (3, "--max-queries 10: 10 sent, 1 more asked")


def test_without_a_bound_all_are_counted() -> None:
    """Whether there is an allowance or not."""
    for each in (None, allowance()):
        meter = Meter(each, environments=1)
        assert all(meter.admit(str(n)) for n in range(1000))
        assert (meter.sent, meter.refused) == (1000, None)


def test_queries_cost_the_most_until_the_platform_has_spoken() -> None:
    """15e-6 for the first and 5e-6 for the second are 20e-6; billed 30 ms each they are 1e-6, and 3 more fit."""
    meter = Meter(allowance(usd=20.5e-6), environments=1)
    assert [meter.admit("a"), meter.admit("b")] == [True, True]
    meter.note(answer("a", 30))
    meter.note(answer("b", 30))
    meter.note(answer("b", 30))  # a second result of one query changes nothing
    assert [meter.admit(str(n)) for n in range(5)] == [True, True, True, False, False]
    assert meter.refused == "--max-usd 2.05e-05: 0.00001600 USD spent at list prices, 0.00000500 USD more asked"


def test_a_platform_that_says_nothing_costs_the_most() -> None:
    """Results alone give nothing back."""
    meter = Meter(allowance(usd=20.5e-6), environments=1)
    assert [meter.admit("a"), meter.admit("b")] == [True, True]
    meter.note(Reply("a", ok=True))
    assert not meter.admit("c")


def test_time_is_up_when_it_is_up() -> None:
    """Counted from when the run began, on top of what was taken before."""
    now = [100.0]
    meter = Meter(allowance(Spending(seconds=30), minutes=1), environments=1, clock_s=lambda: now[0])
    now[0] = 129.9
    assert meter.admit("a")
    now[0] = 130.0
    assert not meter.admit("b")
    assert meter.refused == "--max-minutes 1: 1.00 taken, 0.00 more asked"


def test_an_allowance_travels_with_the_run(tmp_path: Path) -> None:
    """As JSON, whole."""
    spec = fake_spec(tmp_path, allowance=allowance(Spending(1, 2.0, 3.0), queries=10, usd=4.0, minutes=5.0))
    assert load_spec(dump_spec(spec)) == spec


@pytest.mark.parametrize("scenario", ["SingleStream", "MultiStream", "Server", "Offline"])
def test_a_run_ends_at_its_bound_whatever_the_scenario(tmp_path: Path, scenario: Scenario) -> None:
    """Exactly so many queries are sent; all of them end, are recorded, and the run is INVALID for that."""
    bound = 40
    spec = fake_spec(tmp_path, scenario=scenario, target_qps=200.0, allowance=allowance(queries=bound), query_count=100)
    result = run_process(spec, lambda _: None)
    records = list(read_records(tmp_path / "queries.jsonl"))
    assert result.sent == bound
    assert (result.warmup_queries + len(records), result.ok) == (bound, len(records))
    assert result.unfinished == result.issued - len(records) > 0
    # A busy host may have been too slow beside.
    (reason,) = [each for each in verdict(result).reasons if not each.transient]
    assert reason.code == "budget"
    assert reason.evidence == (
        f"--max-queries 40: 40 sent, 1 more asked; {result.unfinished} of {result.issued} queries were not sent"
    )
    assert load_result((tmp_path / "driver.json").read_bytes()) == result


def test_a_run_may_end_in_its_warm_up(tmp_path: Path) -> None:
    """Nothing is measured then, and that is said."""
    result = run_process(fake_spec(tmp_path, allowance=allowance(queries=3)), lambda _: None)
    assert (result.sent, result.warmup_queries, result.issued) == (3, 3, 0)
    assert list(read_records(tmp_path / "queries.jsonl")) == []
    assert [reason.code for reason in verdict(result).reasons] == ["budget"]


def test_what_the_platform_says_counts_at_once(tmp_path: Path) -> None:
    """Billed 30 ms a query costs 0.5e-6: a hundred and the warm-up fit into what would do for 20 at the most."""
    fake = {"billed_ms": 30}
    told = fake_spec(tmp_path / "a", allowance=allowance(usd=100e-6), scenario="SingleStream", fake=fake)
    silent = fake_spec(tmp_path / "b", allowance=allowance(usd=100e-6), scenario="SingleStream")
    assert run_process(told, lambda _: None).budget is None
    assert run_process(silent, lambda _: None).sent == 2 + (100 - 2 * 15) // 5


def test_a_bound_that_is_not_reached_changes_nothing(tmp_path: Path) -> None:
    """The run is VALID, and all that was sent is counted."""
    result = run_process(fake_spec(tmp_path, allowance=allowance(queries=1000, usd=1.0, minutes=10)), lambda _: None)
    assert verdict(result).valid
    assert (result.budget, result.sent) == (None, 100 + result.warmup_queries)
