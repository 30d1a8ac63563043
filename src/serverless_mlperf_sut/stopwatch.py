"""Wall and CPU time per phase, with nothing in between but two readings of clocks."""

from collections.abc import Mapping
from time import perf_counter_ns, process_time_ns, time_ns
from typing import Any


class Stopwatch:
    """Time since it was made, or since the last lap, is booked on the lap's phase; phases add up."""

    def __init__(self) -> None:
        self.wall_ns: dict[str, int] = {}
        self.cpu_ns: dict[str, int] = {}
        self.begun_ns = time_ns()
        self._wall, self._cpu = perf_counter_ns(), process_time_ns()

    def lap(self, phase: str) -> None:
        """End a phase here; the next begins."""
        wall, cpu = perf_counter_ns(), process_time_ns()
        self.wall_ns[phase] = self.wall_ns.get(phase, 0) + wall - self._wall
        self.cpu_ns[phase] = self.cpu_ns.get(phase, 0) + cpu - self._cpu
        self._wall, self._cpu = wall, cpu

    def add(self, other: "Stopwatch") -> None:
        """Book another stopwatch's phases here as well."""
        for mine, theirs in ((self.wall_ns, other.wall_ns), (self.cpu_ns, other.cpu_ns)):
            for phase, elapsed_ns in theirs.items():
                mine[phase] = mine.get(phase, 0) + elapsed_ns

    def milliseconds(self, *phases: str) -> float:
        """Wall time of some phases together."""
        return sum(self.wall_ns.get(phase, 0) for phase in phases) / 1e6

    def as_json(self) -> dict[str, Mapping[str, Any]]:
        """Both kinds of time under the names of the output JSON."""
        return {"phases_ns": self.wall_ns, "cpu_ns": self.cpu_ns}
