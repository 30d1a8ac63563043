"""Results folders as values: the experiments, and every whole run in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serverless_mlperf.errors import InputError, RunError
from serverless_mlperf.mlperf.logs import read_detail
from serverless_mlperf.mlperf.spec import DriverResult, load_result
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.store import EXPERIMENT, ResultsFolder
from serverless_mlperf.tries import Try, read_json
from serverless_mlperf.workloads import ENGINE_AND_FORMATS, TASKS, Architecture, Cell


@dataclass(frozen=True, slots=True)
class Experiment:
    """experiment.json."""

    folder: ResultsFolder
    started: str
    cells: tuple[Cell, ...]

    @property
    def path(self) -> Path:
        """Of the results folder."""
        return self.folder.path

    @property
    def settings(self) -> Mapping[str, Any]:
        """The configuration as JSON."""
        return self.folder.settings

    @property
    def environment(self) -> Mapping[str, Any]:
        """Host, versions and digests."""
        return self.folder.environment


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """A whole run: it came to a verdict, good or bad."""

    experiment: Experiment
    cell: Cell
    folder: Path
    driver: DriverResult
    reasons: tuple[str, ...]
    """Why it is INVALID."""
    result: CellResult

    @property
    def valid(self) -> bool:
        """The verdict."""
        return self.result.valid

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
    found = (_run(e, cell, each) for e in experiments for cell in e.cells for each in e.folder.tries(cell.name))
    return [run for run in found if run is not None]


def _experiment(path: Path) -> Experiment:
    folder = ResultsFolder.open(path)
    try:
        started = str(read_json(path / EXPERIMENT)["started"])
        return Experiment(folder, started, tuple(_cell(name) for name in folder.cells))
    except (KeyError, ValueError) as error:
        raise InputError(f"{path / EXPERIMENT}: is damaged ({error}); give another results folder") from error


def _cell(name: str) -> Cell:
    """The cell of a name; raises ValueError for any other name, which might point anywhere."""
    plain, _, last = name.rpartition("-")
    architecture: Architecture = "arm64" if last == "arm64" else "x86_64"
    memory = plain.rpartition("-")[2] if architecture == "arm64" else last
    if memory.isascii() and memory.isdecimal():
        cells = (Cell(task, engine, int(memory), architecture) for task in TASKS for engine in ENGINE_AND_FORMATS)
        for cell in cells:
            if cell.name == name:
                return cell
    raise ValueError(f"no cell: {name!r}")


def _run(experiment: Experiment, cell: Cell, each: Try) -> MeasuredRun | None:
    """A whole try as a value; None for one that was cut off."""
    if each.result is None:
        return None
    try:
        driver = load_result((each.folder / "driver.json").read_bytes())
        reasons = [f"{r['code']}: {r['evidence']}" for r in read_json(each.folder / "validity.json")["reasons"]]
    except (InputError, OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{each.folder}: is damaged ({error}); measure the cell again, or leave it out") from error
    return None if driver.aborted else MeasuredRun(experiment, cell, each.folder, driver, tuple(reasons), each.result)
