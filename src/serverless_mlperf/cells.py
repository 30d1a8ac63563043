"""Cell after cell: deploy, measure what is missing, keep, retire. What goes wrong costs its own cell, or one try."""

from collections.abc import Mapping
from dataclasses import replace

from rich.console import Console

from serverless_mlperf.config import ExperimentConfig
from serverless_mlperf.errors import BenchmarkError, CutOffError
from serverless_mlperf.host import host_cores
from serverless_mlperf.measurement import measure_run
from serverless_mlperf.mlperf.verdict import host_limited
from serverless_mlperf.outcome import RunOutcome, first_engine, write_outcome
from serverless_mlperf.plan import RunPlan
from serverless_mlperf.platforms.base import FunctionConfig, Platform, Target
from serverless_mlperf.platforms.local.model import visible_cores
from serverless_mlperf.preparation import MODELS_PREFIX, Preparation
from serverless_mlperf.records import Record
from serverless_mlperf.report.progress import LiveProgress
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.report.table import block
from serverless_mlperf.store import ResultsFolder
from serverless_mlperf.summary import cell_result
from serverless_mlperf.tries import write_json
from serverless_mlperf.workloads import Cell


class Cells:
    """Measures the cells of one experiment into its folder; the folder alone says what is still to be done."""

    def __init__(
        self,
        config: ExperimentConfig,
        preparation: Preparation,
        platform: Platform,
        folder: ResultsFolder,
        console: Console,
        environments: Mapping[Cell, int],
    ) -> None:
        self._config = config
        self._preparation = preparation
        self._platform = platform
        self._folder = folder
        self._console = console
        self._environments = environments
        self._uploaded = False

    def measure_missing(self) -> dict[str, str]:
        """Measure what is missing or INVALID; returns cell -> why it failed. A failure does not stop the others."""
        todo = [cell for cell in self._config.cells if self._folder.missing(cell.name)]
        failures: dict[str, str] = {}
        with LiveProgress(len(todo), self._console) as progress:
            for index, cell in enumerate(todo):
                progress.cell(cell.name, index)
                try:
                    self._measure_cell(cell, progress)
                except (BenchmarkError, OSError) as error:  # what cannot be written costs its cell
                    failures[cell.name] = str(error)
                    self._folder.mark_unfinished(str(error))
                    self._console.print(f"cell {cell.name} failed: {error}", markup=False)
        return failures

    def _measure_cell(self, cell: Cell, progress: LiveProgress) -> None:
        """Measure a cell; once it is measured again when a process of ours was ended from outside."""
        try:
            self._measure_deployed(cell, progress)
        except CutOffError as error:
            self._folder.mark_unfinished(str(error))
            self._console.print(f"cell {cell.name} was cut off and is measured again: {error}", markup=False)
            self._measure_deployed(cell, progress)

    def _measure_deployed(self, cell: Cell, progress: LiveProgress) -> None:
        progress.event({"event": "deploy"})
        if not self._uploaded:
            self._platform.upload(self._preparation.objects())
            self._uploaded = True
        target = self._platform.deploy(self._function(cell))
        try:
            cold_starts: list[Record] = []
            for run in self._folder.missing(cell.name):
                self._measure_valid(cell, target, run, cold_starts, progress)
        except BenchmarkError:
            self._retire(cell, target)
            raise
        self._retire(cell, target)

    def _retire(self, cell: Cell, target: Target) -> None:
        """Leave nothing of the cell; what was measured stays measured when that fails.

        Not done when the experiment is interrupted: then everything ends with the platform.
        """
        try:
            self._platform.retire(target)
        except BenchmarkError as error:
            self._console.print(f"cell {cell.name}: its function was not retired in order: {error}", markup=False)

    def _measure_valid(
        self, cell: Cell, target: Target, run: int, cold_starts: list[Record], progress: LiveProgress
    ) -> None:
        """Repeat a run that is INVALID for a passing reason; every try is kept in a folder of its own."""
        for _ in range(1 + self._config.retry_invalid):
            folder = self._folder.run_folder(cell.name, run)
            plan = RunPlan(self._config.mode, self._config.target_qps)
            outcome = measure_run(
                self._config, cell, plan, self._preparation, self._platform, target, folder, progress.event
            )
            # A later run finds the environments warm: their cold starts are those of the first one's warm-up.
            cold_starts += [record for record in outcome.warmup if record.cold]
            outcome = _with_prediction(replace(outcome, warmup=tuple(cold_starts)))
            result = self._keep(outcome, run)
            if not outcome.validity.transient:
                break
            progress.event({"event": "retry", "reasons": "; ".join(result.reasons)})
        self._console.print(block(result), markup=False, highlight=False)

    def _keep(self, outcome: RunOutcome, run: int) -> CellResult:
        """Write what was computed of a try; summary.json last, so that its presence means a whole run."""
        tries = self._folder.count_tries(outcome.cell.name, run)
        outcome = replace(outcome, validity=replace(outcome.validity, tries=tries))
        result = cell_result(outcome, run, first_engine(outcome))
        write_outcome(outcome)
        write_json(outcome.folder / "summary.json", result.to_dict())
        return result

    def _function(self, cell: Cell) -> FunctionConfig:
        config, preparation = self._config, self._preparation
        return FunctionConfig(
            name=f"serverless-mlperf-{cell.name.replace('_', '-')}",
            cell_name=cell.name,
            memory_mib=cell.memory_mib,
            timeout_s=config.timeout_s,
            concurrency=self._environments[cell],
            environment={
                "MODELS_PATH": MODELS_PREFIX,
                "ENGINE_AND_FORMAT": cell.engine_and_format,
                "CV_TASK": cell.task,
                "SUT_THREADS": str(config.threads or min(visible_cores(cell.memory_mib), host_cores())),
                "SUT_PRECISION": config.precision,
                "SUT_MODEL_SHA256": ",".join(preparation.model_digests(cell.task, cell.engine_and_format)),
            },
            code_zip=preparation.function.path,
            layer_zip=preparation.layers[cell.engine_and_format].path,
        )


def _with_prediction(outcome: RunOutcome) -> RunOutcome:
    """Hold the mean forward against the quota's prediction; a run that differs is INVALID and may be repeated."""
    modelled = cell_result(outcome, 0, first_engine(outcome))
    reason = host_limited(modelled.mean_ms, modelled.quota_predicted_ms)
    if reason is None:
        return outcome
    validity = replace(outcome.validity, valid=False, reasons=(*outcome.validity.reasons, reason))
    return replace(outcome, validity=validity)
