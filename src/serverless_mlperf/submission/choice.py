"""Which runs go in: per cell and scenario one of each mode, and what is missing."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from serverless_mlperf.config import SCENARIOS
from serverless_mlperf.errors import InputError
from serverless_mlperf.mlperf.spec import Mode, Scenario
from serverless_mlperf.submission.benchmarks import BENCHMARKS, MODES, Benchmark
from serverless_mlperf.submission.measured import Experiment, MeasuredRun
from serverless_mlperf.workloads import Cell


@dataclass(frozen=True, slots=True)
class Entry:
    """One scenario folder of a submission."""

    cell: Cell
    scenario: Scenario
    experiment: Experiment
    """The newest one that was to measure it."""
    runs: Mapping[Mode, MeasuredRun]
    counts: Mapping[Mode, int]
    """How many whole runs there were to choose from."""

    @property
    def name(self) -> str:
        """As it is called in messages."""
        return f"{self.cell.name} {self.scenario}"

    @property
    def benchmark(self) -> Benchmark:
        """Of its task."""
        return BENCHMARKS[self.cell.task]

    @property
    def missing(self) -> tuple[Mode, ...]:
        """Runs that a result needs and that were not measured."""
        return tuple(mode for mode in self.benchmark.modes if mode not in self.runs)

    @property
    def invalid(self) -> tuple[MeasuredRun, ...]:
        """Chosen runs that are not to be believed."""
        return tuple(run for run in self.runs.values() if not run.valid)


def choose(experiments: Sequence[Experiment], runs: Sequence[MeasuredRun]) -> list[Entry]:
    """One entry per cell and scenario that was measured, or was to be; in the order of the cells' names.

    Of several runs of one mode the newest VALID one counts, and the newest of all when none is VALID. Raises InputError
    for a sweep, whose runs differ on purpose.
    """
    for experiment in experiments:
        if experiment.settings.get("sweep"):
            raise InputError(
                f"{experiment.path}: has a run for each number of queries in flight (--sweep), and a submission has "
                "one performance run; measure without --sweep"
            )
    wanted = dict(_wanted(experiments))
    wanted |= {(run.cell, run.driver.scenario): run.experiment for run in runs}
    return [_entry(cell, scenario, wanted[cell, scenario], runs) for cell, scenario in sorted(wanted)]


def _wanted(experiments: Iterable[Experiment]) -> Iterator[tuple[tuple[Cell, Scenario], Experiment]]:
    """What the experiments were to measure: a cell that never came to a whole run is missing, not unheard of."""
    for experiment in experiments:
        scenario = SCENARIOS.get(str(experiment.settings.get("scenario")))
        for cell in experiment.cells:
            if scenario is not None:
                yield (cell, scenario), experiment


def _entry(cell: Cell, scenario: Scenario, experiment: Experiment, runs: Iterable[MeasuredRun]) -> Entry:
    mine = [run for run in runs if (run.cell, run.driver.scenario) == (cell, scenario)]
    chosen = {mode: _newest([run for run in mine if run.driver.mode == mode]) for mode in MODES}
    counts = Counter(run.driver.mode for run in mine)
    return Entry(cell, scenario, experiment, {mode: run for mode, run in chosen.items() if run is not None}, counts)


def _newest(runs: Sequence[MeasuredRun]) -> MeasuredRun | None:
    """Of runs, oldest first."""
    return next((run for run in reversed(runs) if run.valid), runs[-1] if runs else None)
