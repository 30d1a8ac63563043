"""Two results folders compared as a user compares them."""

import csv
from dataclasses import replace
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serverless_mlperf.cli import app
from serverless_mlperf.comparison.folders import compare_folders
from serverless_mlperf.errors import InputError
from serverless_mlperf.records import write_records
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.store import ResultsFolder
from serverless_mlperf.tries import write_json

RESULT = CellResult(
    task="classification", engine_and_format="ie-ir", memory_mib=768, model_name="mobilenet_openvino", run=1,
    p50_ms=100.0, p90_ms=200.0, mean_ms=1.6, stddev_ms=0.1, qps_seed=100.0, qps_loadgen=50.0, completion_p50_ms=10.0,
    completion_p90_ms=20.0, files=3, time_difference_s=0.1, cold=0, warm=3, environments=1, init_ms=200.0,
    share_predicted_ms=1.5, quota_predicted_ms=1.4, function_cpu_ms=2.0, forward_cpu_ms=1.0, platform_cpu_ms=None,
    client_cpu_ms=0.5, lost=0, duplicates=0, errors=0, valid=True, tries=1,
)  # fmt: skip
NOISE = (1.0, 1.02, 0.99, 1.01, 0.98)
INVALID = 6


def measured(output: Path, factor: float, engine: str = "2026.1", invalid: bool = False) -> Path:
    """A folder of five runs, slower by a factor; a sixth one may be INVALID, and far off."""
    count = INVALID if invalid else 5
    environment = {"host": {"cpu": "a"}, "engines": {"openvino": engine}}
    folder = ResultsFolder.create(output, {"repeat": count, "queries": 3}, ["cell"], environment)
    for run in range(1, count + 1):
        path, valid = folder.run_folder("cell", run), run != INVALID
        value = 100 * factor * (NOISE[run - 1] if valid else 10)
        write_records(path / "records.jsonl", [])
        write_json(path / "validity.json", {"verdict": "VALID" if valid else "INVALID"})
        write_json(path / "summary.json", replace(RESULT, run=run, p50_ms=value, valid=valid).to_dict())
    return folder.path


def test_a_slower_result_is_called_so(tmp_path: Path) -> None:
    """By its one figure that is slower; the others are the same, and what differs besides is named."""
    base, new = measured(tmp_path, 1.0), measured(tmp_path, 1.2, engine="2026.2")
    found = compare_folders(base, new, 0.05)
    assert {key.figure: change.verdict for key, change in found.changes.items()} == {
        "forward p50": "slower", "forward p90": "same", "1/throughput": "same",
    }  # fmt: skip
    assert [(d.name, d.base, d.new) for d in found.differences] == [("engines.openvino", "2026.1", "2026.2")]


def test_invalid_runs_tell_nothing(tmp_path: Path) -> None:
    """They are left out, and counted."""
    found = compare_folders(measured(tmp_path, 1.0), measured(tmp_path, 1.0, invalid=True), 0.05)
    assert {(change.new_runs, change.verdict) for change in found.changes.values()} == {(5, "same")}
    assert found.left_out == (0, 1)


def test_folders_without_a_common_cell_are_refused(tmp_path: Path) -> None:
    """There is nothing to compare."""
    empty = ResultsFolder.create(tmp_path, {}, ["cell"], {}).path
    with pytest.raises(InputError, match="no cell has VALID performance runs in both"):
        compare_folders(measured(tmp_path, 1.0), empty, 0.05)


def test_command_prints_a_page_that_fits(tmp_path: Path) -> None:
    """Differences first, then figures, none wider than 80 columns but for the folders' names."""
    base, new = measured(tmp_path, 1.0), measured(tmp_path, 1.2, engine="2026.2")
    done = CliRunner().invoke(app, ["compare", str(base), str(new)])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[2:4] == ["not measured alike:", "  engines.openvino: 2026.1 -> 2026.2"]
    assert "mobilenet_openvino 768 Offline s3: 5 and 5 runs" in lines
    [slower] = [line for line in lines if line.startswith("  forward p50")]
    assert slower.endswith("  slower")
    assert max(len(line) for line in lines[2:]) <= 80


def test_fail_over_is_an_exit_status(tmp_path: Path) -> None:
    """1 beyond it, 0 within; an improvement is no failure."""
    base, new = measured(tmp_path, 1.0), measured(tmp_path, 1.2)
    codes = [
        CliRunner().invoke(app, ["compare", *map(str, both), "--fail-over", percent]).exit_code
        for both, percent in (((base, new), "10"), ((base, new), "30"), ((new, base), "10"))
    ]
    assert codes == [1, 0, 0]


def test_figures_as_json_and_csv(tmp_path: Path) -> None:
    """The same figures either way."""
    folders = [str(measured(tmp_path, 1.0)), str(measured(tmp_path, 1.2))]
    document = json.loads(CliRunner().invoke(app, ["compare", *folders, "--json"]).output)
    rows = list(csv.DictReader(io.StringIO(CliRunner().invoke(app, ["compare", *folders, "--csv"]).output)))
    assert [row["verdict"] for row in rows] == [each["verdict"] for each in document["changes"]]
    assert [float(row["ratio"]) for row in rows] == [each["ratio"] for each in document["changes"]]


def test_history_goes_by_time_and_says_what_changed(tmp_path: Path) -> None:
    """One line per experiment, each against the one before; a damaged folder is named, the others are shown."""
    folders = [measured(tmp_path, factor) for factor in (1.0, 1.2, 1.2)]
    for number, folder in enumerate(folders):
        content = json.loads((folder / "experiment.json").read_text())
        content["started"] = f"2026-11-2{number}T10:00:00+00:00"
        (folder / "experiment.json").write_text(json.dumps(content))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "experiment.json").write_text("{")
    done = CliRunner().invoke(app, ["history", str(tmp_path), "--plot", str(tmp_path / "history.png")])
    assert done.exit_code == 0, done.output
    lines = [line for line in done.stdout.splitlines() if line.startswith("  2026")]
    assert [line.split()[0] for line in lines] == [f"2026-11-2{n}T10:00" for n in range(3)]
    assert [line.split()[-1] for line in lines[1:]] == ["slower", "same"]
    assert "broken: no results folder" in done.stderr
    assert (tmp_path / "history.png").read_bytes()[:4] == b"\x89PNG"
    rows = json.loads(CliRunner().invoke(app, ["history", str(tmp_path), "--json"]).stdout)
    assert [row["verdict"] for row in rows] == [None, "slower", "same"]


def test_history_without_results_is_refused(tmp_path: Path) -> None:
    """As is a cell that nobody measured, and a picture of no known format."""
    for arguments, message in (
        ([str(tmp_path / "none")], "holds no results folder"),
        ([str(measured(tmp_path, 1.0).parent), "--cell", "nosuch"], "no VALID performance run"),
        ([str(tmp_path), "--plot", str(tmp_path / "x.nosuch")], "cannot be written"),
    ):
        assert message in str(CliRunner().invoke(app, ["history", *arguments]).exception)
