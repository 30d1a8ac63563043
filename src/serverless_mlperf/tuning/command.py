"""From what the command line gives to a tuning: checked, planned, measured, answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast, get_args

from rich.console import Console

from serverless_mlperf.config import ExperimentConfig, checked_config
from serverless_mlperf.errors import InputError
from serverless_mlperf.experiment import resume_experiment, run_experiment
from serverless_mlperf.store import ResultsFolder
from serverless_mlperf.tuning.judging import Question
from serverless_mlperf.tuning.ladder import FIRST, make_ladder
from serverless_mlperf.tuning.method import Tuning
from serverless_mlperf.tuning.objectives import Goal, parse_objectives

SCENARIOS: Final = ("single-stream", "server")
"""Where each query has a latency of its own; a burst's completion times are none."""
LEAST_BUDGET: Final = 0.05


@dataclass(frozen=True, slots=True)
class Asked:
    """The options that are a tuning's own."""

    slo: tuple[str, ...]
    goal: str
    confidence: float
    same: float
    queries: int | None
    most_queries: int | None
    budget: float
    allow_invalid: bool


def tune_anew(asked: Asked, options: Mapping[str, Any], console: Console) -> tuple[int, Mapping[str, Any]]:
    """Tune into a new folder; the exit status and what tune.json holds. Raises BenchmarkError."""
    _check(asked)
    objectives = parse_objectives(asked.slo)
    first = asked.queries or FIRST
    config = _config(options, first)
    ladder = make_ladder(objectives, len(config.cells), asked.confidence, first, asked.most_queries, asked.budget)
    planned = config.model_copy(update={"repeat": len(ladder.runs), "queries": ladder.runs[0], "cold": ladder.cold})
    question = Question(objectives, cast("Goal", asked.goal), ladder, asked.confidence, asked.same)
    method = Tuning(question, allow_invalid=asked.allow_invalid)
    return run_experiment(planned, console, method), method.answer


def go_on(path: Path, given: Mapping[str, Any], console: Console) -> tuple[int, Mapping[str, Any]]:
    """Go on with a folder's tuning; as `tune_anew`."""
    method = Tuning.of_folder(ResultsFolder.open(path))
    return resume_experiment(path, given, console, method), method.answer


def _check(asked: Asked) -> None:
    goals = get_args(Goal)
    if asked.goal not in goals:
        raise InputError(f"--goal: {asked.goal!r} is none of {', '.join(goals)}")
    for name, value, low, high in (
        ("--confidence", asked.confidence, 0.5, 0.9999),
        ("--same-within", asked.same * 100, 0.1, 50),
        ("--budget", asked.budget, LEAST_BUDGET, 1),
        ("--queries", FIRST if asked.queries is None else asked.queries, 2, 100_000),
        ("--most-queries", FIRST if asked.most_queries is None else asked.most_queries, 2, 1_000_000),
    ):
        if not low <= value <= high:
            raise InputError(f"{name}: {value:.7g} is not between {low:.7g} and {high:.7g}")


def _config(options: Mapping[str, Any], first: int) -> ExperimentConfig:
    """One task, one latency per query; raises InputError."""
    if options["scenario"] not in SCENARIOS:
        raise InputError(f"--scenario: {options['scenario']!r} is none of {', '.join(SCENARIOS)}")
    values = {"queries": first, **options}
    if "tasks" in options:
        values["tasks"] = [options["tasks"]] if isinstance(options["tasks"], str) else options["tasks"]
    elif options.get("dataset") != "coco":
        values["tasks"] = ["classification"]
    return checked_config(values, "options")
