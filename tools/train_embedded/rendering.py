"""Training pictures as the network sees them, drawn once and kept in memory-mapped files.

Every picture takes the way of a query: JPEG, the function's decoder, its pre-processing. Detection truth is kept as
`kinds` (n x 4, 0 where there is no object) and `boxes` (n x 4 x [ymin, xmin, ymax, xmax], 0..1).
"""

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
import io
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from serverless_mlperf.datasets.synthetic import JPEG_QUALITY, VERSION, picture
from serverless_mlperf.models.architecture import INPUT_SIZES
from serverless_mlperf.workloads import Task
from serverless_mlperf_sut.images import decode, preprocess

MOST_OBJECTS: Final = 4
_CHUNK: Final = 100

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Rendered:
    """Pictures n x S x S x 3 with their truth."""

    pixels: Bytes
    kinds: NDArray[np.int64]
    """Class of each picture, or category of each object: n, or n x 4."""
    boxes: NDArray[np.float32]


def rendered(task: Task, seed: int, count: int, folder: Path, processes: int) -> Rendered:
    """The first `count` pictures of a seed, drawn if the folder does not have them yet."""
    stem = f"v{VERSION}-{task}-{seed}-{count}"
    pixels, truth = folder / f"{stem}.npy", folder / f"{stem}.npz"
    if not truth.exists():  # written last
        folder.mkdir(parents=True, exist_ok=True)
        _draw(task, seed, count, pixels, truth, processes)
    with np.load(truth) as arrays:
        return Rendered(np.load(pixels, mmap_mode="r"), arrays["kinds"], arrays["boxes"])


def _draw(task: Task, seed: int, count: int, pixels: Path, truth: Path, processes: int) -> None:
    size = INPUT_SIZES[task]
    np.lib.format.open_memmap(pixels, "w+", np.uint8, (count, size, size, 3))
    with ProcessPoolExecutor(processes) as workers:
        parts = list(workers.map(partial(_draw_chunk, task, seed, count, pixels), range(0, count, _CHUNK)))
    kinds, boxes = (np.concatenate(column) for column in zip(*parts, strict=True))
    np.savez(truth, kinds=kinds, boxes=boxes)


def _draw_chunk(
    task: Task, seed: int, count: int, path: Path, begin: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    pixels = np.load(path, mmap_mode="r+")
    truths = []
    for index in range(begin, min(begin + _CHUNK, count)):
        pixels[index], truth = _seen(task, seed, index)
        truths.append(_arrays(truth))
    pixels.flush()
    kinds, boxes = zip(*truths, strict=True)
    return np.array(kinds), np.array(boxes)


def _seen(task: Task, seed: int, index: int) -> tuple[Bytes, dict[str, Any]]:
    image, truth = picture(task, seed, index)
    body = io.BytesIO()
    image.save(body, "JPEG", quality=JPEG_QUALITY)
    planes = preprocess(task, decode(body.getvalue()))[0]
    levels = np.rint((planes.transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8)  # exactly what was normalised
    return levels, truth | {"width": image.width, "height": image.height}


def _arrays(truth: Mapping[str, Any]) -> tuple[Any, NDArray[np.float32]]:
    boxes = np.zeros((MOST_OBJECTS, 4), np.float32)
    if "label" in truth:
        return truth["label"], boxes
    kinds, (width, height) = np.zeros(MOST_OBJECTS, np.int64), (truth["width"], truth["height"])
    for slot, (kind, xmin, ymin, xmax, ymax) in enumerate(truth["boxes"]):
        kinds[slot], boxes[slot] = kind, (ymin / height, xmin / width, ymax / height, xmax / width)
    return kinds, boxes
