"""Every engine computes the same function as ONNX Runtime: same network, same padding, same anchors, same NMS."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
import onnxruntime
import pytest
from random_weights import save_random_weights

from serverless_mlperf.models.architecture import INPUT_SIZES
from serverless_mlperf.models.build import ONNX_FILES, build_models
from serverless_mlperf.workloads import ENGINE_AND_FORMATS, EngineAndFormat, Task
from serverless_mlperf_sut.engines.base import create
from serverless_mlperf_sut.images import decode, preprocess
from serverless_mlperf_sut.postprocess import postprocess
from serverless_mlperf_sut.protocol import MODEL_FILES, MODEL_FOLDERS

SHARED = Path(__file__).parents[4] / "shared" / "data"
IMAGE_COUNT = 6
Array = NDArray[Any]


@pytest.fixture(scope="module")
def random_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Models of random weights."""
    with TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as folder:
        yield build_models(Path(folder) / "models", save_random_weights(Path(folder) / "weights")).folder


@pytest.fixture(scope="module")
def trained_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Models of the trained weights."""
    if not (SHARED / "weights").is_dir():
        pytest.skip(f"no trained weights in {SHARED}")
    with TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as folder:
        yield build_models(Path(folder) / "models", SHARED / "weights").folder


def noise(task: Task) -> list[Array]:
    """Two inputs of smooth noise; white noise would average out in the first layers."""
    size = INPUT_SIZES[task]
    coarse = np.random.default_rng(3).uniform(-1, 1, (2, 1, 3, size // 20 + 1, size // 20 + 1))
    smooth = coarse.repeat(20, axis=3).repeat(20, axis=4)[..., :size, :size]
    return [np.ascontiguousarray(one, np.float32) for one in smooth]


def photographs(task: Task) -> list[Array]:
    """A few photographs, ready for the network."""
    folder = SHARED / ("imagenet" if task == "classification" else "coco")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"})
    return [preprocess(task, decode(path.read_bytes())) for path in paths[:: len(paths) // IMAGE_COUNT]]


def reference(models: Path, task: Task, inputs: list[Array]) -> list[list[Array]]:
    """ONNX Runtime's outputs."""
    path = models / MODEL_FOLDERS[task] / ONNX_FILES[task]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return [session.run(None, {"input": one}) for one in inputs]


def engine_outputs(models: Path, task: Task, engine_and_format: EngineAndFormat, inputs: list[Array]) -> list[Array]:
    """An engine's raw outputs at f32."""
    engine = create(engine_and_format)
    folder = models / MODEL_FOLDERS[task]
    engine.load([(folder / name).read_bytes() for name in MODEL_FILES[task, engine_and_format]], 2, "f32")
    engine.compile()
    return [engine.infer(one).copy() for one in inputs]


def overlaps(first: Array, second: Array) -> Array:
    """IoU of every box of one set with every box of the other."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    return np.asarray(shared / (areas[0][:, None] + areas[1][None] - shared))


def unmatched(outputs: list[Array], rows: Array) -> int:
    """Reference boxes without an equal one: class, IoU > 0.95, score within 0.01."""
    boxes, scores, classes = outputs
    equal = overlaps(boxes, rows[:, 3:]) > 0.95
    equal &= classes[:, None] == rows[None, :, 1]
    equal &= np.abs(scores[:, None] - rows[None, :, 2]) < 0.01
    return int((~equal.any(axis=1)).sum())


def check_classifier(models: Path, engine_and_format: EngineAndFormat, inputs: list[Array]) -> None:
    """Probabilities within 1e-4, the same answer."""
    expected = reference(models, "classification", inputs)
    for (wanted,), given in zip(
        expected, engine_outputs(models, "classification", engine_and_format, inputs), strict=True
    ):
        assert np.abs(wanted - given.reshape(1, -1)).max() < 1e-4
        assert wanted.argmax() == given.argmax()


def check_detector(models: Path, engine_and_format: EngineAndFormat, inputs: list[Array]) -> None:
    """As many boxes as the reference has, each with an equal one, and boxes at all."""
    expected = reference(models, "object_detection", inputs)
    raw = engine_outputs(models, "object_detection", engine_and_format, inputs)
    rows = [np.array(postprocess("object_detection", one)).reshape(-1, 7) for one in raw]
    assert [len(one) for one in rows] == [len(outputs[1]) for outputs in expected]
    assert [unmatched(outputs, one) for outputs, one in zip(expected, rows, strict=True)] == [0] * len(inputs)
    assert sum(len(one) for one in rows) > len(inputs)


@pytest.mark.parametrize("engine_and_format", ENGINE_AND_FORMATS)
def test_random_classifier_agrees(random_models: Path, engine_and_format: EngineAndFormat) -> None:
    """The classifier's files are the same function, whatever the weights."""
    check_classifier(random_models, engine_and_format, noise("classification"))


@pytest.mark.parametrize("engine_and_format", ENGINE_AND_FORMATS)
def test_random_detector_agrees(random_models: Path, engine_and_format: EngineAndFormat) -> None:
    """The detector's files are the same function, whatever the weights."""
    check_detector(random_models, engine_and_format, noise("object_detection"))


@pytest.mark.shared_data
@pytest.mark.parametrize("engine_and_format", ENGINE_AND_FORMATS)
def test_trained_classifier_agrees(trained_models: Path, engine_and_format: EngineAndFormat) -> None:
    """On photographs no engine's probability is off by 1e-4."""
    check_classifier(trained_models, engine_and_format, photographs("classification"))


@pytest.mark.shared_data
@pytest.mark.parametrize("engine_and_format", ENGINE_AND_FORMATS)
def test_trained_detector_agrees(trained_models: Path, engine_and_format: EngineAndFormat) -> None:
    """On photographs every engine finds the boxes that ONNX Runtime finds."""
    check_detector(trained_models, engine_and_format, photographs("object_detection"))
