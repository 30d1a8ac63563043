"""Trained numbers of the two networks: from a folder of `.npz` files, or the ones shipped with the package.

A folder holds plain floating-point arrays (float16 as a rule) under the names of `architecture.expected_shapes`.
The shipped files may be compact: `<name>:codes` (int8) with `<name>:scale` (float32 per output channel), and arrays
that are all zero left out.
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
from serverless_mlperf.models.architecture import Array, expected_shapes
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
    """The arrays of an `.npz` as read-only float32; `compact` allows codes and absent arrays."""
    shapes = expected_shapes(task)
    stored = _stored_arrays(content, where, shapes)
    return {
        name: _checked(_restored(stored, name, shape, where, compact=compact), shape, f"{where}: {name}")
        for name, shape in shapes.items()
    }


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


def _restored(
    stored: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...], where: str, *, compact: bool
) -> NDArray[Any]:
    if name in stored:
        return stored[name]
    if compact:
        return _dequantised(stored, name, where) if f"{name}:codes" in stored else np.zeros(shape, np.float32)
    raise ModelError(f"{where}: array {name} is missing; the weights must be those of the full 1.0 network")


def _dequantised(stored: Mapping[str, NDArray[Any]], name: str, where: str) -> Array:
    """Codes times the scale of their output channel, which is axis 2 of depthwise kernels (HWC1), else the last."""
    codes, scale = stored[f"{name}:codes"], stored.get(f"{name}:scale")
    axis = 2 if name.endswith("depthwise_weights") else -1
    if scale is None or codes.dtype != np.int8 or codes.ndim < 1 or scale.shape != (codes.shape[axis],):
        raise ModelError(f"{where}: {name} has no int8 codes with one scale per output channel; make the file again")
    spread = scale[:, None] if axis == 2 else scale
    return np.asarray(codes.astype(np.float32) * spread.astype(np.float32), np.float32)


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
