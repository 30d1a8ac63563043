"""Weight files nobody trained: refused in one line that names the file and the array, and nothing is unpickled."""

from collections.abc import Callable, Mapping
import contextlib
from io import BytesIO
import os
from pathlib import Path
import pickle
import struct
from typing import Any
import warnings
import zipfile

import numpy as np
from numpy.typing import NDArray
import pytest
from random_weights import random_arrays

from serverless_mlperf.errors import ModelError
from serverless_mlperf.models.weights import MAX_FILE_BYTES, WEIGHT_FILES, load_weights, parse_weights

STEM = "MobilenetV1/Conv2d_0/weights"
SHAPE = (3, 3, 3, 32)
Members = list[tuple[str, bytes]]


class Trap:
    """An object that tells when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def npy(array: NDArray[Any]) -> bytes:
    """An array as a member; objects are pickled."""
    target = BytesIO()
    np.lib.format.write_array(target, array, allow_pickle=True)
    return target.getvalue()


def header(text: object, data: bytes = b"") -> bytes:
    """A member whose header claims what it likes."""
    line = f"{text}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(line)) + line + data


def claimed(shape: tuple[int, ...], descr: str = "<f4", data: bytes = b"") -> bytes:
    """A member that claims a shape and has other data."""
    return header({"descr": descr, "fortran_order": False, "shape": shape}, data)


def archive(members: Members) -> bytes:
    """An `.npz` of these members, twice the same name included."""
    target = BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(target, "w") as file:
        for name, data in members:
            file.writestr(f"{name}.npy", data)
    return target.getvalue()


@pytest.fixture(scope="module")
def good() -> Mapping[str, bytes]:
    """The members of a whole file."""
    return {name: npy(array) for name, array in random_arrays("classification").items()}


def stem(data: bytes) -> bytes:
    """A file of the first array alone, which is looked at before any other is missed."""
    return archive([(STEM, data)])


def refusal(content: bytes) -> str:
    """Why a file is refused."""
    with pytest.raises(ModelError) as caught:
        parse_weights(content, "classification", "w.npz")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("w.npz: ")
    return str(caught.value)


ARRAYS: list[tuple[Callable[[], NDArray[Any]], str]] = [
    (lambda: np.zeros((3, 3, 32, 3), np.float32), "shape (3, 3, 32, 3) instead of (3, 3, 3, 32)"),
    (lambda: np.zeros((864,), np.float32), "shape (864,) instead of (3, 3, 3, 32)"),
    (lambda: np.zeros((), np.float32), "shape () instead of (3, 3, 3, 32)"),
    (lambda: np.full(SHAPE, np.nan, np.float16), "holds NaN or infinity; get or train the weights again"),
    (lambda: np.full(SHAPE, -np.inf, np.float32), "holds NaN or infinity"),
    (lambda: np.full(SHAPE, 1e39, np.float64), "holds NaN or infinity"),
    (lambda: np.zeros(SHAPE, np.int8), "int8 instead of floating point; convert the weights to float16 or float32"),
    (lambda: np.zeros(SHAPE, np.int64), "int64 instead of floating point"),
    (lambda: np.zeros(SHAPE, np.bool_), "bool instead of floating point"),
    (lambda: np.zeros(SHAPE, np.complex64), "complex64 instead of floating point"),
    (lambda: np.zeros(SHAPE, "U2"), "<U2 instead of floating point"),
    (lambda: np.zeros(SHAPE, "M8[s]"), "datetime64[s] instead of floating point"),
    (lambda: np.zeros(SHAPE, [("a", "f4")]), "instead of floating point"),
]


@pytest.mark.parametrize(("array", "said"), ARRAYS)
def test_wrong_arrays_are_named(array: Callable[[], NDArray[Any]], said: str) -> None:
    """Shape, type and numbers are looked at; the message names file and array."""
    said_of = refusal(stem(npy(array())))
    assert said_of.startswith(f"w.npz: {STEM}: ")
    assert said in said_of


MEMBERS = [
    (claimed((1 << 40,)), "Unable to allocate"),
    (claimed((1 << 31,)), "EOF: reading array data"),
    (claimed((-3, 3, 3, 32)), "negative dimensions"),
    (claimed((1 << 62, 1 << 62)), "not a readable .npz"),
    (claimed(SHAPE, data=b"\0" * 100), "EOF: reading array data"),
    (header("__import__('os').mkdir('pwned')"), "not a readable .npz"),
    (header("(" * 9000), "not a readable .npz"),
    (header("{'descr': '<f4'}"), "not a readable .npz"),
    (b"\x93NUMPY\x09\x00", "not a readable .npz"),
    (b"", f"{STEM} is no array"),
    (b"no array", f"{STEM} is no array"),
    (npy(np.zeros((3, 3, 3, 32 * 50), np.float64)), "bytes, too many for shape (3, 3, 3, 32)"),
]


@pytest.mark.parametrize(("member", "said"), MEMBERS)
def test_members_that_are_no_arrays_are_refused(member: bytes, said: str) -> None:
    """Headers that claim too much, are code, or are none; a shape of terabytes takes no memory."""
    assert said in refusal(stem(member))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """Objects in an array, a pickle as a member and a pickle as the file are refused unread."""
    trap, objects = Trap(tmp_path / "sprung"), np.empty(SHAPE, object)
    objects[...] = trap
    assert "Object arrays cannot be loaded" in refusal(stem(npy(objects)))
    assert "is no array" in refusal(stem(pickle.dumps(trap)))
    assert "not a zip file" in refusal(pickle.dumps(trap))
    pickled = claimed(SHAPE, "|O", pickle.dumps(trap))
    assert "Object arrays cannot be loaded" in refusal(stem(pickled))
    assert list(tmp_path.iterdir()) == []


def test_no_message_proposes_to_unpickle() -> None:
    """NumPy's own hint, to load what cannot be read unsafely, is not passed on."""
    for content in (b"", b"text", pickle.dumps([1]), npy(np.zeros(3)), stem(b"x")):
        assert "unsafely" not in refusal(content)


