"""What a configuration has to reach, as the command line says it.

`p99=200ms`, `mean=50ms`, `cold=2s` (the median cold start), `accuracy>=0.7`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
import re
from typing import Final, Literal

from serverless_mlperf.errors import InputError
from serverless_mlperf.percentiles import level_name

Kind = Literal["quantile", "mean", "cold", "accuracy"]
Goal = Literal["cost", "latency", "balanced"]
QUANTILES: Final = {level_name(p): p for p in (0.5, 0.9, 0.95, 0.99, 0.999)}
GRAMMAR: Final = f"{', '.join(QUANTILES)}, mean or cold =<number>ms or s, or accuracy>=<share>"
_TIME: Final = re.compile(r"(?P<name>p[0-9.]+|mean|cold)=(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<unit>ms|s)")
_SHARE: Final = re.compile(r"accuracy>=(?P<number>[01](?:\.[0-9]+)?|\.[0-9]+)")
_COLD_LEVEL: Final = 0.5
_LONGEST_MS: Final = 900_000.0
"""No invocation lasts longer (AWS: lambda/latest/dg/configuration-timeout)."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One condition; a time is at most `bound` ms, an accuracy at least `bound`."""

    kind: Kind
    bound: float
    p: float | None = None
    """Of a quantile: of latency as the caller sees it, warm queries, or of cold starts."""

    @property
    def name(self) -> str:
        """`p99`, `mean`, `cold` or `accuracy`."""
        return level_name(self.p) if self.kind == "quantile" and self.p is not None else self.kind

    @property
    def text(self) -> str:
        """As the command line takes it."""
        return f"accuracy>={self.bound:g}" if self.kind == "accuracy" else f"{self.name}={self.bound:g}ms"

    @property
    def is_latency(self) -> bool:
        """Of warm queries."""
        return self.kind in ("quantile", "mean")


def parse_objectives(texts: Iterable[str]) -> tuple[Objective, ...]:
    """Read all conditions; raises InputError for one that is none, said twice, or when none is of latency."""
    found = tuple(_parsed(text.strip()) for text in texts)
    names = [each.name for each in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"--slo: {twice} is given twice: give one bound")
    if not any(each.is_latency for each in found):
        raise InputError("--slo: no objective of latency; add one, for example --slo p99=200ms")
    return found


def _parsed(text: str) -> Objective:
    share, time = _SHARE.fullmatch(text), _TIME.fullmatch(text)
    if share and (bound := float(share["number"])) <= 1:
        return Objective("accuracy", bound)
    if time and (time["name"] in QUANTILES or time["name"] in ("mean", "cold")):
        return _of_time(text, time["name"], float(time["number"]) * (1000 if time["unit"] == "s" else 1))
    raise InputError(f"--slo: {text!r} is no objective; known are {GRAMMAR}, for example p99=200ms")


def _of_time(text: str, name: str, bound_ms: float) -> Objective:
    if not 0 < bound_ms <= _LONGEST_MS:
        raise InputError(f"--slo: {text!r}: give more than 0 and at most {_LONGEST_MS / 1000:g} s")
    if name == "cold":
        return Objective("cold", bound_ms, _COLD_LEVEL)
    return Objective("mean", bound_ms) if name == "mean" else Objective("quantile", bound_ms, QUANTILES[name])
