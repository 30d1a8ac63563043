"""The command that measures what is missing, with the settings of the experiment that lacks it."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
import json
import shlex
from typing import Any, Final

from serverless_mlperf.config import SCENARIOS, ExperimentConfig
from serverless_mlperf.mlperf.spec import Mode
from serverless_mlperf.submission.choice import Entry
from serverless_mlperf.workloads import Architecture, Cell

_OPTIONS: Final = {
    "platform": "--platform",
    "region": "--region",
    "project": "--project",
    "python": "--python",
    "transport": "--transport",
    "payload": "--payload",
    "weights": "--weights",
    "dataset": "--dataset",
    "input_dataset": "--input_dataset",
    "samples": "--samples",
    "queries": "--queries",
    "latency_bound_ms": "--latency-bound-ms",
    "concurrency": "--concurrency",
    "threads": "--threads",
    "precision": "--precision",
    "seed": "--seed",
    "timeout_s": "--timeout",
}
"""Settings that a run is comparable by, and their options."""
_LENGTHS: Final = {"quick": "--quick", "full": "--full"}


_BRINGS: Final[Mapping[Mode, frozenset[Mode]]] = {
    "test01": frozenset({"performance", "accuracy"}),
    "test04": frozenset({"performance"}),
}
"""A compliance test is measured with the runs that it is compared with (plan.py)."""


def commands(entries: Sequence[Entry]) -> list[str]:
    """The commands that measure all that entries lack, as few as may be."""
    wanted = [(_settings(entry), mode, entry) for entry in entries for mode in _asked(entry.missing)]
    wanted.sort(key=lambda each: each[:2])
    groups = groupby(wanted, key=lambda each: each[:2])
    return [
        f"serverless-mlperf run {_matrix([e for *_, e in group])} {settings} --mode {mode}"
        for (settings, mode), group in groups
    ]


def command(entry: Entry, mode: Mode) -> str:
    """The command that measures one run again."""
    return f"serverless-mlperf run {_matrix([entry])} {_settings(entry)} --mode {mode}"


def _asked(missing: Sequence[Mode]) -> list[Mode]:
    """Without what another one brings."""
    brought = frozenset[Mode]().union(*(_BRINGS.get(mode, frozenset()) for mode in missing))
    return [mode for mode in missing if mode not in brought]


def _matrix(entries: Sequence[Entry]) -> str:
    """Options of the smallest matrix that has all their cells."""
    cells = [entry.cell for entry in entries]
    words = [
        *(f"--cv_task {task}" for task in dict.fromkeys(cell.task for cell in cells)),
        *(f"--engine_and_format {engine}" for engine in dict.fromkeys(cell.engine_and_format for cell in cells)),
        *(f"--memory {memory}" for memory in dict.fromkeys(cell.memory_mib for cell in cells)),
        *(f"--architecture {name}" for name in _architectures(cells)),
    ]
    return " ".join(words)


def _architectures(cells: Sequence[Cell]) -> list[Architecture]:
    """Those to be named: none where all cells have what a cell has anyway."""
    found = list(dict.fromkeys(cell.architecture for cell in cells))
    return [] if found == ["x86_64"] else found


def _settings(entry: Entry) -> str:
    return shlex.join(_words(entry))


def _words(entry: Entry) -> Iterator[str]:
    settings = entry.experiment.settings
    yield from ("--scenario", next(name for name, scenario in SCENARIOS.items() if scenario == entry.scenario))
    performance = entry.runs.get("performance")
    rate = performance.driver.target_qps if performance else settings.get("target_qps")
    if entry.scenario == "Server" and rate:
        yield from ("--target-qps", f"{rate:.6g}")
    for name, option in _OPTIONS.items():
        value = settings.get(name)
        if value is not None and value != _default(name):
            yield from (option, str(value))
    if settings.get("length") in _LENGTHS:
        yield _LENGTHS[str(settings["length"])]


def _default(name: str) -> Any:
    """As JSON has it, which is what the settings come from."""
    return json.loads(json.dumps(ExperimentConfig.model_fields[name].default))
