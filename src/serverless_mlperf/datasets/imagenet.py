"""ImageNet as MLPerf lays it out: a folder of images with `val_map.txt`, lines of `<file> <class 0..999>`.

Images lie in the folder itself, in `images/` or in `val/`. Lines without an image are passed over, so that a part of
the validation set works with the complete list; an image without a line is an error.
"""

from pathlib import Path
import re

from ..errors import DatasetError
from ..workloads import Task
from .base import CLASS_COUNT, Dataset, Sample, enough, existing_folder, image_folder, image_names, sample_digest


def load(task: Task, folder: Path | None, count: int | None, seed: int, *, exactly: bool = True) -> Dataset:
    """Load the first `count` images in the order of `val_map.txt`."""
    del seed  # nothing here is drawn
    if task != "classification":
        raise DatasetError(f"data set imagenet: has no labels for {task}; use coco or synthetic")
    root = existing_folder("imagenet", folder)
    images = image_folder(root, "images", "val")
    chosen = enough("imagenet", _labelled(root / "val_map.txt", image_names(images)), images, count, exactly)
    samples = tuple(
        Sample(index, f"imagenet/{name}", images / name, label=label) for index, (name, label) in enumerate(chosen)
    )
    return Dataset("imagenet", task, samples, sample_digest(samples), {})


def _labelled(val_map: Path, names: frozenset[str]) -> list[tuple[str, int]]:
    labels = _read(val_map)
    if unknown := sorted(names - labels.keys()):
        raise DatasetError(
            f"{val_map}: no class for {unknown[0]} and {len(unknown) - 1} more images; "
            "add `<file> <class>` lines or remove the images"
        )
    return [(name, label) for name, label in labels.items() if name in names]


def _read(val_map: Path) -> dict[str, int]:
    try:
        lines = val_map.read_text(encoding="utf-8-sig").splitlines()  # Windows' editors put a mark in front
    except (OSError, UnicodeDecodeError) as exc:
        raise DatasetError(f"{val_map}: cannot be read ({exc}); it must have lines of `<file> <class>`") from exc
    labels: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, label = _entry(line, f"{val_map}:{number}")
        if name in labels:
            raise DatasetError(f"{val_map}:{number}: {name} has two lines; keep one")
        labels[name] = label
    return labels


def _entry(line: str, where: str) -> tuple[str, int]:
    name, _, label = line.strip().rpartition(" ")
    # Four digits at most: a number of thousands of them is refused by int itself.
    if not name.strip() or "/" in name or not re.fullmatch("[0-9]{1,4}", label) or int(label) >= CLASS_COUNT:
        shown = repr(line.strip()[:80])
        raise DatasetError(f"{where}: {shown} is not `<file> <class 0..{CLASS_COUNT - 1}>`; correct the line")
    return name.strip(), int(label)
