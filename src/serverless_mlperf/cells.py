"""Cell after cell: deploy, measure what is missing, keep, retire. What goes wrong costs its own cell, or one try."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from rich.console import Console

from serverless_mlperf.calibration import calibrate, wait_until_quiet
from serverless_mlperf.coldstart import cold_starts
from serverless_mlperf.compliance import compared, decide, score_differs
from serverless_mlperf.config import ExperimentConfig
from serverless_mlperf.errors import BenchmarkError, BudgetError, CutOffError, RunError
from serverless_mlperf.estimate import Estimates
from serverless_mlperf.measurement import measure_cold_start, measure_run
from serverless_mlperf.mlperf.verdict import host_limited
from serverless_mlperf.outcome import RunOutcome, first_engine, queries_sent, read_outcome, write_outcome
from serverless_mlperf.plan import RunPlan, next_run, settled
from serverless_mlperf.platforms.base import FunctionConfig, Platform, Target
from serverless_mlperf.platforms.table import traits_of
from serverless_mlperf.preparation import Preparation
from serverless_mlperf.pricing.cost import Pricing
from serverless_mlperf.records import Record, write_records
from serverless_mlperf.redaction import redacted
from serverless_mlperf.report.coldstarts import cold_lines
from serverless_mlperf.report.progress import LiveProgress
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.report.table import block
from serverless_mlperf.spending import Purse
from serverless_mlperf.store import ResultsFolder
from serverless_mlperf.summary import cell_result
from serverless_mlperf.tries import Try, write_json
from serverless_mlperf.workloads import Cell

COLD_SUMMARY: Final = "cold.json"
"""In the cell's folder, written last: the cold starts are all there."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of one run of a cell."""

    cell: Cell
    run: int
    number: int
    plan: RunPlan


