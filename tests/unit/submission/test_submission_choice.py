"""Which runs go in, what is refused, and in which words."""

from dataclasses import replace
import json
from pathlib import Path
import re
import shlex

import pytest
from submission_runs import CELL, Results, add_run, copied, files, invalidate, measure
import typer

from serverless_mlperf.cli import app
from serverless_mlperf.errors import InputError
from serverless_mlperf.mlperf.spec import dump_result
from serverless_mlperf.submission.command import Written, write_submission


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """One run per mode of one cell; few samples, since nothing here looks at them."""
    return measure(tmp_path_factory.mktemp("measured"), samples=20)


@pytest.fixture
def results(measured: Results, tmp_path: Path) -> Results:
    """A copy to change."""
    return copied(measured, tmp_path / "results")


def refused(source: Results, tmp_path: Path, **changes: object) -> str:
    """Why a submission is refused; nothing may be left of it."""
    before = set(files(tmp_path))
    with pytest.raises(InputError) as error:
        write_submission(source.request(tmp_path / "new" / "out", **changes))
    assert set(files(tmp_path)) == before
    assert not (tmp_path / "new").exists()
    message = str(error.value)
    assert "\n" not in message
    return message


def written(source: Results, tmp_path: Path, **changes: object) -> tuple[Written, str]:
    """What was written, and the README beside it."""
    made = write_submission(source.request(tmp_path / "out", **changes))
    return made, (made.folder / "README.md").read_text()


def drop(results: Results, *modes: str) -> None:
    """Leave runs of these modes without a summary, as a run that was cut off is."""
    for run in results.runs():
        if results.driver(run).mode in modes:
            (run / "summary.json").unlink()


def test_missing_runs_are_named_with_the_command_that_measures_them(results: Results, tmp_path: Path) -> None:
    """One line: cell, scenario, modes, and commands that the command line takes as they are."""
    drop(results, "accuracy", "test04")
    message = refused(results, tmp_path)
    assert message.startswith("not measured: classification-ie-ir-3008 Offline: accuracy, test04; measure with `")
    words = [shlex.split(command) for command in re.findall(r"`(serverless-mlperf run [^`]+)`", message)]
    run = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    parsed = [run.make_context("run", command[2:]).params for command in words]
    assert [options["mode"] for options in parsed] == ["accuracy", "test04"]
    for options in parsed:
        assert (options["cv_task"], options["engine_and_format"], options["memory"]) == (
            ["classification"],
            ["ie-ir"],
            [3008],
        )
        assert (options["scenario"], options["samples"], options["quick"]) == ("offline", 20, True)


def test_compliance_tests_bring_what_they_are_compared_with(results: Results, tmp_path: Path) -> None:
    """Where TEST01 is missing, its command measures accuracy and performance as well."""
    drop(results, "performance", "accuracy", "test01")
    message = refused(results, tmp_path)
    assert "performance, accuracy, test01; measure with `" in message
    assert re.findall(r"--mode (\w+)`", message) == ["test01"]


def test_cell_that_was_never_measured_is_missing(results: Results, tmp_path: Path) -> None:
    """The matrix says what was to be measured: a cell without a run is refused, or listed."""
    results.change("experiment.json", cells=["classification-ie-ir-3008", "classification-ie-ir-768"])
    assert "classification-ie-ir-768 Offline: performance, accuracy, test01, test04; " in refused(results, tmp_path)
    made, _ = written(results, tmp_path, allow_incomplete=True)
    assert made.notes == ("classification-ie-ir-768 Offline: nothing was measured",)


def test_incomplete_results_are_listed(results: Results, tmp_path: Path) -> None:
    """With --allow-incomplete the rest is written; a test whose counterpart is missing is left out, and said so."""
    drop(results, "accuracy")
    made, readme = written(results, tmp_path, allow_incomplete=True)
    assert made.notes == (
        "classification-ie-ir-3008 Offline: accuracy: not measured",
        "classification-ie-ir-3008 Offline: test01: left out, because a run that it is compared with is missing",
    )
    assert all(f"- {note}\n" in readme for note in made.notes)
    assert "|  | missing | incomplete |" in readme
    folder = made.folder / "results" / "local-ie-ir-3008mb" / "mobilenet" / "Offline"
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "TEST04", "measurements.json", "performance", "user.conf",
    ]  # fmt: skip


