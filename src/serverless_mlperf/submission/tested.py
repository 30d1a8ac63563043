"""The systems of a submission: the results that go under one name, and what is the same for all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serverless_mlperf.mlperf.spec import NETWORK_SUT
from serverless_mlperf.submission.choice import Entry
from serverless_mlperf.submission.measured import MeasuredRun
from serverless_mlperf.workloads import suffix


@dataclass(frozen=True, slots=True)
class System:
    """What goes under one name in systems/."""

    name: str
    entries: tuple[Entry, ...]

    @property
    def runs(self) -> list[MeasuredRun]:
        """All its runs; there is at least one."""
        return [run for entry in self.entries for run in entry.runs.values()]

    @property
    def settings(self) -> Mapping[str, Any]:
        """Those that make a system are the same in all its experiments."""
        return self.runs[0].experiment.settings

    @property
    def host(self) -> Mapping[str, Any]:
        """Of the client."""
        host: Mapping[str, Any] = self.runs[0].experiment.environment.get("host", {})
        return host

    @property
    def named_as_network(self) -> bool:
        """Whether every log names a system behind a network."""
        return all(NETWORK_SUT in run.system_name for run in self.runs)


def group(entries: Sequence[Entry], prefix: str | None) -> list[System]:
    """The systems of entries that have runs; their names begin with `prefix`, or with the platform's name."""
    named: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.runs:
            named.setdefault(_name(entry, prefix), []).append(entry)
    return [System(name, tuple(found)) for name, found in sorted(named.items())]


def _name(entry: Entry, prefix: str | None) -> str:
    platform = next(iter(entry.runs.values())).experiment.settings.get("platform")
    cell = entry.cell
    return f"{prefix or platform}-{cell.engine_and_format}-{cell.memory_mib}mb{suffix(cell.architecture)}"
