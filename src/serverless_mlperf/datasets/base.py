"""Data sets as values: samples in order, their labels, and a digest that names exactly these files and labels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
import hashlib
from importlib import import_module
import json
from pathlib import Path
from typing import Final, Protocol, TypeVar

from serverless_mlperf_sut.protocol import IMAGE_ROOTS, QueryError, check_key

from ..errors import DatasetError
from ..workloads import Task

IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png")
CLASS_COUNT: Final = 1000
"""Data-set classes of classification are 0..999; the network's output is that plus 1, 0 being the background."""
CATEGORY_COUNT: Final = 90
"""Categories of detection are 1..90, as COCO numbers them."""


Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Box:
    """An object in an image, in pixels of the image as stored."""

    category: int
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    area: float
    """COCO's area: that of the segmentation where there is one, else that of the box."""
    crowd: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with its truth: a label (classification) or boxes (detection)."""

    index: int
    """LoadGen's sample index: the position in `Dataset.samples`."""
    key: str
    """The object's key in the bucket: `<data set>/<file>`."""
    path: Path
    label: int | None = None
    """Data-set class 0..999; None in detection."""
    boxes: tuple[Box, ...] = ()
    width: int | None = None
    """Pixels; known in detection, where boxes are scaled by it."""
    height: int | None = None
    image_id: int | None = None
    """COCO's image id; None in classification."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set as used by one run."""

    name: str
    task: Task
    samples: tuple[Sample, ...]
    digest: str
    """SHA-256 over the names, labels and contents of the samples, in order."""
    categories: Mapping[int, str]
    """Class or category number to name; empty where the data set has no names (val_map.txt has none)."""

    def __post_init__(self) -> None:
        if len({sample.key for sample in self.samples}) != len(self.samples):
            raise DatasetError(f"data set {self.name}: two samples have the same file; remove one from the labels")
        for sample in self.samples:
            _check_key(sample)


def _check_key(sample: Sample) -> None:
    """The function refuses such a key for every query: better told once, before anything is measured."""
    try:
        check_key(sample.key, IMAGE_ROOTS)
    except QueryError as exc:
        raise DatasetError(
            f"image {sample.path.name!r}: its name cannot be part of an object key here; rename it in the folder and "
            "in the labels, with letters, digits and ._- only"
        ) from exc


class Loader(Protocol):
    """What a row of DATASETS names: reads one data set; blocks while it reads and hashes files."""

    def __call__(
        self, task: Task, folder: Path | None, count: int | None, seed: int, *, exactly: bool = True
    ) -> Dataset:
        """Return the data set, or raise DatasetError."""


DATASETS: Final[Mapping[str, str]] = {
    "imagenet": "serverless_mlperf.datasets.imagenet:load",
    "coco": "serverless_mlperf.datasets.coco:load",
    "synthetic": "serverless_mlperf.datasets.synthetic:load",
}


def load_dataset(
    name: str, task: Task, folder: Path | None, count: int | None, seed: int, *, exactly: bool = True
) -> Dataset:
    """Load `count` samples of a data set, all of them if None; without `exactly`, as many as there are up to `count`.

    `imagenet` and `coco` take the first `count` of their label file and ignore `seed`; `synthetic` is drawn from
    `seed` and needs no folder. Raises DatasetError.
    """
    if name not in DATASETS:
        raise DatasetError(f"data set {name!r}: unknown; choose one of {', '.join(DATASETS)}")
    if count is not None and count < 1:
        raise DatasetError(f"data set {name}: {count} images asked; ask for at least 1")
    module, function = DATASETS[name].split(":")
    load: Loader = getattr(import_module(module), function)
    try:
        return load(task, folder, count, seed, exactly=exactly)
    except OSError as exc:
        raise DatasetError(f"data set {name}: {exc.filename or folder} cannot be read ({exc.strerror})") from exc


def existing_folder(name: str, folder: Path | None) -> Path:
    """Return the folder if there is one; else a DatasetError says what to give."""
    if folder is None:
        raise DatasetError(f"data set {name}: no folder; give it with --input_dataset DIR")
    if not folder.is_dir():
        raise DatasetError(f"data set {name}: {folder} is not a folder; give its path with --input_dataset DIR")
    return folder


def image_folder(folder: Path, *names: str) -> Path:
    """The first of these subfolders that exists, or the folder itself."""
    return next((folder / name for name in names if (folder / name).is_dir()), folder)


def image_names(folder: Path) -> frozenset[str]:
    """Names of the images that lie directly in a folder."""
    return frozenset(path.name for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def enough(name: str, found: list[Item], folder: Path, count: int | None, exactly: bool) -> list[Item]:
    """The first `count` items; a DatasetError if there are none, or fewer where it is to be `exactly` so many."""
    if not found:
        raise DatasetError(f"data set {name}: no labelled image in {folder}; check --input_dataset")
    if exactly and count is not None and len(found) < count:
        raise DatasetError(f"data set {name}: {count} images asked but {folder} has {len(found)}; ask for fewer")
    return found[:count]


def sample_digest(samples: Iterable[Sample]) -> str:
    """SHA-256 over what the samples are: key, truth and content."""
    digest = hashlib.sha256()
    for sample in samples:
        boxes = [(b.category, b.xmin, b.ymin, b.xmax, b.ymax, b.area, b.crowd) for b in sample.boxes]
        digest.update(json.dumps([sample.key, sample.label, boxes, file_digest(sample.path)]).encode())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of an image file's content."""
    try:
        # A pipe would be read for ever; a folder or a link to nothing is no image whatever it is called.
        if not path.is_file():
            raise DatasetError(f"image {path}: is no file; remove it, or its link")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise DatasetError(f"image {path}: cannot be read ({exc.strerror}); repair or remove it") from exc
