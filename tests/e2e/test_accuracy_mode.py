"""Accuracy mode as a user calls it: every image once, scored from LoadGen's log, held against the FP32 reference."""

from collections.abc import Iterator
import csv
import hashlib
import json
from pathlib import Path
import subprocess
import sys
from typing import Any

import pytest

from official_scripts import coco_stats, imagenet_counts
from serverless_mlperf.accuracy import encoded, score
from serverless_mlperf.cache import cache_dir
from serverless_mlperf.datasets.base import Dataset, load_dataset
from serverless_mlperf.mlperf.logs import read_accuracy
from serverless_mlperf.mlperf.responses import Rows
from serverless_mlperf.models.build import cached_models
from serverless_mlperf.reference import cached_reference
from serverless_mlperf.workloads import Task
from serverless_mlperf_sut.engines.base import create
from serverless_mlperf_sut.images import decode, preprocess
from serverless_mlperf_sut.postprocess import postprocess
from serverless_mlperf_sut.protocol import MODEL_FILES, MODEL_FOLDERS

SHARED = Path(__file__).parents[3] / "shared" / "data"
SMALL = (
    "--engine_and_format",
    "ie-ir",
    "--memory",
    "3008",
    "--retry-invalid",
    "0",
    "--wait-for-host",
    "0",
    "--mode",
    "accuracy",
)