def test_bomb_is_refused_by_its_declared_size() -> None:
    """A gigabyte of zeros in a megabyte is refused before any of it is unpacked."""
    target = BytesIO()
    with (
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open(f"{STEM}.npy", "w") as member,
    ):
        member.write(claimed(SHAPE))
        for _ in range(64):
            member.write(bytes(1 << 20))
    # The size as the directory tells it, multiplied: nobody packs a real terabyte in a test.
    content = target.getvalue().replace(struct.pack("<I", (64 << 20) + len(claimed(SHAPE))), struct.pack("<I", 3 << 30))
    assert f"{STEM} has 3221225472 bytes, too many for shape (3, 3, 3, 32)" in refusal(content)


def test_duplicate_and_missing_names_are_refused(good: Mapping[str, bytes]) -> None:
    """Two arrays of one name, none, and names of another network are told by name."""
    assert f"two arrays are named {STEM}" in refusal(archive([*good.items(), (STEM, good[STEM])]))
    assert f"array {STEM} is missing" in refusal(archive([p for p in good.items() if p[0] != STEM]))
    assert "is missing; the weights must be those of the full 1.0 network" in refusal(
        archive([(f"module/{name}", data) for name, data in good.items()])
    )


@pytest.mark.parametrize("cut", [0, 1, 22, 1000, -1, -22, -1000])
def test_cut_files_are_refused(good: Mapping[str, bytes], cut: int) -> None:
    """However much is left of a file."""
    assert "not a readable .npz of plain arrays" in refusal(archive(list(good.items()))[:cut])


def test_altered_files_are_refused_or_whole(good: Mapping[str, bytes]) -> None:
    """One altered byte anywhere is an error of ours, or lies where nothing is read."""
    whole, refused = archive(list(good.items())), 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        # A third in the directory, where sizes, names and methods are.
        place = -int(rng.integers(1, 4000)) if seed % 3 == 0 else int(rng.integers(len(whole)))
        content = bytearray(whole)
        content[place] ^= int(rng.integers(1, 256))
        with contextlib.suppress(ModelError):
            parse_weights(bytes(content), "classification", "w.npz")
            refused -= 1
        refused += 1
    assert refused > 12


def test_what_is_no_file_is_refused_unread(tmp_path: Path) -> None:
    """A folder, a pipe and a device under the file's name do not hang or fill the memory."""
    path = tmp_path / WEIGHT_FILES["classification"]
    makes: list[Callable[[], None]] = [path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to("/dev/zero")]
    for make in makes:
        make()
        with pytest.raises(ModelError, match=r"mobilenet_v1_1\.0_224\.npz: is no file; give --weights a folder with"):
            load_weights(tmp_path, "classification")
        path.rmdir() if path.is_dir() else path.unlink()


def test_files_too_large_to_be_weights_are_refused_unread(tmp_path: Path) -> None:
    """A sparse file of a terabyte costs nothing to refuse."""
    with (tmp_path / WEIGHT_FILES["classification"]).open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ModelError, match="536870913 bytes are too many for these networks"):
        load_weights(tmp_path, "classification")
