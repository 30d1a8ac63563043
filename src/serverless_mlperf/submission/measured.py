"""Results folders as values: the experiments, and every whole run in them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from serverless_mlperf.errors import InputError, RunError
from serverless_mlperf.mlperf.logs import read_detail
from serverless_mlperf.mlperf.spec import DriverResult, load_result
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.store import EXPERIMENT, ResultsFolder
from serverless_mlperf.workloads import ENGINE_AND_FORMATS, TASKS, Cell


@dataclass(frozen=True, slots=True)
class Experiment:
    """experiment.json."""

    path: Path
    started: str
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    """Host, versions and digests."""
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """A whole run: it came to a verdict, good or bad."""

    experiment: Experiment
    cell: Cell
    folder: Path
    driver: DriverResult
    valid: bool
    reasons: tuple[str, ...]
    """Why it is INVALID."""
    result: CellResult

    @property
    def logs(self) -> Path:
        """LoadGen's."""
        return self.folder / "loadgen"

    @property
    def system_name(self) -> str:
        """What LoadGen logged as the system's name; raises InputError."""
        try:
            return str(read_detail(self.logs).values.get("sut_name"))
        except RunError as error:
            raise InputError(f"{error}; measure the run again") from error

    @property
    def name(self) -> str:
        """Where it lies, without the folders above."""
        return f"{self.experiment.path.name}/{self.cell.name}/{self.folder.name}"


def read_experiments(paths: Sequence[Path]) -> list[Experiment]:
    """Read each results folder's experiment.json, oldest first; raises InputError."""
    known = {path.resolve(): path for path in paths}
    return sorted((_experiment(path) for path in known.values()), key=lambda each: each.started)


def read_runs(experiments: Sequence[Experiment]) -> list[MeasuredRun]:
    """Every whole run, oldest first; a run that was cut off does not count. Raises InputError where one is damaged."""
    return [run for experiment in experiments for cell in experiment.cells for run in _runs(experiment, cell)]


def _experiment(path: Path) -> Experiment:
    ResultsFolder.open(path)  # says what is wrong with a folder that is none
    content = json.loads((path / EXPERIMENT).read_text())
    try:
        settings, environment = dict(content["settings"]), dict(content["environment"])
        return Experiment(
            path, str(content["started"]), settings, environment, tuple(_cell(str(name)) for name in content["cells"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path / EXPERIMENT}: is damaged ({error}); give another results folder") from error


def _cell(name: str) -> Cell:
    """The cell of a name; raises ValueError for any other name, which might point anywhere."""
    memory = name.rpartition("-")[2]
    if memory.isascii() and memory.isdecimal():
        cells = (Cell(task, engine, int(memory)) for task in TASKS for engine in ENGINE_AND_FORMATS)
        for cell in cells:
            if cell.name == name:
                return cell
    raise ValueError(f"no cell: {name!r}")


def _runs(experiment: Experiment, cell: Cell) -> Iterator[MeasuredRun]:
    folder = experiment.path / "cells" / cell.name
    numbered = {int(run.name[4:]): run for run in folder.glob("run-*") if run.name[4:].isdecimal()}
    for number in sorted(numbered):
        run = _run(experiment, cell, numbered[number])
        if run is not None:
            yield run


def _run(experiment: Experiment, cell: Cell, folder: Path) -> MeasuredRun | None:
    """A run folder as a value; None for one without a driver's account, a verdict and, written last, a summary."""
    files = [folder / name for name in ("driver.json", "validity.json", "summary.json")]
    if not all(file.is_file() for file in files):
        return None
    try:
        driver = load_result(files[0].read_bytes())
        validity, summary = (json.loads(file.read_text()) for file in files[1:])
        valid = validity["verdict"] == "VALID"
        reasons = tuple(f"{reason['code']}: {reason['evidence']}" for reason in validity["reasons"])
        result = CellResult.from_dict(summary)
    except (InputError, ValidationError, OSError, ValueError, KeyError, TypeError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{folder}: is damaged ({first}); measure the cell again, or leave it out") from error
    return None if driver.aborted else MeasuredRun(experiment, cell, folder, driver, valid, reasons, result)