def test_nothing_measured_is_no_submission(results: Results, tmp_path: Path) -> None:
    """Incomplete is not empty."""
    drop(results, "performance", "accuracy", "test01", "test04")
    assert "no whole run" in refused(results, tmp_path, allow_incomplete=True)


def test_invalid_run_is_refused_with_its_reason(results: Results, tmp_path: Path) -> None:
    """The line has the run, the evidence and the command that measures it again."""
    invalidate(results.run("test04"), "the host was busy")
    message = refused(results, tmp_path)
    assert "test04 is INVALID (" in message
    assert "host_before: the host was busy" in message
    assert "--mode test04`), or add --allow-invalid" in message


def test_allowed_invalid_run_is_noted(results: Results, tmp_path: Path) -> None:
    """With --allow-invalid both READMEs say INVALID and why."""
    invalidate(results.run("performance"), "the host was busy")
    made, readme = written(results, tmp_path, allow_invalid=True)
    assert "| INVALID |" in readme
    own = (made.folder / "results" / "local-ie-ir-3008mb" / "mobilenet" / "Offline" / "README.md").read_text()
    for text in (readme, own):
        assert "performance is INVALID" in text
        assert "the host was busy" in text


def test_newest_valid_run_counts(results: Results, tmp_path: Path) -> None:
    """Of three, the second is taken when the third is INVALID, and the README says how many there were."""
    add_run(results, "performance")
    invalidate(add_run(results, "performance"))
    made, _ = written(results, tmp_path)
    own = (made.folder / "results" / "local-ie-ir-3008mb" / "mobilenet" / "Offline" / "README.md").read_text()
    assert re.search(r"performance: VALID, `[^`]+/run-5`, 3 to choose from, data set: synthetic, 20 samples", own)


def test_results_of_several_folders_make_one(results: Results, tmp_path: Path) -> None:
    """Each mode may come from a folder of its own."""
    other = copied(results, tmp_path / "other")
    drop(results, "accuracy", "test01")
    drop(other, "performance", "test04")
    made, _ = written(results, tmp_path, results=(results.path, other.path, results.path))
    assert (made.results, made.notes) == (1, ())


def test_runs_of_another_host_are_refused(results: Results, tmp_path: Path) -> None:
    """What makes another system is named with both values."""
    other = copied(results, tmp_path / "other")
    other.change("experiment.json", environment__host__cpu_model="Another CPU")
    drop(other, "performance")
    message = refused(results, tmp_path, results=(results.path, other.path))
    assert "host.cpu_model is " in message
    assert "Another CPU" in message


def test_runs_of_another_data_set_are_refused(results: Results, tmp_path: Path) -> None:
    """Runs of one result are of one data set."""
    other = copied(results, tmp_path / "other")
    other.change("experiment.json", settings__seed=7)
    drop(other, "performance")
    assert "seed is 0 in " in refused(results, tmp_path, results=(results.path, other.path))


def test_sweep_is_refused(results: Results, tmp_path: Path) -> None:
    """A run per number of queries in flight is no submission's one performance run."""
    results.change("experiment.json", settings__sweep=[1, 2])
    assert "--sweep" in refused(results, tmp_path)


@pytest.mark.parametrize("name", ["validity.json", "summary.json", "records.jsonl"])
def test_run_with_a_damaged_verdict_does_not_count(results: Results, tmp_path: Path, name: str) -> None:
    """It was cut off, as far as anybody can tell: it is missing."""
    path = results.run("accuracy") / name
    path.write_bytes(path.read_bytes()[:-2])
    assert "Offline: accuracy; " in refused(results, tmp_path)


