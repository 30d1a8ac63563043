"""The experiment, as a method section: prepare, deploy, warm up, measure, collect, report."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from serverless_mlperf import __version__
from serverless_mlperf.config import ExperimentConfig
from serverless_mlperf.errors import BenchmarkError
from serverless_mlperf.host import describe_host, host_lock, preflight
from serverless_mlperf.measurement import RunOutcome, first_engine, measure_run
from serverless_mlperf.mlperf.verdict import host_limited, write_validity
from serverless_mlperf.output import check_output
from serverless_mlperf.platforms.base import FunctionConfig, Platform, Target
from serverless_mlperf.platforms.local.model import visible_cores
from serverless_mlperf.platforms.local.platform import LocalPlatform, check_concurrency, host_concurrency
from serverless_mlperf.preparation import MODELS_PREFIX, Preparation, prepare
from serverless_mlperf.records import Record
from serverless_mlperf.report.csvfile import write_results
from serverless_mlperf.report.figures import draw_figures
from serverless_mlperf.report.progress import LiveProgress
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.report.table import block, print_table
from serverless_mlperf.store import ResultsFolder
from serverless_mlperf.summary import cell_result
from serverless_mlperf.workloads import Cell


def run_experiment(config: ExperimentConfig, console: Console) -> int:
    """Measure every cell and report; 0 when all were measured, 1 when something was lost or failed.

    A failed cell does not stop the others. Raises BenchmarkError for what concerns the whole experiment.
    """
    check_output(config.output)
    check_concurrency(config.concurrency, config.memory_mib)
    with host_lock():
        preflight(config.output)
        preparation = prepare(config, console.print)
        folder = _results_folder(config, preparation)
        console.print(f"results: {folder.path}")
        with _kept_readable(folder, console), LocalPlatform(config.bucket_name) as platform:
            platform.upload(preparation.objects())
            experiment = Experiment(config, preparation, platform, folder, console)
            experiment.measure_all()
        return experiment.report()


class Experiment:
    """The state of one experiment: what was measured and what failed so far."""

    def __init__(
        self,
        config: ExperimentConfig,
        preparation: Preparation,
        platform: Platform,
        folder: ResultsFolder,
        console: Console,
    ) -> None:
        self._config = config
        self._preparation = preparation
        self._platform = platform
        self._folder = folder
        self._console = console
        self._results: list[CellResult] = []
        self._failures: dict[str, str] = {}

    def measure_all(self) -> None:
        """Measure cell after cell; a failure is kept and told, and the next cell follows."""
        with LiveProgress(len(self._config.cells), self._console) as progress:
            for index, cell in enumerate(self._config.cells):
                progress.cell(cell.name, index)
                try:
                    self._measure_cell(cell, progress)
                except (BenchmarkError, OSError) as error:  # what cannot be written costs its cell
                    self._failures[cell.name] = str(error)
                    self._console.print(f"cell {cell.name} failed: {error}")

    def report(self) -> int:
        """Print the table, write results.csv and the figures; the exit status."""
        for name, reason in self._failures.items():
            self._console.print(f"not measured: {name}: {reason}")
        if not self._results:
            return 1
        print_table(self._results, self._console)  # first: what follows needs room on the disk
        path = self._folder.path / "results.csv"
        write_results(path, self._results)
        drawn = draw_figures(path, self._folder.path / "figures")
        self._console.print(
            f"written: {path} and {len(drawn)} figures; one folder per cell in {self._folder.path / 'cells'}"
        )
        lost = sum(r.lost + r.duplicates + r.errors for r in self._results)
        return 1 if self._failures or lost else 0

    def _measure_cell(self, cell: Cell, progress: LiveProgress) -> None:
        progress.event({"event": "deploy"})
        target = self._platform.deploy(_function(self._config, cell, self._preparation))
        cold_starts: list[Record] = []
        try:
            for run in range(1, self._config.repeat + 1):
                self._results.append(self._measure_valid(cell, target, run, cold_starts, progress))
        finally:
            self._platform.retire(target)

    def _measure_valid(
        self, cell: Cell, target: Target, run: int, cold_starts: list[Record], progress: LiveProgress
    ) -> CellResult:
        """Repeat a run that is INVALID for a passing reason; every try is kept in a folder of its own."""
        for attempt in range(1, self._config.retry_invalid + 2):
            folder = self._folder.run_folder(cell.name)
            dataset = self._preparation.datasets[cell.task]
            outcome = measure_run(self._config, cell, dataset, self._platform, target, folder, progress.event)
            # A later run finds the environments warm: their cold starts are those of the first one's warm-up.
            cold_starts += [record for record in outcome.warmup if record.cold]
            validity = replace(outcome.validity, tries=attempt)
            outcome = _with_prediction(replace(outcome, validity=validity, warmup=tuple(cold_starts)))
            result = self._keep(outcome, run)
            if not outcome.validity.transient:
                break
            progress.event({"event": "retry", "reasons": "; ".join(result.reasons)})
        self._console.print(block(result))
        return result

    def _keep(self, outcome: RunOutcome, run: int) -> CellResult:
        """Write what was computed of a try; summary.json last, so that its presence means a whole run."""
        result = cell_result(outcome, run, first_engine(outcome))
        write_validity(outcome.folder / "validity.json", outcome.validity)
        self._folder.write_json(outcome.folder / "summary.json", result.to_dict())
        return result


def _with_prediction(outcome: RunOutcome) -> RunOutcome:
    """Hold the mean forward against the quota's prediction; a run that differs is INVALID and may be repeated."""
    modelled = cell_result(outcome, 0, first_engine(outcome))
    reason = host_limited(modelled.mean_ms, modelled.quota_predicted_ms)
    if reason is None:
        return outcome
    validity = replace(outcome.validity, valid=False, reasons=(*outcome.validity.reasons, reason))
    return replace(outcome, validity=validity)


