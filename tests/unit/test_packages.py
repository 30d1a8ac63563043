"""Packages: the same bytes from the same files, small enough, complete, and unpacked with suspicion."""

import dataclasses
import os
from pathlib import Path
import stat
import subprocess
import sys
import zipfile

import pytest

from serverless_mlperf import packages
from serverless_mlperf.errors import PackageError
from serverless_mlperf.packages.archive import Package

SITE_PACKAGES = f"python/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
PROBE = """
import sys
sys.path[:] = [path for path in sys.path if "site-packages" not in path]
sys.path[:0] = sys.argv[2:]
import numpy as np
from serverless_mlperf_sut import images, service, storage
from serverless_mlperf_sut.engines.base import create
from serverless_mlperf_sut.settings import Settings
from serverless_mlperf_sut.stopwatch import Stopwatch
engine = create(sys.argv[1])
assert images.decode(images.encode(np.zeros((9, 9, 3), np.uint8))).shape == (9, 9, 3)
storage.S3Storage("bucket")
assert "serverless_mlperf" not in sys.modules
outside = [m.__file__ for m in sys.modules.values() if "site-packages" in (getattr(m, "__file__", None) or "")]
assert all(any(name.startswith(path) for path in sys.argv[2:]) for name in outside), outside
stale = [m.__name__ for m in list(sys.modules.values()) if m.__name__.startswith("serverless_mlperf_sut.")
         and not m.__cached__.endswith(".pyc")]
assert not stale, stale
print(engine.name)
"""


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The function's zip."""
    return packages.build_function_zip(tmp_path_factory.mktemp("function") / "function.zip")


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Package]:
    """One layer per engine."""
    folder = tmp_path_factory.mktemp("layers")
    return {name: packages.build_layer(name, folder / f"{name}.zip") for name in ("ie-ir", "ocv-cf")}


@pytest.mark.parametrize(("layer", "engine", "name"), [("ie-ir", "ie-ir", "openvino"), ("ocv-cf", "ocv-tf", "opencv")])
def test_function_and_layer_alone_are_enough(
    function: Package, layers: dict[str, Package], layer: str, engine: str, name: str, tmp_path: Path
) -> None:
    """Unpacked, with nothing else on the path, they decode an image, open a bucket and import the engine."""
    packages.unpack(function.path, tmp_path / "task")
    packages.unpack(layers[layer].path, tmp_path / "opt")
    paths = [str(tmp_path / "task"), str(tmp_path / "opt" / SITE_PACKAGES)]
    command = [sys.executable, "-I", "-S", "-B", "-c", PROBE, engine, *paths]
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == name, done.stderr


def test_packages_fit_lambda(function: Package, layers: dict[str, Package]) -> None:
    """Function and layer together stay below 250 MiB."""
    for layer in layers.values():
        packages.check_total(function, layer)
        assert layer.unzipped_bytes < packages.LIMIT_BYTES


def test_layer_has_no_ballast(layers: dict[str, Package]) -> None:
    """No tests, headers, GPU plug-ins or Haar cascades; nothing above python/."""
    for layer in layers.values():
        with zipfile.ZipFile(layer.path) as archive:
            names = archive.namelist()
        assert all(name.startswith(SITE_PACKAGES) for name in names)
        assert not [name for name in names if "/tests/" in name or "gpu_plugin" in name or "haarcascade" in name]


def test_two_builds_are_the_same_bytes(function: Package, tmp_path: Path) -> None:
    """Function and smallest layer come out identical when built again."""
    assert packages.build_function_zip(tmp_path / "again.zip").sha256 == function.sha256
    first, second = (packages.build_layer("fake", tmp_path / f"{n}.zip") for n in "ab")
    assert first.path.read_bytes() == second.path.read_bytes()


def test_layer_names_its_versions(layers: dict[str, Package]) -> None:
    """A package says what it was made of."""
    assert {"openvino", "numpy", "pillow", "obstore", "python"} == set(layers["ie-ir"].versions)


def test_too_large_names_the_largest_members(layers: dict[str, Package]) -> None:
    """Both engines in one function are refused, with what weighs most."""
    with pytest.raises(PackageError, match=r"openvino \+ opencv.*cv2\.abi3\.so"):
        packages.check_total(*layers.values())


def test_unknown_engine_is_refused() -> None:
    """The error lists the engines that have a layer."""
    with pytest.raises(PackageError, match="ie-ir, ocv-cf, ocv-tf"):
        packages.build_layer("ocv-xx", Path("never.zip"))


