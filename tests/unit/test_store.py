"""The results folder: states come from its files, and it is readable however it was cut off."""

import json
import os
from pathlib import Path

import pytest

from serverless_mlperf.errors import InputError
from serverless_mlperf.store import ResultsFolder


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    """A new folder with two cells."""
    return ResultsFolder.create(tmp_path / "results", {"queries": 3}, ["a", "b"], {"host": "h"})


def test_experiment_names_settings_matrix_and_environment(folder: ResultsFolder) -> None:
    """experiment.json carries the schema, the settings, the cells and the environment."""
    content = json.loads((folder.path / "experiment.json").read_text())
    assert content["schema"] == 2
    assert (content["settings"], content["cells"], content["environment"]) == (
        {"queries": 3},
        ["a", "b"],
        {"host": "h"},
    )


def test_state_follows_the_files_of_the_last_run(folder: ResultsFolder) -> None:
    """Missing without a run, partial until summary and verdict are there, then what the verdict says."""
    assert folder.state("a") == "missing"
    run = folder.run_folder("a")
    assert folder.state("a") == "partial"
    folder.write_json(run / "validity.json", {"verdict": "VALID"})
    assert folder.state("a") == "partial"
    folder.write_json(run / "summary.json", {})
    assert folder.state("a") == "valid"
    again = folder.run_folder("a")
    assert again.name == "run-2"
    assert folder.state("a") == "partial"
    folder.write_json(again / "summary.json", {})
    folder.write_json(again / "validity.json", {"verdict": "INVALID"})
    assert folder.state("a") == "invalid"


@pytest.mark.parametrize("left", ["", "{", "[]", '{"verdict"'])
def test_damaged_verdict_is_partial(folder: ResultsFolder, left: str) -> None:
    """A verdict that was cut off counts as no verdict."""
    run = folder.run_folder("a")
    folder.write_json(run / "summary.json", {})
    (run / "validity.json").write_text(left)
    assert folder.state("a") == "partial"


def test_folder_is_read_back(folder: ResultsFolder) -> None:
    """Opening a folder gives its cells; one without experiment.json is refused."""
    assert ResultsFolder.open(folder.path) == folder
    with pytest.raises(InputError, match=r"experiment\.json"):
        ResultsFolder.open(folder.path.parent)


def test_unwritable_output_is_refused(tmp_path: Path) -> None:
    """An output path that cannot be a folder is one line, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--output"):
        ResultsFolder.create(tmp_path / "file" / "results", {}, [], {})


def test_json_is_written_whole(folder: ResultsFolder) -> None:
    """A value that cannot be written leaves the former file as it was."""
    path = folder.path / "x.json"
    folder.write_json(path, {"n": 1})
    with pytest.raises(TypeError):
        folder.write_json(path, {"n": object()})
    assert json.loads(path.read_text()) == {"n": 1}
    assert os.path.exists(path)  # noqa: PTH110 - the plain question
