"""The shipped weights recognise fresh synthetic pictures, through the function's own code and an engine."""

from importlib.resources import files
from pathlib import Path

import pytest

from serverless_mlperf.accuracy import classification_accuracy, detection_accuracy
from serverless_mlperf.datasets.base import Dataset, load_dataset
from serverless_mlperf.mlperf.responses import Rows
from serverless_mlperf.models.architecture import mobilenet_v1, ssd_mobilenet_v1
from serverless_mlperf.models.export_openvino import write_openvino
from serverless_mlperf.models.weights import load_weights
from serverless_mlperf.workloads import Task
from serverless_mlperf_sut.engines.base import create
from serverless_mlperf_sut.images import decode, preprocess
from serverless_mlperf_sut.postprocess import postprocess

FRESH_SEED = 3_000_001
"""Never used in training; `python tools/train_embedded --check` measures 1,000 pictures of another."""


def answers(task: Task, dataset: Dataset, folder: Path) -> dict[int, Rows | None]:
    """What OpenVINO answers with the shipped weights."""
    weights = load_weights(None, task)
    write_openvino(mobilenet_v1(weights) if task == "classification" else ssd_mobilenet_v1(weights), folder / "m.xml")
    engine = create("ie-ir")
    engine.load([(folder / name).read_bytes() for name in ("m.xml", "m.bin")], threads=1, precision="f32")
    engine.compile()
    return {
        sample.index: postprocess(task, engine.infer(preprocess(task, decode(sample.path.read_bytes()))))
        for sample in dataset.samples
    }


def test_classifier_recognises_fresh_pictures(tmp_path: Path) -> None:
    """Top-1 on 60 pictures leaves room for two errors, where 1,000 others had none."""
    dataset = load_dataset("synthetic", "classification", tmp_path / "set", 60, FRESH_SEED)
    results = answers("classification", dataset, tmp_path)
    accuracy = classification_accuracy(dataset, results)
    assert accuracy.top1 is not None
    assert accuracy.top1 >= 0.96
    for rows in results.values():
        assert rows is not None
        assert sum(probability for _, probability in rows) == pytest.approx(1, abs=0.05)
        assert all(1 <= number <= 20 for number, _ in rows)


def test_detector_finds_fresh_objects(tmp_path: Path) -> None:
    """AP and AP50 on 60 scenes are near those of 1,000 others (0.914, 0.998); wrong padding would give 0.2 and 0.7."""
    dataset = load_dataset("synthetic", "object_detection", tmp_path / "set", 60, FRESH_SEED)
    accuracy = detection_accuracy(dataset, answers("object_detection", dataset, tmp_path))
    assert accuracy.ap is not None
    assert accuracy.ap50 is not None
    assert accuracy.ap50 >= 0.95
    assert accuracy.ap >= 0.85


def test_shipped_files_are_small() -> None:
    """Both files together stay far below the 12 MB that a package may carry."""
    folder = files("serverless_mlperf.models") / "embedded"
    assert sum(len((folder / f"{task}.npz").read_bytes()) for task in ("classification", "object_detection")) < 2e6