def test_cache_is_used_only_when_intact(tmp_path: Path) -> None:
    """A kept zip is taken as it is; a damaged one is built again."""
    function, layer = packages.cached_packages("fake", tmp_path)
    made = layer.path.stat().st_mtime_ns
    assert packages.cached_packages("fake", tmp_path) == (function, layer)
    assert layer.path.stat().st_mtime_ns == made
    function.path.write_bytes(b"damaged")
    assert packages.cached_packages("fake", tmp_path)[0] == function
    assert zipfile.is_zipfile(function.path)
    note = function.path.with_suffix(".json")
    note.write_text("{")
    assert packages.cached_packages("fake", tmp_path)[0] == function


def test_package_text_form_is_read_back(function: Package) -> None:
    """The note beside a cached zip holds all of it."""
    assert Package.from_json(function.to_json(), function.path.parent) == function
    assert dataclasses.is_dataclass(function)


def write(path: Path, members: dict[str, bytes], mode: int = stat.S_IFREG | 0o644) -> Path:
    """A zip with one mode for all its members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return path


def test_unpack_makes_folders_others_can_read(tmp_path: Path) -> None:
    """Functions run as another user: a strict umask of ours does not lock them out."""
    archive = write(tmp_path / "a.zip", {"deep/down/x": b"x"})
    before = os.umask(0o077)
    try:
        packages.unpack(archive, tmp_path / "out")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) for name in ("deep", "deep/down", "deep/down/x")]
    assert modes == [0o755, 0o755, 0o644]


def test_unpack_keeps_modes_and_overwrites(tmp_path: Path) -> None:
    """A later layer's file replaces an earlier one's, its mode included, without set-user-id."""
    first = write(tmp_path / "a.zip", {"bin/tool": b"one", "keep": b"k"})
    second = write(tmp_path / "b.zip", {"bin/tool": b"two!"}, stat.S_IFREG | 0o4755)
    assert packages.unpack(first, tmp_path / "out") == 4
    assert packages.unpack(second, tmp_path / "out") == 4
    tool = tmp_path / "out/bin/tool"
    assert (tool.read_bytes(), stat.S_IMODE(tool.stat().st_mode)) == (b"two!", 0o755)
    assert (tmp_path / "out/keep").exists()


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "a\\..\\x"])
def test_unpack_refuses_to_leave_the_folder(tmp_path: Path, name: str) -> None:
    """Absolute names and `..` are refused before anything is written."""
    archive = write(tmp_path / "bad.zip", {"fine": b"x", name: b"y"})
    with pytest.raises(PackageError, match="outside"):
        packages.unpack(archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "a/../../secret"])
def test_unpack_refuses_links_that_lead_out(tmp_path: Path, target: str) -> None:
    """A symbolic link may point anywhere in the folder and nowhere else."""
    archive = write(tmp_path / "bad.zip", {"link": target.encode()}, stat.S_IFLNK | 0o777)
    with pytest.raises(PackageError, match="leaves the folder"):
        packages.unpack(archive, tmp_path / "out")


def test_unpack_follows_no_link_that_was_there(tmp_path: Path) -> None:
    """A link left in the folder by somebody else does not become a way out."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/lib").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PackageError, match="leaves the folder"):
        packages.unpack(write(tmp_path / "a.zip", {"lib/x": b"x"}), tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_unpack_makes_links_inside(tmp_path: Path) -> None:
    """A library's usual link to its versioned name works."""
    archive = write(tmp_path / "links.zip", {"lib/a.so": b"a.so.1"}, stat.S_IFLNK | 0o777)
    packages.unpack(write(tmp_path / "files.zip", {"lib/a.so.1": b"library"}), tmp_path / "out")
    packages.unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/lib/a.so").read_bytes() == b"library"


def test_unpack_refuses_bombs(tmp_path: Path) -> None:
    """Too large in all, or too compressible to be code, is refused by the headers."""
    zeros = write(tmp_path / "zeros.zip", {"zeros": bytes(10_000_000)})
    with pytest.raises(PackageError, match="times its size"):
        packages.unpack(zeros, tmp_path / "out")
    with pytest.raises(PackageError, match="are allowed"):
        packages.unpack(zeros, tmp_path / "out", max_bytes=1000)


def test_unpack_refuses_damage(tmp_path: Path) -> None:
    """A cut zip and something that is no zip end in the same kind of error."""
    whole = write(tmp_path / "whole.zip", {"x": b"data" * 1000}).read_bytes()
    for data in (whole[:-30], b"no zip", b""):
        (tmp_path / "cut.zip").write_bytes(data)
        with pytest.raises(PackageError, match="cannot be unpacked"):
            packages.unpack(tmp_path / "cut.zip", tmp_path / "out")
