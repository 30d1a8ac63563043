"""The CPU share: budget arithmetic, and the CPU clock of a real environment."""

import asyncio
import os
from pathlib import Path

from executor_functions import ask, executor, function
from hypothesis import given
from hypothesis import strategies as st
import pytest

from serverless_mlperf.calibration import calibrate
from serverless_mlperf.platforms.local.host import Capacity, most_at_once, undisturbed_at_once
from serverless_mlperf.platforms.local.model import cpu_share
from serverless_mlperf.platforms.local.throttle import GRAIN_NS, PERIOD_NS, Throttle, stagger_ns


@given(
    share=st.floats(0.07, 2), threads=st.integers(1, 2), lateness_ns=st.integers(0, 2_000_000), phase=st.integers(0, 7)
)
def test_long_run_share_is_kept(share: float, threads: int, lateness_ns: int, phase: int) -> None:
    """A job that always runs gets its share of the CPU, however late the controller wakes up."""
    throttle = Throttle(int(share * PERIOD_NS), 2, stagger_ns(phase))
    now_ns = cpu_ns = 10**9
    throttle.begin(now_ns, cpu_ns)
    while now_ns < 5 * 10**9:
        runs, due_ns = throttle.step(now_ns, cpu_ns)
        step_ns = due_ns - now_ns + lateness_ns
        now_ns += step_ns
        cpu_ns += step_ns * threads if runs else 0
    delivered = (cpu_ns - 10**9) / (now_ns - 10**9)
    # Lateness at the end of a stop is lost where no more than the share could have been used anyway.
    lost = lateness_ns / PERIOD_NS * threads
    assert min(share, threads) - lost - 0.02 <= delivered <= share + 0.02


def test_overrun_is_owed_and_unused_budget_is_lost() -> None:
    """What was used too much is taken from the next period, what was not used is not added to it."""
    throttle = Throttle(8_000_000, 1)
    throttle.begin(0, 0)
    assert throttle.step(9_000_000, 9_000_000) == (False, PERIOD_NS)
    assert throttle.step(PERIOD_NS, 9_000_000) == (True, PERIOD_NS + 7_000_000)
    # Three idle periods later there is one budget, not four (a rest below the grain may be left over).
    runs, due_ns = throttle.step(4 * PERIOD_NS, 9_000_000)
    assert runs
    assert 8_000_000 <= due_ns - 4 * PERIOD_NS <= 8_000_000 + GRAIN_NS


def test_periods_are_staggered() -> None:
    """Four environments begin their periods a quarter of a period apart."""
    assert sorted(stagger_ns(slot) for slot in range(4)) == [0, PERIOD_NS // 4, PERIOD_NS // 2, 3 * PERIOD_NS // 4]


def test_what_runs_at_once_on_two_cores() -> None:
    """On two cores 4, 2, 1 and 1 environments of the seed's sizes run at once."""
    assert [most_at_once(memory, 2) for memory in (768, 1536, 2240, 3008)] == [4, 2, 1, 1]
    # An experiment leaves room for what client and server take themselves.
    assert [undisturbed_at_once(memory, 2) for memory in (768, 1536, 2240, 3008)] == [3, 1, 1, 1]


def test_one_environment_is_always_allowed() -> None:
    """A share larger than the host runs when nothing else does."""
    capacity = Capacity(1)
    assert capacity.fits(1.7)
    capacity.take(1.7)
    assert not capacity.fits(0.1)
    capacity.give_back(1.7)
    assert capacity.fits(1.7)


@pytest.mark.parametrize(("memory_mib", "threads"), [(768, 1), (3008, 2)])
def test_cpu_clock_of_an_environment_obeys_the_share(tmp_path: Path, memory_mib: int, threads: int) -> None:
    """In the long run a spinning handler gets memory / 1769 of a core, by its own CPU clock and the platform's."""
    if len(os.sched_getaffinity(0)) < threads:
        pytest.skip("needs as many cores as threads")

    async def scenario() -> tuple[float, float]:
        async with executor(tmp_path) as running:
            spec = function(tmp_path, memory_mib=memory_mib)
            await ask(running, spec)
            spun = await ask(running, spec, act="spin", s=2, threads=threads)
            report = running.reports(spec.name)[-1]
            return spun["cpu_ns"] / spun["wall_ns"], report["cpu_ns"] / 1e6 / report["duration_ms"]

    before = calibrate()
    shares = asyncio.run(scenario())
    after = calibrate()
    for share in shares:
        assert share < cpu_share(memory_mib) * 1.15
        if before.ok and after.ok:
            assert share > cpu_share(memory_mib) * 0.85
