"""Modelled delays: what only a cloud has, by named profiles, off unless asked for, and always called modelled.

They hold invocations back and are never part of a measured duration; reports carry them apart.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
import math
from random import Random
from typing import Any, Final, Literal

from serverless_mlperf.errors import InputError

MIB: Final = 1 << 20
Kind = Literal["trigger", "start", "download"]


@dataclass(frozen=True, slots=True)
class Profile:
    """One delay and where its numbers come from; drawn from a log-normal distribution."""

    kind: Kind
    what: str
    source: str
    calibrated: bool
    """False: no measurement says so much; what it shows is what a delay of this kind does, not how long it is."""
    median_ms: float = 0.0
    spread: float = 0.0
    """Standard deviation of the logarithm."""
    per_mib_ms: float = 0.0
    """Of zips, function and layers; not drawn."""


PROFILES: Final = {
    "microvm-2021": Profile(
        "start",
        "start of a microVM, before the runtime's process",
        "STeLLAR (IISWC'21): cold start of a Python zip seen by its client, 360 ms at the median and 570 at the 99th "
        "percentile, less 18 ms of a warm call and 82 ms of init phase",
        calibrated=True,
        median_ms=260.0,
        spread=math.log((570 - 100) / 260) / 2.326,
    ),
    "download-2021": Profile(
        "download",
        "fetching the zips of function and layers",
        "STeLLAR (IISWC'21): 100 MB more of zip make the median cold start 3.5 times as long",
        calibrated=True,
        per_mib_ms=(3.5 - 1) * 360 / 100,
    ),
    "s3-trigger-uncalibrated": Profile(
        "trigger",
        "from an S3 PUT to the function's event queue",
        "S3's documentation: 'typically in seconds but can sometimes take a minute or longer', read as a median of 1 s "
        "and one in 1,000 above 60 s; measure on AWS before believing it",
        calibrated=False,
        median_ms=1000.0,
        spread=math.log(60) / 3.09,
    ),
}


class Delays:
    """Draws the delays of some profiles, and counts what they have held back."""

    def __init__(self, names: Sequence[str] = (), seed: int = 0) -> None:
        check_profiles(names)
        self._profiles = {name: PROFILES[name] for name in names}
        self._random = {name: Random(f"delay {name} {seed}") for name in names}  # noqa: S311 - no secret
        self._counts: Counter[str] = Counter()
        self._total_ms = dict.fromkeys(names, 0.0)

    @property
    def active(self) -> bool:
        """Whether anything is modelled."""
        return bool(self._profiles)

    def trigger_ms(self) -> float:
        """How long an event of S3 is on its way."""
        return self._sum("trigger", 0)

    def cold_ms(self, zip_bytes: int) -> float:
        """How long it takes until an environment's process can be started."""
        return self._sum("start", 0) + self._sum("download", zip_bytes)

    def describe(self) -> list[dict[str, Any]]:
        """For the status page: each profile with its source, what it has held back and for how long in all."""
        return [
            {
                "name": name,
                "modelled": True,
                **asdict(profile),
                "held_back": self._counts[name],
                "total_ms": round(self._total_ms[name], 3),
            }
            for name, profile in self._profiles.items()
        ]

    def _sum(self, kind: Kind, zip_bytes: int) -> float:
        return sum(self._draw(name, zip_bytes) for name, profile in self._profiles.items() if profile.kind == kind)

    def _draw(self, name: str, zip_bytes: int) -> float:
        profile = self._profiles[name]
        drawn_ms = profile.median_ms * math.exp(self._random[name].gauss(0, profile.spread))
        delay_ms = drawn_ms + profile.per_mib_ms * zip_bytes / MIB
        self._counts[name] += 1
        self._total_ms[name] += delay_ms
        return delay_ms


def check_profiles(names: Sequence[str]) -> None:
    """Raise InputError for a name that is no profile's."""
    for name in names:
        if name not in PROFILES:
            raise InputError(f"--delays: {name!r} is no profile; known are {', '.join(PROFILES)}")