class Cells:
    """Measures the cells of one experiment into its folder; the folder alone says what is still to be done."""

    def __init__(
        self,
        config: ExperimentConfig,
        preparation: Preparation,
        platform: Platform,
        folder: ResultsFolder,
        console: Console,
        functions: Mapping[Cell, FunctionConfig],
        pricing: Pricing,
    ) -> None:
        self._config = config
        self._preparation = preparation
        self._platform = platform
        self._folder = folder
        self._console = console
        self._functions = functions
        self._pricing = pricing
        self._estimates = Estimates(
            config, {cell: function.concurrency for cell, function in functions.items()}, pricing
        )
        self._purse = Purse(folder.path, config.budget)
        self._uploaded = False

    def measure_missing(self) -> dict[str, str]:
        """Measure what is missing or INVALID; returns cell -> why it failed. A failure does not stop the others.

        The end of the budget does: then nothing more is begun.
        """
        missing = {cell: self._folder.missing(cell.name) for cell in self._config.cells}
        # Repetitions are spread over the matrix: what changes with time, such as the host, is not one cell's alone.
        runs = range(1, self._config.repeat + 1)
        todo = [(run, cell) for run in runs for cell, lacking in missing.items() if run in lacking]
        failures: dict[str, str] = {}
        with LiveProgress(len(todo), self._console) as progress:
            for index, (run, cell) in enumerate(todo):
                progress.cell(cell.name, index)
                try:
                    reason = self.measure(cell, run, progress)
                except BudgetError as error:
                    failures[cell.name] = f"stopped by the budget: {error}"
                    break
                if reason:
                    failures[cell.name] = reason
        return failures

    def measure(self, cell: Cell, run: int, progress: LiveProgress) -> str | None:
        """Measure one run of a cell; returns why it failed, if it did. Raises BudgetError when nothing is left."""
        try:
            self._measure_cell(cell, run, progress)
        except BudgetError:
            raise
        except (BenchmarkError, OSError) as error:  # what cannot be written costs its cell
            reason = redacted(str(error))
            self._folder.mark_unfinished(reason)
            self._console.print(f"cell {cell.name} failed: {reason}", markup=False)
            return reason
        return None

    def _measure_cell(self, cell: Cell, run: int, progress: LiveProgress) -> None:
        """Measure a run of a cell; once it is measured again when a process of ours was ended from outside."""
        try:
            self._measure_deployed(cell, run, progress)
        except CutOffError as error:
            self._folder.mark_unfinished(str(error))
            self._console.print(f"cell {cell.name} was cut off and is measured again: {error}", markup=False)
            self._measure_deployed(cell, run, progress)

    def _measure_cold_starts(self, cell: Cell, progress: LiveProgress) -> None:
        """Force cold starts by deploying the function anew for each, unless they are there already."""
        folder, count = self._folder.path / "cells" / cell.name, self._config.cold
        if not count or (folder / COLD_SUMMARY).exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._upload()
        before = wait_until_quiet(self._config.wait_for_host_s)
        records = []
        for number in range(count):
            progress.event({"event": "cold", "done": number, "total": count})
            estimate, rate = self._estimates.cold_start(cell), self._estimates.rate(cell)
            with self._purse.paying(f"{cell.name}, a cold start", estimate, rate) as payment:
                records.append(self._cold_start(cell, folder))
                payment.settle(records[-1:], 1)
        found = cold_starts(records, before, calibrate())
        write_records(folder / "cold.jsonl", records)
        write_json(folder / COLD_SUMMARY, asdict(found))
        for line in cold_lines(cell.name, found):
            self._console.print(line, markup=False, highlight=False)

    def _cold_start(self, cell: Cell, folder: Path) -> Record:
        target = self._platform.deploy(self._functions[cell])
        try:
            return measure_cold_start(self._config, cell, self._preparation, self._platform, target, folder)
        finally:
            self._platform.retire(target)

    def _upload(self) -> None:
        if not self._uploaded:
            self._platform.upload(self._preparation.objects())
            self._uploaded = True

    def _measure_deployed(self, cell: Cell, run: int, progress: LiveProgress) -> None:
        self._measure_cold_starts(cell, progress)
        progress.event({"event": "deploy"})
        self._upload()
        target = self._platform.deploy(self._functions[cell])
        try:
            self._measure_steps(cell, run, target, progress)
        except BenchmarkError:
            self._retire(cell, target)
            raise
        self._retire(cell, target)

    def _measure_steps(self, cell: Cell, run: int, target: Target, progress: LiveProgress) -> None:
        """Measure the steps of a run that are missing or INVALID, each once; what one comes to decides on the next."""
        done: list[CellResult] = []
        started_cold: list[Record] = []
        while (plan := next_run(self._config, done)) is not None:
            step = Step(cell, run, len(done) + 1, plan)
            kept = self._folder.result(cell.name, run, step.number)
            if kept is None or not settled(self._config, kept):
                kept = self._measure_valid(step, target, started_cold, progress)
                if score_differs(kept):
                    reference = Step(cell, run, 1, RunPlan("performance", done[0].target_qps))
                    kept = self._measure_beside(step, reference, target, started_cold, progress)
            done.append(kept)

    def _retire(self, cell: Cell, target: Target) -> None:
        """Leave nothing of the cell; what was measured stays measured when that fails.

        Not done when the experiment is interrupted: then everything ends with the platform.
        """
        try:
            self._platform.retire(target)
        except BenchmarkError as error:
            self._console.print(f"cell {cell.name}: its function was not retired in order: {error}", markup=False)

    def _measure_valid(
        self, step: Step, target: Target, started_cold: list[Record], progress: LiveProgress
    ) -> CellResult:
        """Repeat a step that is INVALID for a passing reason; every try is kept in a folder of its own."""
        for left in reversed(range(1 + self._config.retry_invalid)):
            outcome = self._measure_paid(step, target, progress)
            # A later run finds the environments warm: their cold starts are those of the first one's warm-up.
            started_cold += [record for record in outcome.warmup if record.cold]
            outcome = self._judged(replace(outcome, warmup=tuple(started_cold)), step)
            result = self._keep(outcome, step)
            if outcome.driver.budget is not None:
                self._console.print(block(result), markup=False, highlight=False)
                raise BudgetError(f"{outcome.driver.budget}; raise it and go on with run --resume")
            if left and outcome.validity.transient:
                progress.event({"event": "retry", "reasons": "; ".join(result.reasons)})
                continue
            break
        self._console.print(block(result), markup=False, highlight=False)
        return result

    def _measure_paid(self, step: Step, target: Target, progress: LiveProgress) -> RunOutcome:
        """One try of a step, in a folder of its own; raises BudgetError when too little is left to begin it."""
        cell, estimates = step.cell, self._estimates
        rate, outcome = estimates.rate(cell), None
        with self._purse.paying(f"{cell.name}, a run", estimates.run(cell, step.plan.mode), rate) as payment:
            folder = self._folder.run_folder(cell.name, step.run, step.number)
            try:
                outcome = measure_run(
                    self._config, cell, step.plan, self._preparation, self._platform, target, folder, progress.event,
                    payment.allowance,
                )  # fmt: skip
            finally:
                records = (*outcome.records, *outcome.warmup) if outcome else ()
                payment.settle(records, queries_sent(folder))
        return outcome

    def _measure_beside(
        self, step: Step, reference: Step, target: Target, started_cold: list[Record], progress: LiveProgress
    ) -> CellResult:
        """Judge a compliance test whose score differs by more runs of its reference and its own, in turn."""

        def judge() -> CellResult:
            progress.event({"event": "retry", "reasons": "the score differs: is it the host?"})
            self._measure_valid(reference, target, started_cold, progress)
            return self._judge_again(step)

        def measure() -> CellResult:
            return self._measure_valid(step, target, started_cold, progress)

        return decide(judge, measure, self._config.retry_invalid)

    def _judge_again(self, step: Step) -> CellResult:
        """The verdict of a step's last whole try, now that there are more runs beside it."""
        counted = self._folder.counted_try(step.cell.name, step.run, step.number)
        if counted is None:
            raise RunError(f"cell {step.cell.name}: step {step.number} is not there any more; measure the cell again")
        result = self._keep(compared(read_outcome(counted.folder, step.cell), self._references(step)), step)
        self._console.print(block(result), markup=False, highlight=False)
        return result

    def _references(self, step: Step) -> list[Try]:
        """Whole tries of the step and those before it, in the order in which they were measured."""
        tries = self._folder.tries(step.cell.name)
        return [each for each in tries if each.run == step.run and each.step <= step.number and each.result]

    def _judged(self, outcome: RunOutcome, step: Step) -> RunOutcome:
        """Add what only the figures and the other steps of the run tell."""
        predicted = _with_prediction(outcome) if traits_of(self._config.platform).shares_host else outcome
        return compared(predicted, self._references(step))

    def _keep(self, outcome: RunOutcome, step: Step) -> CellResult:
        """Write what was computed of a try; summary.json last, so that its presence means a whole run."""
        tries = self._folder.count_tries(step.cell.name, step.run, step.number)
        outcome = replace(outcome, validity=replace(outcome.validity, tries=tries))
        result = cell_result(outcome, step.run, first_engine(outcome), step.number, self._pricing)
        write_outcome(outcome)
        write_json(outcome.folder / "summary.json", result.to_dict())
        return result


def _with_prediction(outcome: RunOutcome) -> RunOutcome:
    """Hold the mean forward against the quota's prediction; a run that differs is INVALID and may be repeated.

    Not in accuracy mode, which measures no time.
    """
    if outcome.driver.mode == "accuracy":
        return outcome
    modelled = cell_result(outcome, 0, first_engine(outcome))
    reason = host_limited(modelled.mean_ms, modelled.quota_predicted_ms)
    return replace(outcome, validity=outcome.validity.with_reason(reason))
