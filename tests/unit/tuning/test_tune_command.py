"""`tune` refuses what is wrong before anything is built: status 2 and one line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from serverless_mlperf.cli import app
from serverless_mlperf.errors import InputError
from serverless_mlperf.store import ResultsFolder

SLO = ("--slo", "p90=100ms")


def refused(*arguments: str) -> str:
    """The line of a command that must be refused."""
    result = CliRunner().invoke(app, ["tune", *arguments])
    assert isinstance(result.exception, InputError), (result.exception, result.output)
    assert result.exception.exit_status == 2
    line = str(result.exception)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--slo: no objective of latency; add one, for example --slo p99=200ms"),
        (("--slo", "p99<200ms"), "--slo: 'p99<200ms' is no objective; known are p50"),
        ((*SLO, *SLO), "--slo: p90 is given twice"),
        ((*SLO, "--goal", "speed"), "--goal: 'speed' is none of cost, latency, balanced"),
        ((*SLO, "--confidence", "1"), "--confidence: 1 is not between 0.5 and 0.9999"),
        ((*SLO, "--confidence", "nan"), "--confidence: nan is not between"),
        ((*SLO, "--same-within", "0"), "--same-within: 0 is not between 0.1 and 50"),
        ((*SLO, "--budget", "0"), "--budget: 0 is not between 0.05 and 1"),
        ((*SLO, "--queries", "1"), "--queries: 1 is not between 2 and 100000"),
        ((*SLO, "--queries", "0"), "--queries: 0 is not between 2 and 100000"),
        ((*SLO, "--most-queries", "0"), "--most-queries: 0 is not between 2 and 1000000"),
        ((*SLO, "--most-queries", "100"), "100 are too few: 4 runs are, the first of 64; give at least 512"),
        ((*SLO, "--scenario", "offline"), "--scenario: 'offline' is none of single-stream, server"),
        ((*SLO, "--target-qps", "5"), "--target-qps is the rate of arrivals of --scenario server"),
        ((*SLO, "--cv_task", "segmentation"), "tasks: Input should be 'classification' or 'object_detection'"),
        ((*SLO, "--memory", "100"), "memory_mib: Input should be greater than or equal to 128, not 100"),
        ((*SLO, "--platform", "moon"), "platform: "),
        ((*SLO, "--output", "/dev/null/x"), "/dev/null is a file, not a folder; choose another --output"),
        ((*SLO, "--json", "--csv"), "--json and --csv exclude each other"),
        ((*SLO, "--resume", "/nonexistent"), "--resume: what a tuning was asked is in its folder; leave --slo out"),
        (("--resume", "/nonexistent"), "/nonexistent: no results folder"),
    ],
)  # fmt: skip
def test_wrong_options(arguments: tuple[str, ...], said: str) -> None:
    """Each line names the option."""
    # Should one be taken, the tuning ends before it begins: its results have no place.
    output = () if "--output" in arguments else ("--output", "/dev/null/x")
    assert said in refused(*output, *arguments)


def test_an_experiments_folder_is_no_tuning(tmp_path: Path) -> None:
    """It says how to go on with it."""
    folder = ResultsFolder.create(tmp_path, {}, ["cell"], {})
    assert "is no tuning; give a folder of `tune`, or go on with it by `run --resume`" in refused(
        "--resume", str(folder.path)
    )


def test_a_damaged_question_is_refused(tmp_path: Path) -> None:
    """And nothing of it is guessed."""
    folder = ResultsFolder.create(tmp_path, {}, ["cell"], {"tuning": {"goal": "cost"}})
    assert "experiment.json: tuning is damaged; begin a new tuning" in refused("--resume", str(folder.path))


def test_a_tunings_folder_is_no_experiment(tmp_path: Path) -> None:
    """`run --resume` would measure the whole grid."""
    folder = ResultsFolder.create(tmp_path, {}, ["cell"], {"tuning": {}})
    result = CliRunner().invoke(app, ["run", "--resume", str(folder.path)])
    assert isinstance(result.exception, InputError)
    assert "is a tuning; go on with it by `tune --resume`" in str(result.exception)


def test_a_tuning_owes_only_what_it_has_begun(tmp_path: Path) -> None:
    """What was not worth measuring is no shortfall; what was cut off is."""
    folder = ResultsFolder.create(tmp_path, {"repeat": 2}, ["cell", "other"], {"tuning": {}})
    assert folder.shortfalls() == []
    folder.run_folder("cell", 1)
    assert folder.shortfalls() == [f"{folder.path.name}: cell, run 1: run-1 was cut off"]
