"""The figures of a results folder that are compared, one per run."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from serverless_mlperf.percentiles import LEVELS, level_name
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.workloads import suffix

Figure = Callable[[CellResult], float | None]
"""A time in ms, or None where the run has none."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """One figure of one cell."""

    model_name: str
    memory_mib: int
    scenario: str
    transport: str
    step: int
    figure: str
    architecture: str = "x86_64"

    @property
    def cell(self) -> str:
        """As the tables call it."""
        step = f" step {self.step}" if self.step > 1 else ""
        size = f"{self.memory_mib}{suffix(self.architecture, ' ')}"
        return f"{self.model_name} {size} {self.scenario} {self.transport}{step}"


def _latency(place: int) -> Figure:
    def value_ms(result: CellResult) -> float | None:
        found = result.latencies.warm if result.latencies else ()
        return found[place].value_ms if found else None

    return value_ms


def _per_sample(result: CellResult) -> float | None:
    """Of a burst: the inverse of its rate, so that greater is slower as with the others."""
    return 1000 / result.qps_loadgen if result.qps_loadgen else None


FORWARD: Final[Mapping[str, Figure]] = {"forward p50": lambda r: r.p50_ms, "forward p90": lambda r: r.p90_ms}
BURST: Final[Mapping[str, Figure]] = {**FORWARD, "1/throughput": _per_sample}
_COMPARED: Final = ("p50", "p90", "p99")
LATENCY: Final[Mapping[str, Figure]] = {
    **FORWARD,
    **{f"latency {level_name(p)}": _latency(n) for n, p in enumerate(LEVELS) if level_name(p) in _COMPARED},
}


def figures_of(results: Iterable[CellResult]) -> dict[Key, list[float]]:
    """Values of each figure, one per VALID performance run; a run that is not VALID tells nothing."""
    found: dict[Key, list[float]] = {}
    for key, value in _values(results):
        found.setdefault(key, []).append(value)
    return found


def _values(results: Iterable[CellResult]) -> Iterator[tuple[Key, float]]:
    for result in results:
        if not result.valid or result.mode != "performance":
            continue
        for name, figure in (BURST if result.scenario == "Offline" else LATENCY).items():
            value = figure(result)
            if value is not None:
                yield _key(result, name), value


def _key(result: CellResult, figure: str) -> Key:
    transport = f"{result.transport}/{result.payload}" if result.payload else result.transport
    return Key(
        result.model_name, result.memory_mib, result.scenario, transport, result.step, figure, result.architecture
    )
