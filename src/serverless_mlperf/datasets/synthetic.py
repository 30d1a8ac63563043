"""The built-in data set: procedural pictures of textured, coloured shapes, any number of them from a seed.

Classification has 20 classes, ten shapes x plain or striped (data-set classes 0..19); detection shows 1 to 4 objects
per scene, of twelve shapes (categories 1..12) with any texture. Paint says nothing of the class, so no classifier on
colours can tell them. The embedded weights are trained on these pictures: their accuracy on fresh ones says that the
whole path computes the right function, but for the order of the colours; it says nothing about photographs.

Picture `i` depends on (version, task, seed, i) alone: a longer set begins with the shorter one.
"""

from collections.abc import Iterator, Mapping
import json
from pathlib import Path
import shutil
from typing import Any, Final

import numpy as np
from PIL import Image

from ..cache import cache_section, close_to_others, is_ours
from ..errors import DatasetError
from ..owner import own_folder
from ..workloads import TASKS, Task
from .base import Box, Dataset, Sample, sample_digest
from .pictures import CLASSES, SIZES, TEXTURES, Pixels, Rectangle, background, drawn_figure, paint, photographed
from .shapes import SHAPES

VERSION: Final = 2
"""Part of every picture's seed: raise it when pictures change, because the embedded weights are trained on them."""
DEFAULT_COUNT: Final = 256
JPEG_QUALITY: Final = 90
CATEGORIES: Final[Mapping[Task, Mapping[int, str]]] = {
    "classification": dict(enumerate(CLASSES)),
    "object_detection": dict(enumerate(SHAPES, 1)),
}

_LABELS: Final = "labels.json"


def load(task: Task, folder: Path | None, count: int | None, seed: int, *, exactly: bool = True) -> Dataset:
    """Load the set from its folder, made first if need be; without a folder, from the cache.

    A damaged set in the cache is made again; a damaged or different one in the user's folder is a DatasetError.
    """
    del exactly  # as many are drawn as are asked for
    count = DEFAULT_COUNT if count is None else count
    if folder is None:
        return _cached(task, count, seed)
    if not folder.exists() or not any(folder.iterdir()):
        generate(folder, task, count, seed)
    return _read(folder, task, count, seed)


def generate(folder: Path, task: Task, count: int, seed: int) -> None:
    """Write `count` JPEGs and `labels.json` (last: without it the folder is not a data set)."""
    if seed < 0:
        raise DatasetError(f"data set synthetic: seed {seed} is negative; give 0 or more")
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(count):
        name = f"{task}-{seed}-{index:06d}.jpg"
        image, truth = picture(task, seed, index)
        image.save(folder / name, quality=JPEG_QUALITY)
        rows.append({"file": name, "width": image.width, "height": image.height, **truth})
    digest = sample_digest(_samples(folder, rows))
    labels = {"version": VERSION, "task": task, "count": count, "seed": seed, "digest": digest, "samples": rows}
    (folder / _LABELS).write_text(json.dumps(labels), encoding="utf-8")


def picture(task: Task, seed: int, index: int) -> tuple[Image.Image, dict[str, Any]]:
    """Draw picture `index` of a seed; returns it with its truth as in `labels.json`: `label`, or `boxes`."""
    rng = np.random.default_rng((VERSION, TASKS.index(task), seed, index))
    width, height = SIZES[rng.integers(len(SIZES))]
    canvas = background(rng, width, height)
    truth = {"label": _single(rng, canvas)} if task == "classification" else {"boxes": list(_scene(rng, canvas))}
    return photographed(rng, canvas), truth


def _single(rng: np.random.Generator, canvas: Pixels) -> int:
    """One object, inside the central square that is left after MLPerf's resize to 256 and crop to 224."""
    height, width, _ = canvas.shape
    kind, side = int(rng.integers(len(CLASSES))), height * 224 / 256
    radius = rng.uniform(0.22, 0.42) * side
    x, y = (width / 2, height / 2) + rng.uniform(-0.12, 0.12, 2) * side
    texture, shape = CLASSES[kind].split()
    paint(canvas, drawn_figure(rng, shape, texture, (x, y), radius))
    return kind


