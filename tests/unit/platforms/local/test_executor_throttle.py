"""The CPU share: what may run at once, and the CPU clock of a real environment."""

import asyncio
import os
from pathlib import Path

from executor_functions import ask, executor, function
import pytest

from serverless_mlperf.calibration import calibrate
from serverless_mlperf.platforms.local.host import Capacity, most_at_once, undisturbed_at_once
from serverless_mlperf.platforms.local.model import cpu_share


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


@pytest.mark.alone
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
