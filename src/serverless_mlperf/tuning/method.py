"""A tuning as a way to measure an experiment's cells: a run at a time, each chosen by what the others have shown.

Nothing is kept but the runs: what is measured next follows from the results folder, so a tuning that was cut off can
go on.
"""

from collections.abc import Mapping
from dataclasses import asdict
import math
import time
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from serverless_mlperf.config import ExperimentConfig
from serverless_mlperf.errors import InputError
from serverless_mlperf.experiment import MakeCells, write_report
from serverless_mlperf.report.progress import LiveProgress
from serverless_mlperf.store import EXPERIMENT, TUNING, ResultsFolder
from serverless_mlperf.tries import write_json
from serverless_mlperf.tuning.allocation import Choose, Step, Stop, next_step
from serverless_mlperf.tuning.candidates import Candidate, queries_of
from serverless_mlperf.tuning.judging import Question
from serverless_mlperf.tuning.observed import invalid_runs, read_candidates, unusable_runs
from serverless_mlperf.tuning.recommendation import Recommendation, recommend
from serverless_mlperf.tuning.report import document, lines

TUNE: Final = "tune.json"
"""In the results folder: the recommendation and what it rests on."""
_QUESTION: Final = TypeAdapter(Question)


class Tuning:
    """Measures what a question needs; see `experiment.Method`."""

    def __init__(self, question: Question, choose: Choose = next_step, *, allow_invalid: bool = False) -> None:
        self._question = question
        self._choose = choose
        self._allow_invalid = allow_invalid
        self._unsettled: frozenset[tuple[str, int]] = frozenset()
        self._failures: dict[str, str] = {}
        self.answer: Mapping[str, Any] = {}
        """What tune.json holds, once it is reported."""

    @property
    def notes(self) -> Mapping[str, Any]:
        """The question."""
        return {TUNING: {**asdict(self._question), "allow_invalid": self._allow_invalid}}

    @classmethod
    def of_folder(cls, folder: ResultsFolder, choose: Choose = next_step) -> "Tuning":
        """To go on with; raises InputError when the folder is not a tuning's."""
        notes = folder.environment.get(TUNING)
        if not isinstance(notes, dict):
            raise InputError(
                f"{folder.path}: is no tuning; give a folder of `tune`, or go on with it by `run --resume`"
            )
        try:
            question = _QUESTION.validate_python({k: v for k, v in notes.items() if k != "allow_invalid"})
        except ValidationError as error:
            raise InputError(f"{folder.path / EXPERIMENT}: {TUNING} is damaged; begin a new tuning") from error
        found = cls(question, choose, allow_invalid=bool(notes.get("allow_invalid")))
        found._unsettled = unusable_runs(folder, found._allow_invalid)  # once more: the host may be free by now
        return found

    def is_finished(self, folder: ResultsFolder) -> bool:
        """Whether the question needs no more runs, or has none left."""
        return isinstance(self._choose(self._question, self._candidates(folder)), Stop)

    def measure(
        self, config: ExperimentConfig, folder: ResultsFolder, make_cells: MakeCells, console: Console
    ) -> Mapping[str, str]:
        """Measure run after run until it is enough."""
        cells = {cell.name: cell for cell in config.cells}
        quiet = Console(quiet=True)  # a line per run is said here; its block of figures is in its folder
        begun_s, before = time.monotonic(), queries_of(self._candidates(folder))
        while isinstance(step := self._choose(self._question, candidates := self._candidates(folder)), Step):
            console.print(_ahead(self._question, step, candidates, time.monotonic() - begun_s, before), markup=False)
            measuring = make_cells(config.model_copy(update={"queries": step.queries}), quiet)
            with LiveProgress(1, console) as progress:
                progress.cell(step.name, 0)
                failure = measuring.measure(cells[step.name], step.run, progress)
            self._unsettled -= {(step.name, step.run)}
            if failure:
                self._failures[step.name] = failure
                console.print(f"{step.name} failed: {failure}", markup=False)
        return self._failures

    def report(
        self,
        folder: ResultsFolder,
        failures: Mapping[str, str],  # noqa: ARG002 - known: they are this tuning's own
        console: Console,
    ) -> int:
        """Recommend; 0 with a recommendation, 1 without."""
        found = self._recommendation(folder)
        self.answer = document(found, folder.results(), str(folder.path), invalid_runs(folder))
        write_json(folder.path / TUNE, self.answer)
        written = write_report(folder, results) if (results := folder.results()) else ""
        for line in lines(found, folder.results(), invalid_runs(folder)):
            console.print(line)
        console.print(f"evidence: {folder.path / TUNE}\n{written}".rstrip(), markup=False, highlight=False)
        return 0 if found.best else 1

    def progress(self, folder: ResultsFolder) -> str:
        """How far it has come."""
        candidates = self._candidates(folder)
        runs, queries = sum(len(each.runs) for each in candidates), queries_of(candidates)
        return f"{runs} runs of {len(candidates)} candidates, {queries} queries, are measured in {folder.path}"

    def _recommendation(self, folder: ResultsFolder) -> Recommendation:
        candidates = self._candidates(folder)
        step = self._choose(self._question, candidates)
        return recommend(self._question, candidates, step.reason if isinstance(step, Stop) else "budget")

    def _candidates(self, folder: ResultsFolder) -> list[Candidate]:
        return read_candidates(folder, self._failures, self._allow_invalid, self._unsettled)


def _ahead(question: Question, step: Step, candidates: list[Candidate], took_s: float, before: int) -> str:
    """What comes next, and for how long at most."""
    used, budget = queries_of(candidates), question.ladder.budget
    done = used - before
    left = f", at most {math.ceil(took_s / done * (budget - used) / 60)} min left" if done > 0 else ""
    return f"{used} of at most {budget} queries{left}; next: {step.name}, run {step.run} with {step.queries}"
