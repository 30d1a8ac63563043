"""The FP32 reference: what ONNX Runtime says, computed once, kept, and never believed unchecked."""

from dataclasses import replace
import json
from pathlib import Path

import pytest

from serverless_mlperf.accuracy import classification_accuracy, score
from serverless_mlperf.cache import cache_section
from serverless_mlperf.datasets.base import Dataset, load_dataset
from serverless_mlperf.errors import DatasetError, RunError
from serverless_mlperf.models.build import ModelSet, cached_models
from serverless_mlperf.reference import cached_reference
from serverless_mlperf.workloads import TASKS, Task
from serverless_mlperf_sut.engines.base import create
from serverless_mlperf_sut.images import decode, preprocess
from serverless_mlperf_sut.postprocess import postprocess
from serverless_mlperf_sut.protocol import MODEL_FILES, MODEL_FOLDERS

COUNT = 6


@pytest.fixture(scope="module")
def models() -> ModelSet:
    """Models of the shipped weights."""
    return cached_models(None)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache without any reference in it."""
    monkeypatch.setenv("SERVERLESS_MLPERF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "references"


def pictures(task: Task, folder: Path) -> Dataset:
    """A few synthetic pictures."""
    return load_dataset("synthetic", task, folder / "pictures", COUNT, 11)


def silent(_line: str) -> None:
    """Say nothing."""


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.usefixtures("own_cache")
def test_reference_is_what_an_engine_says(task: Task, models: ModelSet, tmp_path: Path) -> None:
    """OpenVINO at f32 scores the same on the same pictures, and the figure is far from 0."""
    dataset, engine = pictures(task, tmp_path), create("ie-ir")
    files = [models.folder / MODEL_FOLDERS[task] / name for name in MODEL_FILES[task, "ie-ir"]]
    engine.load([file.read_bytes() for file in files], 2, "f32")
    engine.compile()
    images = [preprocess(task, decode(sample.path.read_bytes())) for sample in dataset.samples]
    rows = {n: postprocess(task, engine.infer(image)) for n, image in enumerate(images)}
    found = cached_reference(models, dataset, silent).accuracy
    assert found.sample_count == COUNT
    assert found.value is not None
    assert found.value > 0.5
    if task == "classification":
        assert classification_accuracy(dataset, rows) == found


def test_second_call_reads_the_cache(models: ModelSet, tmp_path: Path, own_cache: Path) -> None:
    """The same inputs are not computed again, and both calls give the same."""
    said: list[str] = []
    dataset = pictures("classification", tmp_path)
    first = cached_reference(models, dataset, said.append)
    (kept,) = own_cache.iterdir()
    written_ns = kept.stat().st_mtime_ns
    assert cached_reference(models, dataset, said.append) == first
    assert kept.stat().st_mtime_ns == written_ns
    assert [line.endswith("from the cache") for line in said] == [False, True]


@pytest.mark.parametrize("damage", ["cut", "answer", "inputs", "emptied", "writable"])
def test_damaged_cache_is_computed_again(models: ModelSet, tmp_path: Path, own_cache: Path, damage: str) -> None:
    """A file that is cut, altered, of other inputs or open to others is replaced, not used."""
    dataset = pictures("classification", tmp_path)
    first = cached_reference(models, dataset, silent)
    (kept,) = own_cache.iterdir()
    whole = kept.read_text()
    content = json.loads(whole)
    content["answers"][0] = content["answers"][1]
    damaged = {
        "cut": whole[:-9],
        "answer": json.dumps(content),
        "inputs": whole.replace('"numpy": "', '"numpy": "0'),
        "emptied": json.dumps({**content, "answers": []}),
        "writable": whole,
    }[damage]
    assert damage == "writable" or damaged != whole
    kept.write_text(damaged)
    kept.chmod(0o666 if damage == "writable" else 0o644)
    said: list[str] = []
    assert cached_reference(models, dataset, said.append) == first
    assert not said[0].endswith("from the cache")
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == (whole, 0o644)


def test_other_inputs_are_another_reference(models: ModelSet, tmp_path: Path, own_cache: Path) -> None:
    """Another data set or model is never answered from the file of this one."""
    dataset = pictures("classification", tmp_path)
    first = cached_reference(models, dataset, silent)
    cached_reference(models, replace(dataset, digest="another"), silent)
    other = dict.fromkeys(models.files, "another")
    assert cached_reference(replace(models, files=other), dataset, silent).inputs["model"] == "another"
    assert len(list(own_cache.iterdir())) == 3
    assert set(first.inputs) >= {"model", "dataset", "images.py", "postprocess.py", "onnxruntime", "pillow"}


@pytest.mark.usefixtures("own_cache")
def test_image_that_cannot_be_read_is_named(models: ModelSet, tmp_path: Path) -> None:
    """A damaged image is a DatasetError with its path, and nothing is kept."""
    dataset = pictures("classification", tmp_path)
    dataset.samples[3].path.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=dataset.samples[3].path.name) as caught:
        cached_reference(models, dataset, silent)
    assert "\n" not in str(caught.value)
    assert list(cache_section("references").iterdir()) == []


@pytest.mark.usefixtures("own_cache")
def test_process_that_fails_is_a_run_error(models: ModelSet, tmp_path: Path) -> None:
    """Without a model there is no reference, and one line says what the process said."""
    with pytest.raises(RunError, match="FP32 reference was not computed") as caught:
        cached_reference(replace(models, folder=tmp_path), pictures("classification", tmp_path), silent)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("own_cache")
def test_interrupt_ends_the_process(models: ModelSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stops the caller stops the process too; the session's end checks that none is left."""
    monkeypatch.setattr("serverless_mlperf.reference.SAY_EVERY_S", 0.2)
    dataset = pictures("classification", tmp_path)
    samples = tuple(replace(dataset.samples[n % COUNT], index=n, key=f"synthetic/{n}.jpg") for n in range(20_000))

    def interrupt(line: str) -> None:
        if " of " in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_reference(models, replace(dataset, samples=samples), interrupt)
    assert list(cache_section("references").iterdir()) == []


def test_answers_are_kept_not_scores(models: ModelSet, tmp_path: Path, own_cache: Path) -> None:
    """The file holds one answer per image, as LoadGen would log it; scoring them gives the reference."""
    dataset = pictures("object_detection", tmp_path)
    found = cached_reference(models, dataset, silent)
    (kept,) = own_cache.iterdir()
    answers = json.loads(kept.read_text())["answers"]
    assert score(dataset, {n: bytes.fromhex(data) for n, data in enumerate(answers)}) == found.accuracy
