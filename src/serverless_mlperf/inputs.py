"""The seed's input files: one JSON per query, to be copied below `input/` of a bucket."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from serverless_mlperf.datasets.base import existing_folder, image_folder, image_names
from serverless_mlperf.errors import DatasetError, InputError
from serverless_mlperf.owner import own_folder
from serverless_mlperf_sut.protocol import IMAGE_ROOTS, Query, QueryError, check_key, parse_query, render_query

IMAGE_FOLDERS: Final[Mapping[str, tuple[str, ...]]] = {"coco": ("val2017", "images"), "imagenet": ("images", "val")}
"""Where the images of a data set lie below its folder, if not in it."""
_MIN_DIGITS: Final = 6


def write_inputs(
    count: int, folder: Path, dataset: str, output: Path, *, completed_path: str, output_path: str
) -> list[str]:
    """Write `count` files, one per image in the order of the images' names, and return their names.

    `output` must be new or empty and appears whole: a run that is cut off leaves none. Raises DatasetError for images
    that are not there, too few or of a name that is no object key, InputError for the rest.
    """
    if count < 1:
        raise InputError(f"{count} input files asked; ask for at least 1")
    images = _images(count, folder, dataset)
    digits = max(_MIN_DIGITS, len(str(count)))
    documents = {
        f"{dataset}-{number:0{digits}}.json": _document(f"{dataset}/{image}", completed_path, output_path)
        for number, image in enumerate(images, 1)
    }
    _write(documents, output)
    return list(documents)


def _images(count: int, folder: Path, dataset: str) -> Sequence[str]:
    if dataset not in IMAGE_FOLDERS:
        raise InputError(f"data set {dataset!r}: unknown; choose one of {', '.join(IMAGE_FOLDERS)}")
    where = image_folder(existing_folder(dataset, folder), *IMAGE_FOLDERS[dataset])
    try:
        names = sorted(name for name in image_names(where) if (where / name).is_file())
    except OSError as error:
        raise DatasetError(f"data set {dataset}: {where} cannot be read ({error.strerror})") from error
    if not names:
        raise DatasetError(f"data set {dataset}: no image in {where}; check --input_dataset")
    if len(names) < count:
        raise DatasetError(f"data set {dataset}: {count} images asked but {where} has {len(names)}; ask for fewer")
    return names[:count]


def _document(image: str, completed_path: str, output_path: str) -> bytes:
    """An input that the function takes: what it would refuse is refused here."""
    document = render_query(Query((image,), output_path, completed_path))
    try:
        check_key(image, IMAGE_ROOTS)
    except QueryError as error:
        raise DatasetError(f"image {error.message}; use a name of A-Z, a-z, 0-9, `.`, `_` and `-`") from error
    try:
        parse_query(document)
    except QueryError as error:
        raise InputError(
            f"--completed_path or --output_path: {error.message}; give completed/... and output/..."
        ) from error
    return document


def _write(documents: Mapping[str, bytes], output: Path) -> None:
    output = output.absolute()
    try:
        if output.exists() and any(output.iterdir()):
            raise InputError(f"{output}: is not empty, its files would be taken for inputs; choose another --output")
        output.parent.mkdir(parents=True, exist_ok=True)
        with own_folder(f".{output.name}-", output.parent) as scratch:
            made = scratch / "inputs"
            made.mkdir()
            for name, document in documents.items():
                (made / name).write_bytes(document)
            made.rename(output.resolve())
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error}); choose another --output") from error