def _scene(rng: np.random.Generator, canvas: Pixels) -> Iterator[tuple[int, float, float, float, float]]:
    """One to four objects that hide little of each other: category and box of each."""
    placed: list[Rectangle] = []
    for _ in range(rng.integers(1, 5)):
        spot = _free_spot(rng, canvas, placed)
        if spot is None:
            continue
        x, y, radius = spot
        placed.append((x - radius, y - radius, x + radius, y + radius))
        kind, texture = int(rng.integers(len(SHAPES))), TEXTURES[rng.integers(len(TEXTURES))]
        yield kind + 1, *paint(canvas, drawn_figure(rng, SHAPES[kind], texture, (x, y), radius))


def _free_spot(
    rng: np.random.Generator, canvas: Pixels, placed: list[Rectangle], tries: int = 10
) -> tuple[float, float, float] | None:
    height, width, _ = canvas.shape
    for _ in range(tries):
        radius = rng.uniform(0.1, 0.3) * height
        x, y = (rng.uniform(0.9 * radius, size - 0.9 * radius) for size in (width, height))
        spot = (x - radius, y - radius, x + radius, y + radius)
        if all(_overlap(spot, other) < 0.1 * min(_area(spot), _area(other)) for other in placed):
            return float(x), float(y), float(radius)
    return None


def _area(box: Rectangle) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _overlap(one: Rectangle, other: Rectangle) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def _cached(task: Task, count: int, seed: int) -> Dataset:
    folder = cache_section("datasets") / f"synthetic-v{VERSION}-{task}-{count}-{seed}"
    try:
        return _read(_trusted(folder), task, count, seed)
    except DatasetError:  # missing, damaged or not ours alone: made again, because nothing in the cache is the user's
        _replace(folder, task, count, seed)
    return _read(folder, task, count, seed)


def _trusted(folder: Path) -> Path:
    if not folder.is_dir() or not is_ours(folder):
        raise DatasetError(f"data set synthetic: {folder} is not there, or others can write to it")
    return folder


def _replace(folder: Path, task: Task, count: int, seed: int) -> None:
    """Make the set beside its place and move it there whole, so that a reader never sees half of one."""
    with own_folder(".making-", folder.parent) as workshop:
        made, old = workshop / "new", workshop / "old"
        generate(made, task, count, seed)
        close_to_others(made)
        if folder.exists():
            shutil.move(folder, old)
        try:
            made.rename(folder)
        except OSError as exc:
            if not (folder / _LABELS).exists():  # else another process was faster, and its set is the same
                raise DatasetError(
                    f"data set synthetic: cannot write {folder} ({exc}); check the cache folder"
                ) from exc


def _read(folder: Path, task: Task, count: int, seed: int) -> Dataset:
    labels = _labels(folder / _LABELS)
    wanted = {"version": VERSION, "task": task, "count": count, "seed": seed}
    if {key: labels.get(key) for key in wanted} != wanted:
        raise DatasetError(f"data set synthetic: {folder} holds another set than {wanted}; give an empty folder")
    try:
        samples = _samples(folder, labels["samples"])
    except (KeyError, TypeError, ValueError) as exc:
        raise DatasetError(f"{folder / _LABELS}: damaged ({exc!r}); remove the folder") from exc
    digest = sample_digest(samples)
    if digest != labels.get("digest"):
        raise DatasetError(f"data set synthetic: images in {folder} were changed; remove the folder")
    return Dataset("synthetic", task, samples, digest, CATEGORIES[task])


def _labels(path: Path) -> dict[str, Any]:
    try:
        labels = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise DatasetError(f"{path}: cannot be read ({exc}); remove the folder or give an empty one") from exc
    if not isinstance(labels, dict):
        raise DatasetError(f"{path}: not an object; remove the folder or give an empty one")
    return labels


def _samples(folder: Path, rows: list[dict[str, Any]]) -> tuple[Sample, ...]:
    return tuple(_sample(index, folder, row) for index, row in enumerate(rows))


def _sample(index: int, folder: Path, row: Mapping[str, Any]) -> Sample:
    key, path = f"synthetic/{row['file']}", folder / row["file"]
    if "label" in row:
        return Sample(index, key, path, label=int(row["label"]))
    size = {"width": int(row["width"]), "height": int(row["height"])}
    return Sample(index, key, path, boxes=boxes_of(row), image_id=index + 1, **size)


def boxes_of(truth: Mapping[str, Any]) -> tuple[Box, ...]:
    """The boxes of a scene, from its truth."""
    return tuple(
        Box(category, xmin, ymin, xmax, ymax, _area((xmin, ymin, xmax, ymax)))
        for category, xmin, ymin, xmax, ymax in truth["boxes"]
    )