def run(output: Path, *arguments: str) -> tuple[Path, str]:
    """Measure one cell to its end; the folder of its run, and what was printed."""
    command = [sys.executable, "-m", "serverless_mlperf", "run", *SMALL, *arguments, "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    (folder,) = output.glob("*/cells/*/run-1")
    return folder, done.stdout


def read(folder: Path, name: str) -> dict[str, Any]:
    """A JSON file of a run."""
    content: dict[str, Any] = json.loads((folder / name).read_text())
    return content


def outputs(folder: Path) -> dict[int, Rows | None]:
    """The rows of every output, by sample."""
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    return {r["sample_index"]: read(folder, f"output/{r['key']}.json")["result"] for r in records}


def engine_answers(models: Path, dataset: Dataset) -> Iterator[bytes]:
    """What the engine says without LoadGen, transport and platform, encoded."""
    task, engine = dataset.task, create("ie-ir")
    files = [models / MODEL_FOLDERS[task] / name for name in MODEL_FILES[task, "ie-ir"]]
    engine.load([file.read_bytes() for file in files], 2, "f32")
    engine.compile()
    for sample in dataset.samples:
        rows = postprocess(task, engine.infer(preprocess(task, decode(sample.path.read_bytes()))))
        yield encoded(task, {sample.index: rows})[sample.index]


@pytest.fixture(scope="module")
def classified(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run over eight synthetic pictures."""
    return run(tmp_path_factory.mktemp("results"), "--cv_task", "classification", "--samples", "8")


def test_every_sample_is_sent_once(classified: tuple[Path, str]) -> None:
    """The synthetic set is sent whole, each picture once, and the log says what the outputs say."""
    folder, _ = classified
    log = json.loads((folder / "loadgen" / "mlperf_log_accuracy.json").read_text())
    assert sorted(entry["qsl_idx"] for entry in log) == list(range(8))
    assert read_accuracy(folder / "loadgen", 8) == encoded("classification", outputs(folder))


def test_result_names_source_and_reference(classified: tuple[Path, str]) -> None:
    """summary.json, results.csv, experiment.json and the printed block carry source, reference, ratio and target."""
    folder, printed = classified
    summary = read(folder, "summary.json")
    assert (summary["accuracy_source"], summary["accuracy_samples"]) == ("accuracy log", 8)
    assert summary["accuracy_ratio"] == summary["top1"] / summary["accuracy_reference"] == 1
    (row,) = csv.DictReader((folder.parents[2] / "results.csv").read_text().splitlines())
    assert (row["accuracy_source"], row["accuracy_target_ratio"]) == ("accuracy log", "0.98")
    reference = read(folder.parents[2], "experiment.json")["environment"]["references"]["classification"]
    assert reference["accuracy"]["top1"] == summary["accuracy_reference"]
    assert set(reference["inputs"]) >= {"model", "dataset", "onnxruntime"}
    assert "accuracy from LoadGen's log: 100.00% of the FP32 reference's Top-1" in printed
    assert "accuracy_below_target" not in printed


def test_mlperfs_script_reads_the_log(classified: tuple[Path, str]) -> None:
    """accuracy-imagenet.py's reading of the log and of `truth/val_map.txt` counts the same answers as right."""
    folder, _ = classified
    good, total = imagenet_counts(folder / "loadgen" / "mlperf_log_accuracy.json", folder / "truth" / "val_map.txt")
    assert (good / total, total) == (read(folder, "summary.json")["top1"], 8)


def test_missed_target_makes_the_run_invalid(tmp_path: Path) -> None:
    """Held against a reference that finds every object exactly, the detector is INVALID, and that is printed."""
    dataset = load_dataset("synthetic", "object_detection", None, 5, 0)
    cached_reference(cached_models(None, ("object_detection",)), dataset, lambda _: None)
    (kept,) = (p for p in (cache_dir() / "references").glob("object*") if dataset.digest in p.read_text())
    replace_answers(kept, dataset)
    folder, printed = run(tmp_path, "--cv_task", "object_detection", "--samples", "5")
    kept.unlink()
    summary, validity = read(folder, "summary.json"), read(folder, "validity.json")
    assert summary["accuracy_reference"] == pytest.approx(1)
    assert summary["accuracy_ratio"] == summary["ap"] / summary["accuracy_reference"] < 0.99
    assert validity["verdict"] == "INVALID"
    assert "accuracy_below_target" in {reason["code"] for reason in validity["reasons"]}
    assert "    accuracy_below_target: AP 0." in printed
    assert {"ap75", "ap_small", "ap_medium", "ap_large"} <= summary.keys()


def replace_answers(kept: Path, dataset: Dataset) -> None:
    """Put the truth itself in the place of a reference's answers."""
    rows: dict[int, Rows | None] = {
        s.index: [
            [0, b.category, 0.9, b.xmin / s.width, b.ymin / s.height, b.xmax / s.width, b.ymax / s.height]
            for b in s.boxes
        ]
        for s in dataset.samples
        if s.width and s.height
    }
    answers = [data.hex() for data in encoded("object_detection", rows).values()]
    digest = hashlib.sha256("".join(answers).encode()).hexdigest()
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "answers": answers, "sha256": digest}))


@pytest.mark.shared_data
@pytest.mark.skipif(not (SHARED / "weights").is_dir(), reason=f"no trained weights and photographs in {SHARED}")
@pytest.mark.parametrize(("task", "name"), [("classification", "imagenet"), ("object_detection", "coco")])
def test_whole_way_scores_as_the_engine_does(tmp_path: Path, task: Task, name: str) -> None:
    """Over all photographs, the log has the engine's own answers to the last byte, and everybody's score is one."""
    source = ("--weights", str(SHARED / "weights"), "--dataset", name, "--input_dataset", str(SHARED / name))
    folder, _ = run(tmp_path, "--cv_task", task, *source)
    dataset = load_dataset(name, task, SHARED / name, None, 0)
    models = cached_models(SHARED / "weights", (task,))
    direct = dict(enumerate(engine_answers(models.folder, dataset)))
    logged = read_accuracy(folder / "loadgen", len(dataset.samples))
    assert [n for n, data in direct.items() if logged[n] != data] == []
    assert logged == encoded(task, outputs(folder))
    summary, found = read(folder, "summary.json"), score(dataset, direct)
    assert summary["top1" if task == "classification" else "ap"] == found.value
    assert 0.995 <= summary["accuracy_ratio"] <= 1.005
    log = folder / "loadgen" / "mlperf_log_accuracy.json"
    if task == "classification":
        assert imagenet_counts(log, folder / "truth" / "val_map.txt")[0] == round((found.value or 0) * 380)
    else:
        assert coco_stats(log, folder / "truth")[0] == found.value
