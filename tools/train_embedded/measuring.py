"""Accuracy of the shipped files on synthetic pictures, through the model files and the function's own code."""

from collections.abc import Iterable
from pathlib import Path
import tempfile

from serverless_mlperf.accuracy import (
    ClassificationAccuracy,
    DetectionAccuracy,
    classification_accuracy,
    detection_accuracy,
)
from serverless_mlperf.datasets.base import Dataset, load_dataset
from serverless_mlperf.models.build import build_models
from serverless_mlperf.workloads import EngineAndFormat, Task
from serverless_mlperf_sut.engines.base import Engine, create
from serverless_mlperf_sut.images import decode, preprocess
from serverless_mlperf_sut.postprocess import postprocess
from serverless_mlperf_sut.protocol import MODEL_FILES, MODEL_FOLDERS

_THREADS = 2


def check(tasks: Iterable[Task], engines: Iterable[EngineAndFormat], seed: int, count: int) -> None:
    """Print the accuracy of every task on every engine."""
    with tempfile.TemporaryDirectory() as scratch:
        models = Path(scratch, "models")
        build_models(models, None)
        for task in tasks:
            dataset = load_dataset("synthetic", task, Path(scratch, task), count, seed)
            for name in engines:
                accuracy, row_count = measured(dataset, _loaded(task, name, models))
                rows = f"{row_count / count:.2f} rows per image"
                print(f"{task} {name} seed {seed}: {accuracy}, {rows}", flush=True)


def measured(dataset: Dataset, engine: Engine) -> tuple[ClassificationAccuracy | DetectionAccuracy, int]:
    """Accuracy of a loaded engine on a data set, and how many rows it answered."""
    task = dataset.task
    results = {
        sample.index: postprocess(task, engine.infer(preprocess(task, decode(sample.path.read_bytes()))))
        for sample in dataset.samples
    }
    score = classification_accuracy if task == "classification" else detection_accuracy
    return score(dataset, results), sum(map(len, results.values()))


def _loaded(task: Task, name: EngineAndFormat, models: Path) -> Engine:
    paths = [models / MODEL_FOLDERS[task] / file for file in MODEL_FILES[task, name]]
    engine = create(name)
    engine.load([path.read_bytes() for path in paths], threads=_THREADS, precision="f32")
    engine.compile()
    return engine
