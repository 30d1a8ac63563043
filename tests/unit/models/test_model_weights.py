"""Reading weights, and refusing those that do not fit."""

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest
from random_weights import random_arrays, save_arrays

from serverless_mlperf.errors import ModelError
from serverless_mlperf.models.architecture import expected_shapes
from serverless_mlperf.models.weights import WEIGHT_FILES, load_weights, parse_weights, weights_digest

STEM = "MobilenetV1/Conv2d_0/weights"
DEPTHWISE = "MobilenetV1/Conv2d_1_depthwise/depthwise_weights"
Arrays = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def arrays() -> Mapping[str, NDArray[np.float16]]:
    """Arrays of the classifier; tests work on copies of the mapping."""
    return random_arrays("classification")


def packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An `.npz` in memory."""
    target = BytesIO()
    np.savez(target, allow_pickle=False, **dict(arrays))
    return target.getvalue()


def test_a_folder_is_read_as_float32(tmp_path: Path, arrays: Mapping[str, NDArray[np.float16]]) -> None:
    """Every array comes back under its name, as read-only float32 of the same value."""
    save_arrays(tmp_path / WEIGHT_FILES["classification"], {**arrays, "unknown": np.zeros(3)})
    weights = load_weights(tmp_path, "classification")
    assert weights.keys() == expected_shapes("classification").keys()
    assert all(array.dtype == np.float32 and not array.flags.writeable for array in weights.values())
    assert np.array_equal(weights[STEM], arrays[STEM].astype(np.float32))


def without_stem(arrays: Arrays) -> None:
    """Leave an array out."""
    del arrays[STEM]


def transposed_stem(arrays: Arrays) -> None:
    """Give an array another order of axes."""
    arrays[STEM] = arrays[STEM].transpose(3, 2, 0, 1)


def nan_stem(arrays: Arrays) -> None:
    """Spoil one number."""
    arrays[STEM] = arrays[STEM].copy()
    arrays[STEM][0, 0, 0, 0] = np.nan


def infinite_stem(arrays: Arrays) -> None:
    """Give a number that float32 cannot hold."""
    arrays[STEM] = np.full(arrays[STEM].shape, 1e300)


def integer_stem(arrays: Arrays) -> None:
    """Give codes without their scale."""
    arrays[STEM] = arrays[STEM].astype(np.uint8)


def pickled_stem(arrays: Arrays) -> None:
    """Give an array of Python objects."""
    arrays[STEM] = np.full(arrays[STEM].shape, None)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (without_stem, "missing"),
        (transposed_stem, "shape"),
        (nan_stem, "NaN"),
        (infinite_stem, "infinity"),
        (integer_stem, "floating point"),
        (pickled_stem, "readable"),
    ],
)
def test_bad_arrays_are_refused(
    tmp_path: Path, arrays: Mapping[str, NDArray[np.float16]], spoil: Callable[[Arrays], None], complaint: str
) -> None:
    """The message names the file and what is wrong with it, in one line."""
    spoilt: Arrays = dict(arrays)
    spoil(spoilt)
    save_arrays(tmp_path / WEIGHT_FILES["classification"], spoilt)
    with pytest.raises(ModelError, match=complaint) as caught:
        load_weights(tmp_path, "classification")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [0, 100, 5000, -1, -30])
def test_files_cut_short_are_refused(arrays: Mapping[str, NDArray[np.float16]], cut: int) -> None:
    """A truncated archive is an error of ours, not of NumPy's."""
    content = packed(arrays)
    with pytest.raises(ModelError, match="readable"):
        parse_weights(content[:cut], "classification", "here")


def test_altered_bytes_are_refused(arrays: Mapping[str, NDArray[np.float16]]) -> None:
    """The archive's own checksums are looked at."""
    content = bytearray(packed(arrays))
    content[len(content) // 2] ^= 0xFF
    with pytest.raises(ModelError, match="readable"):
        parse_weights(bytes(content), "classification", "here")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The message says which file is wanted and how to give another folder."""
    with pytest.raises(ModelError, match=r"ssd_mobilenet_v1_1\.0_300\.npz: cannot be read .*--weights"):
        load_weights(tmp_path, "object_detection")


def test_compact_arrays_are_restored(arrays: Mapping[str, NDArray[np.float16]]) -> None:
    """Codes are multiplied by the scale of their output channel; absent arrays are zero."""
    rng = np.random.default_rng(1)
    compact: Arrays = dict(arrays)
    codes: dict[str, NDArray[np.int8]] = {}
    for name in (STEM, DEPTHWISE):
        codes[name] = rng.integers(-127, 128, compact.pop(name).shape, np.int8)
        compact[f"{name}:codes"] = codes[name]
        compact[f"{name}:scale"] = np.arange(1, 33, dtype=np.float32)
    del compact["MobilenetV1/Conv2d_0/biases"]
    weights = parse_weights(packed(compact), "classification", "here", compact=True)
    assert np.array_equal(weights[STEM][..., 4], codes[STEM][..., 4] * np.float32(5))
    assert np.array_equal(weights[DEPTHWISE][:, :, 4], codes[DEPTHWISE][:, :, 4] * np.float32(5))
    assert not weights["MobilenetV1/Conv2d_0/biases"].any()


def test_codes_need_a_scale_per_channel(arrays: Mapping[str, NDArray[np.float16]]) -> None:
    """Codes whose scale is missing are refused, not taken as they are."""
    compact: Arrays = dict(arrays)
    compact[f"{STEM}:codes"] = compact.pop(STEM).astype(np.int8)
    with pytest.raises(ModelError, match="scale"):
        parse_weights(packed(compact), "classification", "here", compact=True)


def test_the_digest_is_of_the_numbers(arrays: Mapping[str, NDArray[np.float16]]) -> None:
    """Order does not matter, one number does."""
    weights = {name: array.astype(np.float32) for name, array in arrays.items()}
    digest = weights_digest(weights)
    assert weights_digest(dict(reversed(weights.items()))) == digest
    changed = weights[STEM].copy()
    changed[0, 0, 0, 0] += 1
    assert weights_digest({**weights, STEM: changed}) != digest
