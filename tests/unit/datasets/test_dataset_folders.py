"""ImageNet and COCO folders: what is read, and which mistakes are named."""

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any

import pytest

from serverless_mlperf.datasets.base import load_dataset
from serverless_mlperf.errors import DatasetError

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no photographs: {SHARED} is missing")


def imagenet_folder(root: Path, val_map: str, *names: str) -> Path:
    """A folder in ImageNet's layout; an image's content is its name."""
    (root / "images").mkdir()
    (root / "val_map.txt").write_text(val_map)
    for name in names:
        (root / "images" / name).write_bytes(name.encode())
    return root


def coco_content() -> dict[str, Any]:
    """Three images, one of them with an object."""
    return {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 10, "height": 20} for n in (7, 8, 9)],
        "annotations": [{"id": 1, "image_id": 9, "category_id": 90, "bbox": [1, 2, 3, 4], "area": 5, "iscrowd": 1}],
        "categories": [{"id": 90, "name": "toothbrush"}],
    }


def coco_folder(root: Path, content: object) -> Path:
    """A folder in COCO's layout, where image 8 is missing."""
    (root / "val2017").mkdir()
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    for number in (7, 9):
        (root / "val2017" / f"{number}.jpg").write_bytes(b"x")
    return root


def test_imagenet_samples_follow_val_map(tmp_path: Path) -> None:
    """Samples come in the order of val_map.txt; lines without an image are passed over."""
    folder = imagenet_folder(tmp_path, "b.JPEG 3\nabsent.JPEG 1\na.JPEG 999\n", "a.JPEG", "b.JPEG")
    dataset = load_dataset("imagenet", "classification", folder, None, 0)
    assert [(s.index, s.key, s.label) for s in dataset.samples] == [
        (0, "imagenet/b.JPEG", 3),
        (1, "imagenet/a.JPEG", 999),
    ]


def test_count_takes_the_first(tmp_path: Path) -> None:
    """`count` takes the first samples of the label file."""
    folder = imagenet_folder(tmp_path, "b.JPEG 3\na.JPEG 0\n", "a.JPEG", "b.JPEG")
    assert [s.key for s in load_dataset("imagenet", "classification", folder, 1, 0).samples] == ["imagenet/b.JPEG"]


def test_digest_names_content_and_labels(tmp_path: Path) -> None:
    """Another label or another byte gives another digest."""
    folder = imagenet_folder(tmp_path, "a.JPEG 0\n", "a.JPEG")
    digests = [load_dataset("imagenet", "classification", folder, None, 0).digest]
    (folder / "val_map.txt").write_text("a.JPEG 1\n")
    digests.append(load_dataset("imagenet", "classification", folder, None, 0).digest)
    (folder / "images" / "a.JPEG").write_bytes(b"other")
    digests.append(load_dataset("imagenet", "classification", folder, None, 0).digest)
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    ("val_map", "message"),
    [
        ("b.JPEG 1\n", "no class for a.JPEG"),
        ("a.JPEG 1000\n", "val_map.txt:1"),
        ("a.JPEG\n", "val_map.txt:1"),
        ("sub/a.JPEG 1\n", "val_map.txt:1"),
        ("a.JPEG 1\na.JPEG 2\n", "two lines"),
    ],
)
def test_wrong_labels_are_named(tmp_path: Path, val_map: str, message: str) -> None:
    """Images without a class, classes out of range and malformed lines are DatasetErrors that say where."""
    with pytest.raises(DatasetError, match=message):
        load_dataset("imagenet", "classification", imagenet_folder(tmp_path, val_map, "a.JPEG"), None, 0)


def test_folder_must_have_what_is_asked(tmp_path: Path) -> None:
    """No folder, a missing one, no images, too few images, wrong task, unknown name: each has its own line."""
    folder = imagenet_folder(tmp_path, "a.JPEG 1\n", "a.JPEG")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "val_map.txt").write_text("a.JPEG 1\n")
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: load_dataset("imagenet", "classification", None, None, 0), "no folder"),
        (lambda: load_dataset("imagenet", "classification", tmp_path / "absent", None, 0), "not a folder"),
        (lambda: load_dataset("imagenet", "classification", empty, None, 0), "no labelled image"),
        (lambda: load_dataset("imagenet", "classification", folder, 2, 0), "2 images asked"),
        (lambda: load_dataset("imagenet", "classification", folder, 0, 0), "at least 1"),
        (lambda: load_dataset("imagenet", "object_detection", folder, None, 0), "no labels for object_detection"),
        (lambda: load_dataset("mnist", "classification", folder, None, 0), "unknown"),
    ]
    for call, message in cases:
        with pytest.raises(DatasetError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_small_folder_gives_what_it_has(tmp_path: Path) -> None:
    """Who has not said how many images gets up to so many, of either kind of folder."""
    for name in ("imagenet", "coco"):
        (tmp_path / name).mkdir()
    folder = imagenet_folder(tmp_path / "imagenet", "a.JPEG 1\nb.JPEG 2\n", "a.JPEG", "b.JPEG")
    counts = [len(load_dataset("imagenet", "classification", folder, n, 0, exactly=False).samples) for n in (1, 128)]
    coco = load_dataset(
        "coco", "object_detection", coco_folder(tmp_path / "coco", coco_content()), 128, 0, exactly=False
    )
    assert (counts, len(coco.samples)) == ([1, 2], 2)


def test_coco_boxes_become_corners(tmp_path: Path) -> None:
    """Boxes are corners in pixels; images that are not there are passed over; images without objects stay."""
    dataset = load_dataset("coco", "object_detection", coco_folder(tmp_path, coco_content()), None, 0)
    first, second = dataset.samples
    assert (first.key, first.image_id, first.boxes) == ("coco/7.jpg", 7, ())
    (box,) = second.boxes
    assert (box.category, box.xmin, box.ymin, box.xmax, box.ymax, box.area, box.crowd) == (90, 1, 2, 4, 6, 5, True)
    assert dataset.categories == {90: "toothbrush"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": [{"id": 91, "name": "x"}]}, "category 90"),
        ({"images": None}, "not a COCO annotation file"),
        ({"annotations": [{"id": 1, "image_id": 1, "category_id": 90, "bbox": [1, 2, 3, 4]}]}, "not listed"),
        ({"annotations": [{"id": 1, "image_id": 9, "category_id": 90, "bbox": [1, 2, 3]}]}, "not a COCO"),
    ],
)
def test_unreadable_annotations_are_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """Annotations that are not COCO's are a DatasetError naming the file or the number."""
    with pytest.raises(DatasetError, match=message):
        load_dataset("coco", "object_detection", coco_folder(tmp_path, {**coco_content(), **change}), None, 0)


def test_annotation_file_must_be_one(tmp_path: Path) -> None:
    """A folder without an annotation file is a DatasetError."""
    with pytest.raises(DatasetError, match="0 annotation files"):
        load_dataset("coco", "object_detection", tmp_path, None, 0)


@needs_shared
@pytest.mark.shared_data
def test_photographs_load() -> None:
    """The sample photographs are read in full: 380 classified, 128 with boxes."""
    imagenet = load_dataset("imagenet", "classification", SHARED / "imagenet", None, 0)
    coco = load_dataset("coco", "object_detection", SHARED / "coco", None, 0)
    assert (len(imagenet.samples), len(coco.samples)) == (380, 128)
    assert sum(len(sample.boxes) for sample in coco.samples) == 898
