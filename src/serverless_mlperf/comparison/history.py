"""Results of one output folder over time: a cell's figures by experiment, each held against the one before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from serverless_mlperf.comparison.changes import Change, compare
from serverless_mlperf.comparison.figures_of import Key, figures_of
from serverless_mlperf.errors import InputError
from serverless_mlperf.repeats import OverRuns, over_runs
from serverless_mlperf.store import EXPERIMENT, ResultsFolder
from serverless_mlperf.tries import read_json

DIGEST_CHARACTERS: Final = 8


@dataclass(frozen=True, slots=True)
class Entry:
    """One experiment's value of one figure."""

    folder: str
    started: str
    """UTC, as experiment.json has it."""
    version: str
    code: str
    """The first characters of the code's digest: a version alone does not tell of local changes."""
    found: OverRuns
    change: Change | None
    """Against the experiment before that has the figure; None for the first."""


@dataclass(frozen=True, slots=True)
class History:
    """What a folder of results holds, and what of it could not be read."""

    entries: dict[Key, tuple[Entry, ...]]
    damaged: tuple[str, ...]
    """One line each: the good folders are shown all the same."""


def read_history(output: Path, margin: float, cell: str = "", figure: str = "") -> History:
    """Read all results folders below one; `cell` and `figure` are parts of names. Raises InputError without any."""
    paths = sorted(path.parent for path in output.glob(f"*/{EXPERIMENT}"))
    if not paths:
        raise InputError(f"{output}: holds no results folder; give the folder that experiments write to (--output)")
    read, damaged = _read(paths)
    found: dict[Key, list[Entry]] = {}
    before: dict[Key, Sequence[float]] = {}
    for folder, started in sorted(read, key=lambda item: item[1]):
        for key, values in figures_of(folder.results()).items():
            if cell in key.cell and figure in key.figure:
                found.setdefault(key, []).append(_entry(folder, started, values, before.get(key), margin))
                before[key] = values
    return History({key: tuple(entries) for key, entries in sorted(found.items())}, tuple(damaged))


def rows(history: History) -> Iterator[dict[str, Any]]:
    """One flat row per experiment and figure, for JSON and CSV."""
    for key, entries in history.entries.items():
        for entry in entries:
            change = entry.change
            yield {
                "cell": key.cell,
                "figure": key.figure,
                "folder": entry.folder,
                "started": entry.started,
                "version": entry.version,
                "code": entry.code,
                "runs": len(entry.found.values),
                "mean_ms": entry.found.mean,
                "low_ms": entry.found.low,
                "high_ms": entry.found.high,
                "ratio": change.ratio if change else None,
                "verdict": change.verdict if change else None,
            }


def _read(paths: Sequence[Path]) -> tuple[list[tuple[ResultsFolder, str]], list[str]]:
    read, damaged = [], []
    for path in paths:
        try:
            folder = ResultsFolder.open(path)
            read.append((folder, str(read_json(path / EXPERIMENT).get("started", ""))))
            damaged += folder.shortfalls()
        except InputError as error:
            damaged.append(str(error))
    return read, damaged


def _entry(
    folder: ResultsFolder, started: str, values: Sequence[float], before: Sequence[float] | None, margin: float
) -> Entry:
    change = None if before is None else compare({"": (before, values)}, margin)[""]
    code = str(folder.environment.get("code_sha256", ""))[:DIGEST_CHARACTERS]
    version = str(folder.environment.get("version", ""))
    return Entry(folder.path.name, started, version, code, over_runs(values), change)
