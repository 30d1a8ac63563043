"""Modelled delays: drawn as their sources say, never in a measured duration, and always called modelled."""

import asyncio
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles

from executor_functions import ask, executor, function
import pytest
from test_event_queue import SPEC, Bench

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.local.delays import PROFILES, Delays
from serverless_mlperf.platforms.local.service_model import ServiceModel


def test_nothing_is_delayed_unless_asked_for() -> None:
    """And then nothing is said of delays."""
    delays = Delays()
    assert (delays.trigger_ms(), delays.cold_ms(100 << 20), delays.describe()) == (0, 0, [])


def test_start_has_its_sources_percentiles() -> None:
    """260 ms at the median, 470 at the 99th percentile."""
    delays = Delays(["microvm-2021"])
    drawn = [delays.cold_ms(0) for _ in range(20_000)]
    assert median(drawn) == pytest.approx(260, rel=0.02)
    assert quantiles(drawn, n=100)[98] == pytest.approx(470, rel=0.05)
    assert delays.trigger_ms() == 0


def test_download_goes_by_size() -> None:
    """100 MB take 900 ms more; added to a start where both are modelled."""
    download = Delays(["download-2021"])
    assert download.cold_ms(100 << 20) - download.cold_ms(0) == pytest.approx(900)
    both, start = Delays(["microvm-2021", "download-2021"]), Delays(["microvm-2021"])
    assert both.cold_ms(10 << 20) == pytest.approx(start.cold_ms(0) + 90)


def test_trigger_is_called_uncalibrated() -> None:
    """Seconds as a rule, a minute once in a thousand, as S3's documentation words it."""
    assert [name for name, profile in PROFILES.items() if not profile.calibrated] == ["s3-trigger-uncalibrated"]
    delays = Delays(["s3-trigger-uncalibrated"])
    drawn = [delays.trigger_ms() for _ in range(20_000)]
    assert median(drawn) == pytest.approx(1000, rel=0.05)
    assert 5 <= sum(ms > 60_000 for ms in drawn) <= 40


def test_one_seed_draws_the_same_whatever_else_is_modelled() -> None:
    """Each profile has a generator of its own; another seed draws otherwise."""
    both, alone, other = Delays(list(PROFILES), 7), Delays(["microvm-2021"], 7), Delays(["microvm-2021"], 8)
    both.trigger_ms()
    first = alone.cold_ms(0)
    assert both.cold_ms(0) == first != other.cold_ms(0)


def test_status_says_modelled_with_the_source() -> None:
    """What was held back is counted."""
    delays = Delays(["microvm-2021"])
    taken = delays.cold_ms(0)
    [found] = delays.describe()
    assert (found["modelled"], found["held_back"]) == (True, 1)
    assert found["total_ms"] == pytest.approx(taken, abs=1e-3)
    assert "STeLLAR" in found["source"]


def test_unknown_profile_is_refused() -> None:
    """In one line that names those known."""
    with pytest.raises(InputError, match="--delays: 'mars' is no profile; known are microvm-2021"):
        ServiceModel(delays=("mars",))


def test_cold_start_is_held_back_but_not_longer(tmp_path: Path) -> None:
    """The report carries the delay apart: no duration has it, and a warm invocation has none."""

    async def scenario() -> None:
        async with executor(tmp_path, model=ServiceModel(delays=("microvm-2021",))) as running:
            spec = function(tmp_path)
            await ask(running, spec)
            await ask(running, spec)
            cold, warm = running.reports(spec.name)
            assert cold["modelled_delay_ms"] > 50
            assert warm["modelled_delay_ms"] == 0
            whole_ms = (cold["ended_ns"] - cold["queued_ns"]) / 1e6
            assert cold["init_ms"] + cold["duration_ms"] + cold["modelled_delay_ms"] <= whole_ms + 1
            assert cold["billed_ms"] <= cold["init_ms"] + cold["duration_ms"] + 1
            assert running.status()["modelled_delays"][0]["held_back"] == 1

    asyncio.run(scenario())


def test_event_of_s3_is_held_back_and_then_offered() -> None:
    """It is accepted at once; a function that is deleted meanwhile drops it, counted."""

    async def scenario() -> None:
        bench = Bench()
        bench.queue.accept(SPEC, "late", b"{}", 0, 5.0)
        assert (bench.jobs, bench.queue.counts["accepted"]) == ([], 1)
        async with asyncio.timeout(5):
            while not bench.jobs:
                await asyncio.sleep(0.001)
        assert bench.jobs[0].modelled_delay_ms == 5
        other = replace(SPEC, name="g", arn=f"{SPEC.arn}g")
        bench.queue.accept(other, "too late", b"{}", 0, 5.0)
        bench.queue.forget("g")
        async with asyncio.timeout(5):
            while not bench.queue.counts["dropped"]:
                await asyncio.sleep(0.001)
        assert len(bench.jobs) == 1

    asyncio.run(scenario())
