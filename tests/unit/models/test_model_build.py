"""Building, caching and verifying model files, on random weights of the full networks."""

from collections.abc import Iterator
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from random_weights import save_random_weights

from serverless_mlperf.errors import HostError, ModelError
from serverless_mlperf.models.build import ModelSet, build_models, cached_models, read_models, verify_models
from serverless_mlperf_sut.protocol import MODEL_FILES, MODEL_FOLDERS

PROTOTXT = "ssd-mobilenetv1/FP32/mobilenet-ssd.prototxt"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of random weights."""
    return save_random_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def built(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelSet]:
    """All models, built once; tests do not change them."""
    with TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as folder:
        yield build_models(Path(folder) / "built", weights)


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A folder that is emptied at once: models are large, and pytest keeps the folders of three sessions."""
    with TemporaryDirectory(dir=tmp_path) as folder:
        yield Path(folder)


@pytest.fixture
def small(weights: Path, scratch: Path) -> ModelSet:
    """The classifier's models, to be damaged."""
    return build_models(scratch / "models", weights, ["classification"])


def test_every_file_an_engine_reads_is_built(built: ModelSet) -> None:
    """The seed's names, for both tasks and all engines, and one ONNX file each."""
    wanted = {MODEL_FOLDERS[task] + name for (task, _), names in MODEL_FILES.items() for name in names}
    assert wanted <= built.files.keys()
    assert sum(name.endswith(".onnx") for name in built.files) == 2
    assert all((built.folder / name).stat().st_size > 10_000 for name in built.files)


def test_two_builds_are_equal(built: ModelSet, weights: Path, scratch: Path) -> None:
    """The same weights give the same bytes, also for the second build of a process."""
    again = build_models(scratch / "again", weights)
    assert (again.files, again.weights_digest) == (built.files, built.weights_digest)


def test_the_manifest_names_weights_and_tools(built: ModelSet, weights: Path) -> None:
    """It carries the schema, the source and digest of the weights, the versions and every file's size."""
    manifest = json.loads((built.folder / "manifest.json").read_text())
    assert manifest["schema"] == 1
    assert manifest["weights"] == {"source": str(weights), "digest": built.weights_digest}
    assert {"python", "numpy", "openvino"} <= manifest["tools"].keys()
    assert manifest["files"][PROTOTXT]["size_bytes"] == (built.folder / PROTOTXT).stat().st_size
    assert read_models(built.folder) == built
    assert verify_models(built.folder) == []


def test_nothing_is_left_beside_the_models(built: ModelSet) -> None:
    """The folder that a build writes to first is gone."""
    assert [path.name for path in built.folder.parent.iterdir()] == ["built"]


def test_a_changed_file_is_found(small: ModelSet) -> None:
    """One flipped bit of a weights file is one problem, which names the file."""
    name = next(name for name in small.files if name.endswith(".caffemodel"))
    path = small.folder / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert [name in problem and "differs" in problem for problem in verify_models(small.folder)] == [True]


def test_a_missing_file_is_found(small: ModelSet) -> None:
    """A deleted file is one problem, which names the file."""
    name = next(name for name in small.files if name.endswith(".xml"))
    (small.folder / name).unlink()
    assert [name in problem and "missing" in problem for problem in verify_models(small.folder)] == [True]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 2}', "\x00", '{"schema": 1, "files": 3}'])
def test_a_damaged_manifest_is_one_problem(tmp_path: Path, text: str) -> None:
    """A manifest that cannot be read says so and what to do."""
    (tmp_path / "manifest.json").write_text(text)
    (problem,) = verify_models(tmp_path)
    assert "models build" in problem
    with pytest.raises(ModelError):
        read_models(tmp_path)


def test_a_manifest_may_not_point_outside(small: ModelSet) -> None:
    """File names with .. are refused before a file is opened."""
    path = small.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["../../secret"] = {"sha256": "0", "size_bytes": 1}
    path.write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="points out of the folder"):
        read_models(small.folder)


def test_other_files_in_the_folder_stay(weights: Path, small: ModelSet) -> None:
    """Building into a folder that is in use replaces models only."""
    note = small.folder / "note.txt"
    note.write_text("mine")
    damaged = small.folder / "mobilenetv1/FP32/mobilenet_v1_224_frozen.prototxt"
    damaged.write_text("")
    assert build_models(small.folder, weights, ["classification"]) == small
    assert verify_models(small.folder) == []
    assert note.read_text() == "mine"


def test_bad_weights_leave_nothing(tmp_path: Path) -> None:
    """A build that is refused makes no folder."""
    with pytest.raises(ModelError):
        build_models(tmp_path / "models", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_the_hosts_fault(weights: Path, tmp_path: Path) -> None:
    """A file in the way is reported with the folder's name, as an error of ours."""
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match=r"file/models: models cannot be written"):
        build_models(tmp_path / "file" / "models", weights, ["classification"])


def test_the_cache_builds_once_and_heals(weights: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second call reads the same files; damaged ones, and ones that others could have written, are built again."""
    monkeypatch.setenv("SERVERLESS_MLPERF_CACHE", str(scratch))
    before = os.umask(0o002)  # that of many systems: what we make must not be open to a group
    try:
        first = cached_models(weights)
    finally:
        os.umask(before)
    prototxt = first.folder / PROTOTXT
    stamp = prototxt.stat().st_mtime_ns
    assert cached_models(weights) == first
    assert prototxt.stat().st_mtime_ns == stamp
    prototxt.write_text("damaged")
    assert cached_models(weights) == first
    assert verify_models(first.folder) == []
    prototxt.chmod(0o666)
    assert cached_models(weights) == first
    assert prototxt.stat().st_mode & 0o022 == 0