def _function(config: ExperimentConfig, cell: Cell, preparation: Preparation) -> FunctionConfig:
    host = describe_host()
    cores = int(host["cores"])
    return FunctionConfig(
        name=f"serverless-mlperf-{cell.name.replace('_', '-')}",
        cell_name=cell.name,
        memory_mib=cell.memory_mib,
        timeout_s=config.timeout_s,
        concurrency=config.concurrency or host_concurrency(cell.memory_mib, cores),
        environment={
            "MODELS_PATH": MODELS_PREFIX,
            "ENGINE_AND_FORMAT": cell.engine_and_format,
            "CV_TASK": cell.task,
            "SUT_THREADS": str(config.threads or min(visible_cores(cell.memory_mib), cores)),
            "SUT_PRECISION": config.precision,
            "SUT_MODEL_SHA256": ",".join(preparation.model_digests(cell.task, cell.engine_and_format)),
        },
        code_zip=preparation.function.path,
        layer_zip=preparation.layers[cell.engine_and_format].path,
    )


def _results_folder(config: ExperimentConfig, preparation: Preparation) -> ResultsFolder:
    environment: dict[str, Any] = {"version": __version__, "host": describe_host(), **preparation.digests()}
    settings = config.model_dump(mode="json")
    return ResultsFolder.create(config.output, settings, [cell.name for cell in config.cells], environment)


@contextmanager
def _kept_readable(folder: ResultsFolder, console: Console) -> Iterator[None]:
    """When the experiment is cut off, say what is done and where."""
    try:
        yield
    except (KeyboardInterrupt, BenchmarkError):
        console.print(f"cut off: {_progress(folder)}")
        raise


def _progress(folder: ResultsFolder) -> str:
    states = {name: folder.state(name) for name in folder.cells}
    done = [name for name, state in states.items() if state in {"valid", "invalid"}]
    return f"{len(done)} of {len(states)} cells are measured in {Path(folder.path)}: {', '.join(done) or 'none'}"
