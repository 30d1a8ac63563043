"""The built-in data set: deterministic, realistic to decode, and not solvable by mean colour."""

import io
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
import pytest

from serverless_mlperf.datasets.base import load_dataset
from serverless_mlperf.datasets.synthetic import CATEGORIES, JPEG_QUALITY, picture
from serverless_mlperf.errors import DatasetError
from serverless_mlperf.workloads import TASKS, Task


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has a cache of its own."""
    monkeypatch.setenv("SERVERLESS_MLPERF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("task", TASKS)
def test_same_seed_same_set(task: Task, tmp_path: Path) -> None:
    """The seed decides every byte: two sets of one seed have one digest, another seed has another."""
    one, again = (load_dataset("synthetic", task, tmp_path / name, 4, 3) for name in ("one", "again"))
    other = load_dataset("synthetic", task, tmp_path / "other", 4, 4)
    assert one.digest == again.digest != other.digest


def test_longer_set_begins_with_the_shorter(tmp_path: Path) -> None:
    """Picture i does not depend on how many are made."""
    short = load_dataset("synthetic", "classification", tmp_path / "short", 2, 3)
    long = load_dataset("synthetic", "classification", tmp_path / "long", 4, 3)
    assert [s.path.read_bytes() for s in short.samples] == [s.path.read_bytes() for s in long.samples[:2]]


@pytest.mark.parametrize("task", TASKS)
def test_images_cost_as_photographs_do(task: Task) -> None:
    """JPEGs are at least 500 x 375 and 40 kB, so that decoding them is no free lunch."""
    for index in range(10):
        image, _ = picture(task, 1, index)
        body = io.BytesIO()
        image.save(body, "JPEG", quality=JPEG_QUALITY)
        assert image.size in {(500, 375), (640, 480)}
        assert body.tell() > 40_000


def test_scenes_have_one_to_four_objects_inside() -> None:
    """A scene has 1 to 4 boxes, each of a known category and inside the image."""
    for index in range(30):
        image, truth = picture("object_detection", 1, index)
        assert 1 <= len(truth["boxes"]) <= 4
        for category, xmin, ymin, xmax, ymax in truth["boxes"]:
            assert category in CATEGORIES["object_detection"]
            assert 0 <= xmin < xmax <= image.width
            assert 0 <= ymin < ymax <= image.height


def test_cache_is_verified(own_cache: Path) -> None:
    """A cached set is used again; a damaged one, and one that others could have written, is made again."""
    before = os.umask(0o002)  # that of many systems: what we make must not be open to a group
    try:
        first = load_dataset("synthetic", "classification", None, 2, 0)
    finally:
        os.umask(before)
    victim = first.samples[0].path
    assert own_cache in victim.parents
    written = victim.stat().st_mtime_ns
    load_dataset("synthetic", "classification", None, 2, 0)
    assert victim.stat().st_mtime_ns == written
    victim.write_bytes(b"damaged")
    assert load_dataset("synthetic", "classification", None, 2, 0).digest == first.digest
    assert victim.read_bytes() != b"damaged"
    victim.chmod(0o666)
    load_dataset("synthetic", "classification", None, 2, 0)
    assert victim.stat().st_mode & 0o022 == 0
    assert [path.name for path in victim.parents[1].iterdir()] == [victim.parent.name]


def test_user_folder_is_not_overwritten(tmp_path: Path) -> None:
    """A folder of the user's with another set, changed images or other files is a DatasetError."""
    folder = tmp_path / "mine"
    dataset = load_dataset("synthetic", "classification", folder, 2, 0)
    with pytest.raises(DatasetError, match="another set"):
        load_dataset("synthetic", "classification", folder, 3, 0)
    dataset.samples[1].path.write_bytes(b"changed")
    with pytest.raises(DatasetError, match="were changed"):
        load_dataset("synthetic", "classification", folder, 2, 0)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    with pytest.raises(DatasetError, match="cannot be read"):
        load_dataset("synthetic", "classification", tmp_path / "full", 2, 0)


def test_negative_seed_is_refused(tmp_path: Path) -> None:
    """A negative seed is a DatasetError, not numpy's."""
    with pytest.raises(DatasetError, match="negative"):
        load_dataset("synthetic", "classification", tmp_path / "new", 1, -1)


def mean_colours(seed: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Mean colour of the part the network sees, and the class, of each picture."""
    means, labels = [], []
    for index in range(count):
        image, truth = picture("classification", seed, index)
        side = image.height * 224 // 256
        left, top = (image.width - side) // 2, (image.height - side) // 2
        means.append(np.asarray(image.crop((left, top, left + side, top + side)).resize((1, 1), Image.Resampling.BOX)))
        labels.append(truth["label"])
    return np.array(means, float).reshape(count, 3) / 255, np.array(labels)


def test_mean_colour_does_not_solve_it() -> None:
    """Nearest centroid and ridge on the mean colour stay below 0.5 Top-1: texture must be seen."""
    means, labels = mean_colours(1, 300)
    test_means, test_labels = mean_colours(2, 150)
    centroids = np.stack([means[labels == kind].mean(axis=0) for kind in range(20)])
    nearest = ((test_means[:, None] - centroids) ** 2).sum(axis=2).argmin(axis=1)
    features = np.c_[means, np.ones(len(means))]
    ridge = np.linalg.solve(features.T @ features + 1e-3 * np.eye(4), features.T @ np.eye(20)[labels])
    linear = (np.c_[test_means, np.ones(len(test_means))] @ ridge).argmax(axis=1)
    assert (nearest == test_labels).mean() < 0.5
    assert (linear == test_labels).mean() < 0.5
