"""Every engine on trained weights and photographs, without a platform: as accurate as it should be, and alike."""

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from serverless_mlperf.accuracy import classification_accuracy, detection_accuracy, encoded, score
from serverless_mlperf.datasets.base import Dataset, load_dataset
from serverless_mlperf.mlperf.verdict import accuracy_below_target
from serverless_mlperf.models.build import build_models, read_models
from serverless_mlperf.reference import cached_reference
from serverless_mlperf.workloads import ENGINE_AND_FORMATS, WORKLOADS, EngineAndFormat, Task
from serverless_mlperf_sut.engines.base import create
from serverless_mlperf_sut.images import decode, preprocess
from serverless_mlperf_sut.postprocess import postprocess
from serverless_mlperf_sut.protocol import MODEL_FILES, MODEL_FOLDERS

SHARED = Path(__file__).parents[3] / "shared" / "data"
DATASETS: dict[Task, str] = {"classification": "imagenet", "object_detection": "coco"}

Rows = list[list[float]]
Answers = Mapping[int, Rows]

pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.skipif(not (SHARED / "weights").is_dir(), reason=f"no trained weights and photographs in {SHARED}"),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Model files of the trained weights."""
    with TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as folder:
        yield build_models(Path(folder) / "models", SHARED / "weights").folder


@cache
def dataset(task: Task) -> Dataset:
    """All photographs of a task."""
    return load_dataset(DATASETS[task], task, SHARED / DATASETS[task], None, 0)


@cache
def answers(models: Path, task: Task, engine_and_format: EngineAndFormat) -> Answers:
    """What an engine says to every photograph, through the function's own decoder and pre-processing."""
    engine = create(engine_and_format)
    folder = models / MODEL_FOLDERS[task]
    engine.load([(folder / name).read_bytes() for name in MODEL_FILES[task, engine_and_format]], 2, "f32")
    engine.compile()
    images = (decode(sample.path.read_bytes()) for sample in dataset(task).samples)
    return {n: postprocess(task, engine.infer(preprocess(task, image))) for n, image in enumerate(images)}


def has_equal(row: list[float], others: Rows) -> bool:
    """Tell whether a box has an equal one: class, IoU > 0.95, score within 0.01."""
    table = np.array(others).reshape(-1, 7)
    low, high = np.maximum(table[:, 3:5], row[3:5]), np.minimum(table[:, 5:], row[5:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    area = np.prod(table[:, 5:] - table[:, 3:5], axis=1) + (row[5] - row[3]) * (row[6] - row[4])
    alike = (table[:, 1] == row[1]) & (np.abs(table[:, 2] - row[2]) < 0.01) & (common > 0.95 * (area - common))
    return bool(alike.any())


@pytest.mark.parametrize("engine_and_format", ENGINE_AND_FORMATS)
def test_top1_is_that_of_the_weights(models: Path, engine_and_format: EngineAndFormat) -> None:
    """Top-1 lies between 334 and 342 of 380 photographs."""
    found = classification_accuracy(dataset("classification"), answers(models, "classification", engine_and_format))
    assert found.sample_count == 380
    assert 334 <= round((found.top1 or 0) * 380) <= 342


@pytest.mark.parametrize("engine_and_format", ENGINE_AND_FORMATS)
def test_ap_is_that_of_the_weights(models: Path, engine_and_format: EngineAndFormat) -> None:
    """AP at score threshold .3 lies within .01 of .246 over 128 photographs."""
    found = detection_accuracy(dataset("object_detection"), answers(models, "object_detection", engine_and_format))
    assert found.sample_count == 128
    assert found.ap == pytest.approx(0.246, abs=0.01)


@pytest.mark.parametrize("task", DATASETS)
@pytest.mark.parametrize("engine_and_format", ENGINE_AND_FORMATS)
def test_engines_reach_mlperfs_target(models: Path, task: Task, engine_and_format: EngineAndFormat) -> None:
    """Every engine at f32 has 99.5 % to 100.5 % of the FP32 reference's Top-1 or AP, and so meets MLPerf's target."""
    mine = score(dataset(task), encoded(task, answers(models, task, engine_and_format))).value
    reference = cached_reference(read_models(models), dataset(task), lambda _: None).accuracy.value
    assert mine is not None
    assert reference
    assert 0.995 <= mine / reference <= 1.005
    assert accuracy_below_target(task, mine, reference, WORKLOADS[task].accuracy_target.ratio) is None


@pytest.mark.parametrize(("one", "other"), tuple(combinations(ENGINE_AND_FORMATS, 2)))
def test_engines_give_the_same_classes(models: Path, one: EngineAndFormat, other: EngineAndFormat) -> None:
    """At most 2 of 380 first answers differ between two engines."""
    first, second = (answers(models, "classification", engine) for engine in (one, other))
    assert sum(first[n][0][0] != second[n][0][0] for n in first) <= 2


@pytest.mark.parametrize(("one", "other"), tuple(combinations(ENGINE_AND_FORMATS, 2)))
def test_engines_give_the_same_boxes(models: Path, one: EngineAndFormat, other: EngineAndFormat) -> None:
    """At least 99 % of the boxes of each of two engines have an equal one at the other's."""
    for left, right in ((one, other), (other, one)):
        mine, theirs = answers(models, "object_detection", left), answers(models, "object_detection", right)
        equal = [has_equal(row, theirs[n]) for n, rows in mine.items() for row in rows if row[2] > 0.3]
        assert len(equal) > 1000
        assert sum(equal) >= 0.99 * len(equal)
