"""The results folder: what counts comes from its files, and it is readable however it was cut off."""

from dataclasses import replace
import json
from pathlib import Path

import pytest

from serverless_mlperf.errors import HostError, InputError
from serverless_mlperf.records import write_records
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.store import ResultsFolder
from serverless_mlperf.tries import UNFINISHED, write_json

RESULT = CellResult(
    task="classification", engine_and_format="ie-ir", memory_mib=768, model_name="mobilenet_openvino", run=1,
    p50_ms=1.5, p90_ms=2.0, mean_ms=1.6, stddev_ms=0.1, qps_seed=100.0, qps_loadgen=99.0, completion_p50_ms=10.0,
    completion_p90_ms=20.0, files=3, time_difference_s=0.1, cold=0, warm=3, environments=1, init_ms=200.0,
    share_predicted_ms=1.5, quota_predicted_ms=1.4, function_cpu_ms=2.0, forward_cpu_ms=1.0, platform_cpu_ms=None,
    client_cpu_ms=0.5, lost=0, duplicates=0, errors=0, valid=True, tries=1, top1=1.0, top5=1.0, accuracy_samples=3,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    """A new folder with two cells of two runs each."""
    return ResultsFolder.create(tmp_path / "results", {"queries": 3, "repeat": 2}, ["b", "a"], {"host": {"cores": 2}})


def fill(run_folder: Path, valid: bool = True, run: int = 1) -> None:
    """Write what a whole try has, in the order of the experiment."""
    write_records(run_folder / "records.jsonl", [])
    write_json(run_folder / "validity.json", {"verdict": "VALID" if valid else "INVALID"})
    write_json(run_folder / "summary.json", replace(RESULT, run=run, valid=valid).to_dict())


def test_experiment_names_settings_matrix_and_environment(folder: ResultsFolder) -> None:
    """experiment.json carries the schema, the settings, the cells and the environment, and gives the folder back."""
    content = json.loads((folder.path / "experiment.json").read_text())
    assert content["schema"] == 2
    assert (content["settings"], content["cells"]) == ({"queries": 3, "repeat": 2}, ["b", "a"])
    assert ResultsFolder.open(folder.path) == folder


def test_state_follows_the_files(folder: ResultsFolder) -> None:
    """Missing without a try, partial until all runs are measured, then what the verdicts say."""
    assert folder.state("a") == "missing"
    fill(folder.run_folder("a"))
    assert (folder.state("a"), folder.missing("a")) == ("partial", [2])
    fill(folder.run_folder("a", 2), valid=False, run=2)
    assert (folder.state("a"), folder.missing("a")) == ("invalid", [2])
    fill(folder.run_folder("a", 2), run=2)
    assert (folder.state("a"), folder.missing("a")) == ("valid", [])
    assert folder.state("b") == "missing"


def test_last_whole_try_counts_and_all_tries_are_counted(folder: ResultsFolder) -> None:
    """A try that was cut off replaces nothing, but is one of the tries."""
    fill(folder.run_folder("a"), valid=False)
    folder.run_folder("a")
    result = folder.result("a", 1)
    assert result is not None
    assert (result.valid, result.tries) == (False, 2)
    fill(folder.run_folder("a"))
    result = folder.result("a", 1)
    assert result is not None
    assert (result.valid, result.tries) == (True, 3)


def test_results_come_in_the_order_of_the_matrix(folder: ResultsFolder) -> None:
    """Whatever was measured first, rows are by cell and run."""
    for cell, run in (("a", 2), ("a", 1), ("b", 1)):
        fill(folder.run_folder(cell, run), run=run)
    write_json(folder.path / "cells" / "b" / "run-1" / "summary.json", replace(RESULT, memory_mib=1536).to_dict())
    assert [(r.memory_mib, r.run) for r in folder.results()] == [(1536, 1), (768, 1), (768, 2)]


@pytest.mark.parametrize("name", ["records.jsonl", "validity.json", "summary.json"])
@pytest.mark.parametrize("left", [None, "", "{", "[]", '{"verdict"', '"text"', "\x00\xff", '{"verdict": 1}'])
def test_cut_off_try_never_counts_and_says_so(folder: ResultsFolder, name: str, left: str | None) -> None:
    """With any of its files missing or cut off anywhere, a try has no result, and after marking its folder says why."""
    run_folder = folder.run_folder("a")
    fill(run_folder)
    path = run_folder / name
    path.unlink() if left is None else path.write_text(left, encoding="latin-1")
    if (name, left) == ("records.jsonl", ""):
        return  # no records is a whole file
    assert (folder.state("a"), folder.result("a", 1), folder.missing("a")) == ("partial", None, [1, 2])
    for partial in (".summary.json.partial", "validity.partial"):
        (run_folder / partial).write_text("{")
    folder.mark_unfinished("killed")
    note = json.loads((run_folder / UNFINISHED).read_text())
    assert (note["counts"], note["reason"]) == (False, "killed")
    assert not list(run_folder.glob("*.partial"))
    folder.mark_unfinished("later")
    assert json.loads((run_folder / UNFINISHED).read_text()) == note


def test_whole_try_is_not_marked(folder: ResultsFolder) -> None:
    """Marking what was cut off leaves measured tries alone."""
    fill(folder.run_folder("a"))
    folder.mark_unfinished("killed")
    assert not list(folder.path.glob(f"cells/*/*/{UNFINISHED}"))


@pytest.mark.parametrize("left", ["", "{", "[]", '{"run": "x"}'])
def test_damaged_note_of_a_try(folder: ResultsFolder, left: str) -> None:
    """A try whose note was cut off belongs to no run, unless its summary says to which."""
    run_folder = folder.run_folder("a", 2)
    (run_folder / "try.json").write_text(left)
    assert folder.count_tries("a", 2) == 0
    fill(run_folder, run=2)
    assert folder.count_tries("a", 2) == 1


@pytest.mark.parametrize(
    "left",
    [
        "", "{", "[]", '{"cells": "a"}', '{"cells": ["a"], "settings": [], "environment": {}}',
        '{"cells": ["../a"], "settings": {}, "environment": {}}', '{"cells": [""], "settings": {}, "environment": {}}',
    ],
)  # fmt: skip
def test_damaged_experiment_is_refused(folder: ResultsFolder, left: str) -> None:
    """A folder whose experiment.json is missing, cut off or of another form is an InputError that names it."""
    (folder.path / "experiment.json").write_text(left)
    with pytest.raises(InputError, match=folder.path.name):
        ResultsFolder.open(folder.path)
    with pytest.raises(InputError, match=r"experiment\.json"):
        ResultsFolder.open(folder.path.parent)


def test_newest_folder_is_found(tmp_path: Path, folder: ResultsFolder) -> None:
    """The newest by its name, among those that hold an experiment; none is an InputError."""
    output = folder.path.parent
    older = output / "20200101T000000Z-0000"
    older.mkdir()
    (older / "experiment.json").write_text("{}")
    (output / "99990101T000000Z-0000").mkdir()
    assert ResultsFolder.newest(output) == folder
    with pytest.raises(InputError, match="no results folder"):
        ResultsFolder.newest(tmp_path / "none")


def test_unwritable_output_is_refused(tmp_path: Path) -> None:
    """An output path that cannot be a folder is one line, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--output"):
        ResultsFolder.create(tmp_path / "file" / "results", {}, [], {})


def test_json_is_written_whole(tmp_path: Path) -> None:
    """A value that cannot be written leaves the former file as it was; a disk that refuses is a HostError."""
    path = tmp_path / "x.json"
    write_json(path, {"n": 1})
    with pytest.raises(TypeError):
        write_json(path, {"n": object()})
    assert json.loads(path.read_text()) == {"n": 1}
    with pytest.raises(HostError, match="cannot be written"):
        write_json(tmp_path / "none" / "x.json", {})


def test_folder_that_cannot_be_written_is_one_line(folder: ResultsFolder) -> None:
    """A try whose folder cannot be made is a HostError."""
    (folder.path / "cells").write_text("")
    with pytest.raises(HostError, match="run-1: cannot be made"):
        folder.run_folder("a")
