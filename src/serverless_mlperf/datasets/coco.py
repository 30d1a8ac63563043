"""COCO: a folder with images and an annotation file `instances_*.json`.

The annotation file lies in the folder or in `annotations/`, the images in `val2017/`, in `images/` or in the folder
itself. Images that are listed but not there are passed over, so that a part of the data works with the complete file.
"""

from collections import defaultdict
from collections.abc import Mapping
import json
import math
from pathlib import Path
from typing import Any

from ..errors import DatasetError
from ..workloads import Task
from .base import (
    CATEGORY_COUNT,
    Box,
    Dataset,
    Sample,
    enough,
    existing_folder,
    image_folder,
    image_names,
    sample_digest,
)


def load(task: Task, folder: Path | None, count: int | None, seed: int, *, exactly: bool = True) -> Dataset:
    """Load the first `count` images in the order of the annotation file."""
    del seed  # nothing here is drawn
    if task != "object_detection":
        raise DatasetError(f"data set coco: has no labels for {task}; use imagenet or synthetic")
    root = existing_folder("coco", folder)
    annotations = _annotation_file(root)
    try:
        content = json.loads(annotations.read_text(encoding="utf-8-sig"))
        samples = _samples(content, image_folder(root, "val2017", "images"), count, exactly)
        categories = {int(c["id"]): str(c["name"]) for c in content["categories"]}
    except KeyError as exc:
        raise DatasetError(f"{annotations}: not a COCO annotation file (no {exc}); get the original") from exc
    except (OSError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as exc:
        raise DatasetError(f"{annotations}: not a COCO annotation file ({_line(exc)}); get the original") from exc
    _check_categories(annotations, samples, categories)
    return Dataset("coco", task, samples, sample_digest(samples), categories)


def _annotation_file(root: Path) -> Path:
    found = [path for where in (root, root / "annotations") for path in sorted(where.glob("instances_*.json"))]
    # The archive of annotations holds the training set's as well; MLPerf measures on the validation set.
    chosen = [path for path in found if "val2017" in path.name] or found
    if len(chosen) != 1:
        raise DatasetError(
            f"data set coco: {len(chosen)} annotation files `instances_*.json` in {root} and its annotations/; keep one"
        )
    return chosen[0]


def _samples(content: Mapping[str, Any], images: Path, count: int | None, exactly: bool) -> tuple[Sample, ...]:
    names = image_names(images)
    sizes = _sizes(content["images"])
    found = [image for image in content["images"] if image["file_name"] in names]
    boxes = _boxes(content["annotations"], sizes)
    return tuple(
        Sample(
            index,
            f"coco/{image['file_name']}",
            images / image["file_name"],
            boxes=tuple(boxes.get(image["id"], ())),
            width=int(image["width"]),
            height=int(image["height"]),
            image_id=int(image["id"]),
        )
        for index, image in enumerate(enough("coco", found, images, count, exactly))
    )


def _sizes(images: list[dict[str, Any]]) -> dict[int, tuple[int, int]]:
    """Image id -> width and height in pixels, of images that are listed properly."""
    sizes: dict[int, tuple[int, int]] = {}
    for image in images:
        name, width, height = image["file_name"], image["width"], image["height"]
        if not isinstance(name, str) or "/" in name or name in ("", ".", ".."):
            raise ValueError(f"file_name {_short(name)} is no plain name")
        if not (_whole(width) and _whole(height) and width > 0 and height > 0):
            raise ValueError(f"{name[:80]} has the size {_short(width)} x {_short(height)}")
        if image["id"] in sizes or not _whole(image["id"]):
            raise ValueError(f"image id {_short(image['id'])} is there twice, or no whole number")
        sizes[image["id"]] = width, height
    return sizes


def _boxes(annotations: list[dict[str, Any]], sizes: Mapping[int, tuple[int, int]]) -> dict[int, list[Box]]:
    boxes: defaultdict[int, list[Box]] = defaultdict(list)
    seen = set[object]()
    for annotation in annotations:
        number, image_id = annotation["id"], annotation["image_id"]
        if number in seen:
            raise ValueError(f"annotation id {_short(number)} is there twice")
        seen.add(number)
        if image_id not in sizes:
            raise ValueError(f"annotation {_short(number)} is of image {_short(image_id)}, which is not listed")
        boxes[image_id].append(_box(annotation, *sizes[image_id]))
    return boxes


def _box(annotation: Mapping[str, Any], image_width: int, image_height: int) -> Box:
    """A box in its image; one without width or height is kept, as pycocotools keeps it: an object nobody can find."""
    where = f"annotation {_short(annotation['id'])}"
    x, y, width, height = (float(value) for value in annotation["bbox"])
    area, crowd = float(annotation.get("area", width * height)), bool(annotation.get("iscrowd", 0))
    if not all(map(math.isfinite, (x, y, width, height, area))) or min(width, height, area) < 0:
        raise ValueError(f"{where} has the box {_short(annotation['bbox'])}, which no object has")
    if x > image_width or y > image_height or x + width < 0 or y + height < 0:
        raise ValueError(f"{where} lies outside its image of {image_width} x {image_height}")
    if not _whole(annotation["category_id"]):
        raise ValueError(f"{where} has the category {_short(annotation['category_id'])}")
    return Box(annotation["category_id"], x, y, x + width, y + height, area, crowd)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _short(value: object) -> str:
    return repr(value)[:80]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _check_categories(annotations: Path, samples: tuple[Sample, ...], categories: Mapping[int, str]) -> None:
    used = {box.category for sample in samples for box in sample.boxes}
    if wrong := sorted(c for c in used if c not in categories or not 1 <= c <= CATEGORY_COUNT):
        raise DatasetError(
            f"{annotations}: category {wrong[0]} is not one of its categories 1..{CATEGORY_COUNT}; "
            "renumber as COCO does"
        )
