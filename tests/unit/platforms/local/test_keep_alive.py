"""When idle environments end, held against what was measured on Lambda."""

import asyncio
from collections.abc import Sequence
from functools import partial
import math
from pathlib import Path

from executor_functions import ask, executor, function, until
import pytest

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.local.keep_alive import Halving, NormalIdleTime
from serverless_mlperf.platforms.local.scaled_clock import ScaledClock
from serverless_mlperf.platforms.local.service_model import ServiceModel

PROBES = 100
"""Behind each of the measured shares."""
MEASURED_2025 = {
    60: 1.0, 120: 1.0, 180: 1.0, 240: 0.98, 270: 0.97, 300: 0.92, 315: 0.57, 330: 0.32, 345: 0.06, 360: 0.0, 400: 0.0,
}  # fmt: skip
"""Share of warm answers by idle seconds (EuroSys'26 artifact, keep_alive/aws)."""
MEASURED_2020 = {360: 1.0, 420: 0.515, 720: 0.515, 780: 0.27, 1080: 0.27, 1140: 0.14, 1320: 0.14}
"""The same by SeBS in 2020."""


def warm_shares(profile: type[NormalIdleTime | Halving], moments_s: Sequence[int], number: int = 2000) -> list[float]:
    """Share of environments, all idle since 0 s, that are left at each moment."""

    async def scenario() -> list[float]:
        clock, shares = ScaledClock(0), []
        keep_alive, left = profile(clock, seed=1), set(range(number))
        for environment in range(number):
            keep_alive.on_idle(environment, "f", partial(left.remove, environment))
        for moment_s in moments_s:
            while clock.now_s() < moment_s:  # in steps: what is due sets its next time from the clock's present
                clock.advance(min(20, moment_s - clock.now_s()))
                done = clock.call_later(0, lambda: None)
                while done.act is not None:
                    await asyncio.sleep(0)
            shares.append(len(left) / number)
        return shares

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("profile", "measured"), [(NormalIdleTime, MEASURED_2025), (Halving, MEASURED_2020)], ids=["2025", "2020"]
)
def test_profile_is_what_was_measured(profile: type[NormalIdleTime | Halving], measured: dict[int, float]) -> None:
    """At each idle time the share that is left lies within three standard errors of 100 probes of the measured one."""
    for share, expected in zip(warm_shares(profile, list(measured)), measured.values(), strict=True):
        assert abs(share - expected) <= 3 * math.sqrt(expected * (1 - expected) / PROBES) + 0.01


def test_seed_decides() -> None:
    """The same seed keeps the same environments; half of an odd number is one more or less."""
    assert warm_shares(NormalIdleTime, [315]) == warm_shares(NormalIdleTime, [315])
    assert warm_shares(Halving, [400], number=5)[0] in {0.4, 0.6}


def test_a_used_environment_begins_anew() -> None:
    """Whoever serves an invocation has its whole idle time before it again."""

    async def scenario() -> None:
        clock, ended = ScaledClock(0), list[str]()
        keep_alive = NormalIdleTime(clock, seed=1)
        for _ in range(5):
            keep_alive.on_idle("environment", "f", partial(ended.append, "ended"))
            clock.advance(200)
            await asyncio.sleep(0.01)  # a turn of the loop, in which it would end if it were due
            keep_alive.on_busy("environment")
        assert ended == []

    asyncio.run(scenario())


def test_an_idle_environment_ends_and_the_next_call_is_cold(tmp_path: Path) -> None:
    """Put forward by 200 s nothing happens, by 500 s the process is gone and counted."""

    async def scenario() -> None:
        async with executor(tmp_path, model=ServiceModel(clock_speed=0, keep_alive="2025")) as running:
            spec = function(tmp_path)
            first = (await ask(running, spec))["pid"]
            await until(lambda: running.status()["functions"]["probe"]["idle"] == 1)
            running.set_clock(advance_s=200)
            assert (await ask(running, spec))["pid"] == first
            await until(lambda: running.status()["functions"]["probe"]["idle"] == 1)
            running.set_clock(advance_s=500)
            await until(lambda: not running.status()["environments"])
            assert (await ask(running, spec))["calls"] == 1
            assert running.status()["ended_idle"] == 1

    asyncio.run(scenario())


def test_unknown_profiles_are_refused() -> None:
    """In one line that names those there are."""
    with pytest.raises(InputError, match="--keep-alive 1999: no such profile; there are off, 2025, 2020"):
        ServiceModel(keep_alive="1999")