@pytest.mark.parametrize(("name", "text"), [("driver.json", "{"), ("validity.json", '{"verdict": "INVALID"}')])
def test_damaged_run_is_one_line(results: Results, tmp_path: Path, name: str, text: str) -> None:
    """A file that is no longer what was written names its folder."""
    (results.run("accuracy") / name).write_text(text)
    assert refused(results, tmp_path).startswith(f"{results.path}/cells/{CELL.name}/run-2: is damaged (")


@pytest.mark.parametrize("name", ["mlperf_log_detail.txt", "mlperf_log_summary.txt", "mlperf_log_accuracy.json"])
def test_lost_log_is_one_line(results: Results, tmp_path: Path, name: str) -> None:
    """A run without its logs is named, and nothing is written."""
    logs = results.path / "cells" / CELL.name / "run-2" / "loadgen"
    (logs / name).unlink()
    assert name in refused(results, tmp_path)


@pytest.mark.parametrize(
    "cells", [["../../etc"], ["classification-ie-ir-3008/.."], ["classification-fake-1"], "x", [1]]
)
def test_cells_of_a_strange_folder_are_refused(results: Results, tmp_path: Path, cells: object) -> None:
    """A cell's name is one of the matrix, and leads nowhere else."""
    results.change("experiment.json", cells=cells)
    assert "experiment.json: is damaged" in refused(results, tmp_path)


def test_folder_without_results_is_refused(results: Results, tmp_path: Path) -> None:
    """What is no results folder is said to be none."""
    assert "no results folder" in refused(results, tmp_path, results=(tmp_path,))


def test_aborted_run_does_not_count(results: Results, tmp_path: Path) -> None:
    """An account that ends early is no whole run."""
    run = results.run("performance")
    (run / "driver.json").write_bytes(dump_result(replace(results.driver(run), aborted="SIGTERM")))
    assert "Offline: performance; " in refused(results, tmp_path)


def test_existing_submission_is_kept_without_force(results: Results, tmp_path: Path) -> None:
    """The second time is refused; another organisation's folder beside it is none of our business."""
    made, _ = written(results, tmp_path)
    (made.folder / "mine.txt").write_text("kept")
    with pytest.raises(InputError, match="exists; choose another --output, or replace it with --force"):
        write_submission(results.request(tmp_path / "out"))
    assert (made.folder / "mine.txt").read_text() == "kept"
    write_submission(results.request(tmp_path / "out", org="Another"))
    write_submission(results.request(tmp_path / "out", force=True))
    assert not (made.folder / "mine.txt").exists()
    assert sorted(path.name for path in made.folder.parent.iterdir()) == ["Another", "Example"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["open"]


def test_failed_replacement_leaves_the_former_one(results: Results, tmp_path: Path) -> None:
    """With --force, too, nothing is lost when the new one cannot be made."""
    made, _ = written(results, tmp_path)
    before = list(files(made.folder))
    (results.run("performance") / "loadgen" / "mlperf_log_summary.txt").unlink()
    with pytest.raises(InputError, match="cannot be copied"):
        write_submission(results.request(tmp_path / "out", force=True))
    assert list(files(made.folder)) == before


@pytest.mark.parametrize("org", [None, "", "..", "a/b", ".hidden", "x" * 65])
def test_organisation_must_be_a_folders_name(results: Results, tmp_path: Path, org: str | None) -> None:
    """Nobody is made up, and nothing is written elsewhere."""
    assert "--org" in refused(results, tmp_path, org=org)


def test_system_names_begin_as_asked(results: Results, tmp_path: Path) -> None:
    """--system is the first part of the systems' names."""
    made, _ = written(results, tmp_path, system="laptop")
    assert made.systems == ("laptop-ie-ir-3008mb",)


def test_output_that_cannot_be_a_folder_is_one_line(results: Results, tmp_path: Path) -> None:
    """A file in the way is an error with a way out."""
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="choose another --output"):
        write_submission(results.request(tmp_path / "out"))


def test_summary_without_a_score_is_refused(results: Results, tmp_path: Path) -> None:
    """An accuracy run of unlabelled samples has nothing to say."""
    path = results.run("accuracy") / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"top1": None}))
    assert "an accuracy run without a score" in refused(results, tmp_path)
