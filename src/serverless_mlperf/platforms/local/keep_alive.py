"""How long Lambda keeps an idle environment: profiles measured on it, on the scaled clock.

`2025`: an environment ends when it has been idle for N(320, 15) s. Measured with 100 probes each (EuroSys'26 artifact,
keep_alive/aws): 98 to 100 % are warm after 60 to 240 s, 97 after 270, 92 after 300, 57 after 315, 32 after 330, 6 after
345, none from 360 s on.

`2020`: of a function's idle environments half end every 380 s (SeBS, Middleware'21).
"""

from collections.abc import Callable
from random import Random
from typing import Final, Protocol

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.local.scaled_clock import ScaledClock, Timer

IDLE_MEAN_S: Final = 320.0
IDLE_DEVIATION_S: Final = 15.0
HALVING_S: Final = 380.0
OFF: Final = "off"

End = Callable[[], None]
"""Ends the environment; called while it is idle."""


class KeepAlive(Protocol):
    """Decides when idle environments end; called on the event loop, returns at once."""

    def on_idle(self, environment: object, function: str, end: End) -> None:
        """An environment of a function is idle from now on."""

    def on_busy(self, environment: object) -> None:
        """It is idle no more: it runs, or has ended."""


class Forever:
    """Idle environments stay: what an experiment wants."""

    def on_idle(self, environment: object, function: str, end: End) -> None:
        """Nothing ends."""

    def on_busy(self, environment: object) -> None:
        """Nothing was planned."""


class NormalIdleTime:
    """Profile `2025`: each idle time is drawn from a normal distribution."""

    def __init__(self, clock: ScaledClock, seed: int) -> None:
        self._clock = clock
        self._random = Random(f"keep-alive {seed}")  # noqa: S311 - no secret
        self._timers: dict[object, Timer] = {}

    def on_idle(self, environment: object, function: str, end: End) -> None:  # noqa: ARG002 - the other profile's
        """Draw how long it may be idle."""
        idle_s = max(0.0, self._random.gauss(IDLE_MEAN_S, IDLE_DEVIATION_S))
        self._timers[environment] = self._clock.call_later(idle_s, self._end, environment, end)

    def on_busy(self, environment: object) -> None:
        """It stays for now."""
        timer = self._timers.pop(environment, None)
        if timer is not None:
            timer.cancel()

    def _end(self, environment: object, end: End) -> None:
        del self._timers[environment]
        end()


class Halving:
    """Profile `2020`: whoever has been idle for another 380 s meets the next fate of its function, every second ends.

    Of environments that became idle together that is half of them; of a single one, chance decides.
    """

    def __init__(self, clock: ScaledClock, seed: int) -> None:
        self._clock = clock
        self._random = Random(f"keep-alive {seed}")  # noqa: S311 - no secret
        self._timers: dict[object, Timer] = {}
        self._ends_next: dict[str, bool] = {}

    def on_idle(self, environment: object, function: str, end: End) -> None:
        """It is safe for a period."""
        self._timers[environment] = self._clock.call_later(HALVING_S, self._decide, environment, function, end)

    def on_busy(self, environment: object) -> None:
        """It stays for now."""
        timer = self._timers.pop(environment, None)
        if timer is not None:
            timer.cancel()

    def _decide(self, environment: object, function: str, end: End) -> None:
        # In pairs, of which chance decides who goes: half of any number, without the same one always going first.
        drawn = self._ends_next.pop(function, None)
        ends = drawn if drawn is not None else self._random.random() < 0.5
        if drawn is None:
            self._ends_next[function] = not ends
        if ends:
            del self._timers[environment]
            end()
        else:
            self.on_idle(environment, function, end)


PROFILES: Final[dict[str, Callable[[ScaledClock, int], KeepAlive]]] = {
    OFF: lambda _clock, _seed: Forever(),
    "2025": NormalIdleTime,
    "2020": Halving,
}


def check_profile(name: str) -> None:
    """Raise InputError for a profile that there is not."""
    if name not in PROFILES:
        raise InputError(f"--keep-alive {name}: no such profile; there are {', '.join(PROFILES)}")
