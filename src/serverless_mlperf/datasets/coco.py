"""COCO: a folder with images and an annotation file `instances_*.json`.

The annotation file lies in the folder or in `annotations/`, the images in `val2017/`, in `images/` or in the folder
itself. Images that are listed but not there are passed over, so that a part of the data works with the complete file.
"""

from collections import defaultdict
from collections.abc import Mapping
import json
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


def load(task: Task, folder: Path | None, count: int | None, seed: int) -> Dataset:
    """Load the first `count` images in the order of the annotation file."""
    del seed  # nothing here is drawn
    if task != "object_detection":
        raise DatasetError(f"data set coco: has no labels for {task}; use imagenet or synthetic")
    root = existing_folder("coco", folder)
    annotations = _annotation_file(root)
    try:
        content = json.loads(annotations.read_text(encoding="utf-8"))
        samples = _samples(content, image_folder(root, "val2017", "images"), count)
        categories = {int(c["id"]): str(c["name"]) for c in content["categories"]}
    except (OSError, KeyError, TypeError, ValueError) as exc:
        raise DatasetError(f"{annotations}: not a COCO annotation file ({exc!r}); get the original") from exc
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


def _samples(content: Mapping[str, Any], images: Path, count: int | None) -> tuple[Sample, ...]:
    names = image_names(images)
    found = [image for image in content["images"] if image["file_name"] in names]
    boxes = _boxes(content["annotations"], {image["id"] for image in content["images"]})
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
        for index, image in enumerate(enough("coco", found, images, count))
    )


def _boxes(annotations: list[dict[str, Any]], image_ids: set[int]) -> dict[int, list[Box]]:
    boxes: defaultdict[int, list[Box]] = defaultdict(list)
    for annotation in annotations:
        if annotation["image_id"] not in image_ids:
            raise ValueError(f"annotation {annotation['id']} is of image {annotation['image_id']}, which is not listed")
        x, y, width, height = (float(value) for value in annotation["bbox"])
        area, crowd = float(annotation.get("area", width * height)), bool(annotation.get("iscrowd", 0))
        box = Box(int(annotation["category_id"]), x, y, x + width, y + height, area, crowd)
        boxes[annotation["image_id"]].append(box)
    return boxes


def _check_categories(annotations: Path, samples: tuple[Sample, ...], categories: Mapping[int, str]) -> None:
    used = {box.category for sample in samples for box in sample.boxes}
    if wrong := sorted(c for c in used if c not in categories or not 1 <= c <= CATEGORY_COUNT):
        raise DatasetError(
            f"{annotations}: category {wrong[0]} is not one of its categories 1..{CATEGORY_COUNT}; "
            "renumber as COCO does"
        )
