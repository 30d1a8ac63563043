"""Trained numbers of the two networks: from a folder of `.npz` files, or the ones shipped with the package.

A folder holds plain floating-point arrays (float16 as a rule) under the names of `architecture.expected_shapes`.
The shipped files are compact (`compact.py`): int8 codes of a network with fewer channels.
"""

from collections.abc import Iterable, Mapping
import hashlib
from importlib.resources import files
from io import BytesIO
import math
from pathlib import Path
import struct
import tokenize
from typing import Any, Final
import zipfile
import zlib

import numpy as np
from numpy.typing import NDArray

from serverless_mlperf.errors import ModelError
from serverless_mlperf.models.architecture import Array, conv_shapes, expected_shapes
from serverless_mlperf.models.compact import restored_bias, restored_kernel
from serverless_mlperf.workloads import Task

WEIGHT_FILES: Final[dict[Task, str]] = {
    "classification": "mobilenet_v1_1.0_224.npz",
    "object_detection": "ssd_mobilenet_v1_1.0_300.npz",
}
EMBEDDED: Final = "embedded"
"""What stands for the shipped weights where a folder would be named."""

MAX_FILE_BYTES: Final = 512 * 2**20
"""The larger network takes 28 MB at float32."""

_DAMAGE: Final = (
    *(ValueError, TypeError, KeyError, AttributeError, EOFError, OSError, MemoryError, RuntimeError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError),
)
"""What NumPy and zipfile raise for files that are cut short, altered, pickled or no archive at all."""


def load_weights(folder: Path | None, task: Task) -> Mapping[str, Array]:
    """All arrays of a task as float32, checked; `None` means the shipped ones."""
    if folder is None:
        return parse_weights(_embedded_content(task), task, f"{EMBEDDED} weights of {task}", compact=True)
    path = folder / WEIGHT_FILES[task]
    return parse_weights(_file_content(path), task, str(path))


def parse_weights(content: bytes, task: Task, where: str, *, compact: bool = False) -> dict[str, Array]:
    """The arrays of an `.npz` as read-only float32; `compact` allows the form of the shipped files."""
    stored = _stored_arrays(content, where, expected_shapes(task))
    weights = {}
    for conv in conv_shapes(task):
        kernel = restored_kernel(stored, conv, where) if compact else _plain(stored, conv.weights_name, where)
        weights[conv.weights_name] = _checked(kernel, conv.weights_shape, f"{where}: {conv.weights_name}")
        bias = restored_bias(stored, conv) if compact else _plain(stored, conv.bias_name, where)
        weights[conv.bias_name] = _checked(bias, (conv.out_channels,), f"{where}: {conv.bias_name}")
    return weights


def weights_digest(*weights: Mapping[str, Array]) -> str:
    """SHA-256 over names, shapes and numbers, independent of how they were stored."""
    digest = hashlib.sha256()
    for arrays in weights:
        for name in sorted(arrays):
            digest.update(f"{name}{arrays[name].shape}".encode())
            digest.update(np.ascontiguousarray(arrays[name], "<f4").data)
    return digest.hexdigest()


def _file_content(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise ModelError(f"{path}: is no file; give --weights a folder with {' and '.join(WEIGHT_FILES.values())}")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelError(f"{path}: {path.stat().st_size} bytes are too many for these networks; get the file again")
        return path.read_bytes()
    except OSError as error:
        names = " and ".join(WEIGHT_FILES.values())
        raise ModelError(f"{path}: cannot be read ({error.strerror}); give --weights a folder with {names}") from error


def _embedded_content(task: Task) -> bytes:
    resource = files("serverless_mlperf.models") / "embedded" / f"{task}.npz"
    try:
        return resource.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{resource}: the shipped weights are missing; install the package again or give --weights DIR"
        ) from error


def _stored_arrays(content: bytes, where: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    wanted = {f"{name}{suffix}": shape for name, shape in shapes.items() for suffix in ("", ":codes", ":scale")}
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            _check_members(archive.infolist(), wanted, where)
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            stored = {name: arrays[name] for name in arrays.files if name in wanted}
        # A member that is no array at all comes back as its bytes.
        if wrong := [name for name, array in stored.items() if not isinstance(array, np.ndarray)]:
            raise ValueError(f"{wrong[0]} is no array")
        return stored
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(f"{where}: not a readable .npz of plain arrays ({reason}); get the file again") from error


def _check_members(members: Iterable[zipfile.ZipInfo], wanted: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Look at names and sizes before anything is unpacked; zipfile never reads more than the size told here."""
    seen = set[str]()
    for member in members:
        name = member.filename.removesuffix(".npy")
        if name in seen:
            raise ModelError(f"{where}: two arrays are named {name}; make the file again")
        seen.add(name)
        # Sixteen bytes are the widest number NumPy has; headers take less than 4 KiB.
        if name in wanted and member.file_size > 16 * math.prod(wanted[name]) + 4096:
            raise ModelError(
                f"{where}: {name} has {member.file_size} bytes, too many for shape {wanted[name]}; "
                "these weights are of another network"
            )


def _plain(stored: Mapping[str, NDArray[Any]], name: str, where: str) -> NDArray[Any]:
    if name not in stored:
        raise ModelError(f"{where}: array {name} is missing; the weights must be those of the full 1.0 network")
    return stored[name]


def _checked(array: NDArray[Any], shape: tuple[int, ...], where: str) -> Array:
    if array.shape != shape:
        raise ModelError(f"{where}: shape {array.shape} instead of {shape}; these weights are of another network")
    if array.dtype.kind != "f":
        raise ModelError(f"{where}: {array.dtype} instead of floating point; convert the weights to float16 or float32")
    with np.errstate(over="ignore"):
        values: Array = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(values).all():
        raise ModelError(f"{where}: holds NaN or infinity; get or train the weights again")
    values.flags.writeable = False
    return values
