"""What two results were not measured alike in: named before any figure, for it may be what differs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from serverless_mlperf.provenance import flattened
from serverless_mlperf.store import ResultsFolder

_OWN: Final = ("output", "repeat", "retry_invalid", "wait_for_host_s")
"""Settings that are an experiment's own business."""
_PASSING: Final = ("host.memory_mib", "prices")
"""Of the environment, what no latency depends on."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same."""

    name: str
    base: Any
    new: Any


def differences(base: ResultsFolder, new: ResultsFolder) -> tuple[Difference, ...]:
    """Settings and environment that differ, by name; nested keys joined by dots."""
    before, after = dict(_known(base)), dict(_known(new))
    names = sorted(before.keys() | after.keys())
    return tuple(
        Difference(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    )


def _known(folder: ResultsFolder) -> Iterator[tuple[str, Any]]:
    settings: Mapping[str, Any] = {k: v for k, v in folder.settings.items() if k not in _OWN}
    for name, value in flattened({"settings": settings, **folder.environment}):
        if not name.startswith(_PASSING):
            yield name, value
