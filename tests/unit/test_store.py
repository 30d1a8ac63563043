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


SCHEMA_1_SETTINGS = {
    "tasks": ["classification"], "engine_and_formats": ["ie-ir"], "memory_mib": [768], "platform": "local",
    "transport": "s3", "scenario": "offline", "mode": "performance", "queries": 3, "repeat": 1, "retry_invalid": 2,
    "weights": None, "dataset": "synthetic", "input_dataset": None, "samples": 128, "concurrency": None,
    "threads": None, "precision": "f32", "seed": 0, "timeout_s": 60, "bucket_name": "serverless-mlperf",
    "output": "results",
}  # fmt: skip
SCHEMA_1_RESULT = {
    "task": "classification", "engine_and_format": "ie-ir", "memory_mib": 768, "model_name": "mobilenet_openvino",
    "run": 1, "p50_ms": 1.5, "p90_ms": 2.0, "mean_ms": 1.6, "stddev_ms": 0.1, "qps_seed": 100.0, "qps_loadgen": 99.0,
    "completion_p50_ms": 10.0, "completion_p90_ms": 20.0, "files": 3, "time_difference_s": 0.1, "cold": 0, "warm": 3,
    "environments": 1, "init_ms": 200.0, "share_predicted_ms": 1.5, "quota_predicted_ms": 1.4, "function_cpu_ms": 2.0,
    "forward_cpu_ms": 1.0, "platform_cpu_ms": None, "client_cpu_ms": 0.5, "lost": 0, "duplicates": 0, "errors": 0,
    "valid": True, "tries": 1, "top1": 1.0, "top5": 1.0, "ap": None, "ap50": None, "accuracy_samples": 3,
    "reasons": [], "calibration_before": 1.0, "calibration_after": 1.0, "billed_ms_mean": 5.0, "max_memory_mib": 100,
    "phases_ms": {"forward": 1.6}, "engine": {"name": "openvino"},
}  # fmt: skip
"""Every field that the first schema's summary.json has."""


def test_a_folder_of_the_first_schema_is_read(tmp_path: Path) -> None:
    """All that schema 1 wrote is understood: settings, the row, and that nothing is missing."""
    cell = "classification-ie-ir-768"
    run_folder = tmp_path / "cells" / cell / "run-1"
    run_folder.mkdir(parents=True)
    content = {"schema": 1, "settings": SCHEMA_1_SETTINGS, "cells": [cell], "environment": {"version": "0.0.1"}}
    write_json(tmp_path / "experiment.json", content)
    write_records(run_folder / "records.jsonl", [])
    write_json(run_folder / "validity.json", {"schema": 1, "verdict": "VALID", "reasons": []})
    write_json(run_folder / "summary.json", SCHEMA_1_RESULT)
    folder = ResultsFolder.open(tmp_path)
    (row,) = folder.results()
    assert (row.p50_ms, row.qps_seed, row.valid, row.scenario, row.cost) == (1.5, 100.0, True, "Offline", None)
    assert folder.shortfalls() == []
    assert folder.state(cell) == "valid"


@pytest.mark.parametrize(
    ("schema", "why"),
    [(3, "schema 3 is of a later version"), *((damaged, "is damaged") for damaged in (None, 0, "2", True))],
)
def test_another_schema_is_refused_in_one_line(folder: ResultsFolder, schema: object, why: str) -> None:
    """A later schema may mean something else by the same names; one that is none is damage."""
    path = folder.path / "experiment.json"
    write_json(path, {**json.loads(path.read_text()), "schema": schema})
    with pytest.raises(InputError, match=why) as refused:
        ResultsFolder.open(folder.path)
    assert "\n" not in str(refused.value)


def test_shortfalls_name_what_has_no_result_and_why(folder: ResultsFolder) -> None:
    """Not begun, cut off with and without a reason, damaged: each told apart; what was measured is not named."""
    fill(folder.run_folder("b"))
    folder.run_folder("b", 2)
    folder.mark_unfinished("the experiment was interrupted")
    damaged = folder.run_folder("a")
    fill(damaged)
    (damaged / "summary.json").write_text("{")
    name = folder.path.name
    assert folder.shortfalls() == [
        f"{name}: b, run 2: cut off (the experiment was interrupted)",
        f"{name}: a, run 1: run-1 is damaged",
        f"{name}: a, run 2: is not measured",
    ]


def test_settings_of_another_version_leave_the_results_readable(folder: ResultsFolder) -> None:
    """An unknown setting is one line; the rows that are there are shown all the same."""
    fill(folder.run_folder("a"))
    path = folder.path / "experiment.json"
    content = json.loads(path.read_text())
    write_json(path, {**content, "settings": {**content["settings"], "colour": "red"}})
    opened = ResultsFolder.open(folder.path)
    (line,) = opened.shortfalls()
    assert "what is missing cannot be told" in line
    assert "colour" in line
    assert [row.memory_mib for row in opened.results()] == [768]
