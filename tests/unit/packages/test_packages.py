"""Packages: the same bytes from the same files, small enough, complete, and kept only while intact."""

import dataclasses
import importlib.util
import os
from pathlib import Path
import shutil
import sys
import zipfile

from package_builds import SITE_PACKAGES, build_elsewhere
import pytest

from serverless_mlperf import packages
from serverless_mlperf.errors import PackageError
from serverless_mlperf.packages.archive import DIRECT_BYTES, Package, digest

ENGINES = ["fake", "ie-ir", "ocv-cf"]
MIB = 2**20


@pytest.fixture(scope="module")
def function() -> Package:
    """The function's zip."""
    return packages.cached_packages("fake")[0]


@pytest.fixture(scope="module")
def layers() -> dict[str, Package]:
    """One layer per engine, by its name."""
    return {layer.name: layer for layer in (packages.cached_packages(engine)[1] for engine in ENGINES)}


def package(name: str, unzipped_mib: int, **largest_mib: int) -> Package:
    """A package on paper."""
    largest = tuple((member, size * MIB) for member, size in largest_mib.items())
    return Package(name, Path(f"{name}.zip"), "0" * 64, 1, unzipped_mib * MIB, 1, largest, {"python": "python3"})


def test_two_builds_are_the_same_bytes(function: Package, layers: dict[str, Package], tmp_path: Path) -> None:
    """Another process, umask, time zone, locale, hash seed, current folder and file times give the same packages."""
    odd, output = tmp_path / "odd", tmp_path / "packages"
    source = importlib.util.find_spec("serverless_mlperf_sut")
    assert source is not None
    assert source.origin is not None
    shutil.copytree(Path(source.origin).parent, odd / "sut/serverless_mlperf_sut", copy_function=shutil.copyfile)
    for path in (odd / "sut").rglob("*"):
        os.utime(path, (1e9, 1e9))
    (odd / "compileall.py").write_text("raise SystemExit('taken from the current folder')")
    variables = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7", "PYTHONPATH": str(odd / "sut")}
    # The layer of the fake engine is a part of both others.
    digests = build_elsewhere(output, "0077", odd, ["ie-ir", "ocv-cf"], **variables)
    assert digests == {p.name: p.sha256 for p in (function, layers["openvino"], layers["opencv"])}
    assert {path.name for path in output.iterdir()} == {"function.zip", "ie-ir.zip", "ocv-cf.zip"}
    shutil.rmtree(output)


@pytest.mark.parametrize("name", ["function", "fake", "openvino", "opencv"])
def test_every_module_is_compiled_for_good(function: Package, layers: dict[str, Package], name: str) -> None:
    """Each .py has a .pyc of this Python that is never checked against it: bits of its second word are 01 (PEP 552)."""
    with zipfile.ZipFile(function.path if name == "function" else layers[name].path) as archive:
        modules = [Path(member) for member in archive.namelist() if member.endswith(".py")]
        assert modules
        for module in modules:
            compiled = module.parent / "__pycache__" / f"{module.stem}.{sys.implementation.cache_tag}.pyc"
            header = archive.read(str(compiled))[:8]
            assert header == importlib.util.MAGIC_NUMBER + (0b01).to_bytes(4, "little"), module


def test_packages_fit_lambda(function: Package, layers: dict[str, Package]) -> None:
    """Function and layer together stay below 250 MiB."""
    for layer in layers.values():
        packages.check_limits(function, layer)
        assert function.unzipped_bytes + layer.unzipped_bytes <= packages.LIMIT_BYTES


def test_sizes_are_those_of_the_files(layers: dict[str, Package]) -> None:
    """Zipped and unzipped size, members and digest are what the zip itself says."""
    for layer in layers.values():
        with zipfile.ZipFile(layer.path) as archive:
            sizes = [entry.file_size for entry in archive.infolist()]
        assert (layer.unzipped_bytes, layer.members) == (sum(sizes), len(sizes))
        assert (layer.zip_bytes, layer.sha256) == (layer.path.stat().st_size, digest(layer.path))
        assert layer.largest[0][1] == max(sizes)


def test_layer_has_no_ballast(layers: dict[str, Package]) -> None:
    """No tests, headers, GPU plug-ins or Haar cascades; nothing above python/."""
    for layer in layers.values():
        with zipfile.ZipFile(layer.path) as archive:
            names = archive.namelist()
        assert all(name.startswith(SITE_PACKAGES) for name in names)
        assert not [name for name in names if "/tests/" in name or "gpu_plugin" in name or "haarcascade" in name]


def test_layer_names_its_versions(layers: dict[str, Package]) -> None:
    """A package says what it was made of."""
    assert {"openvino", "numpy", "pillow", "obstore", "python"} == set(layers["openvino"].versions)


def test_too_large_names_the_largest_of_all_packages() -> None:
    """The three largest members are named whatever package they are in and however they are called."""
    two = package("function", 100, aa=1, zz=60), package("one", 160, mm=90, ab=2, ac=3, yy=40)
    with pytest.raises(PackageError, match=r"function \+ one: 260\.0 MiB unzipped, Lambda takes 250; .*") as caught:
        packages.check_limits(*two)
    assert str(caught.value).endswith("are mm 90.0, zz 60.0, yy 40.0")


def test_exactly_the_limit_is_taken() -> None:
    """250 MiB together are taken, one byte more is not."""
    full = package("function", 250)
    packages.check_limits(full)
    with pytest.raises(PackageError, match="leave something out"):
        packages.check_limits(dataclasses.replace(full, unzipped_bytes=full.unzipped_bytes + 1))


def test_both_engines_do_not_fit(layers: dict[str, Package]) -> None:
    """OpenVINO and OpenCV in one function are refused, with what weighs most."""
    with pytest.raises(PackageError, match=r"openvino \+ opencv.*cv2\.abi3\.so"):
        packages.check_limits(layers["openvino"], layers["opencv"])


def test_at_most_five_layers() -> None:
    """Five layers beside the function are taken, six are not."""
    several = [package(f"layer{number}", 1) for number in range(6)]
    packages.check_limits(package("function", 1), *several[:5])
    with pytest.raises(PackageError, match="6 layers, Lambda takes 5"):
        packages.check_limits(package("function", 1), *several)


def test_large_zip_goes_by_s3() -> None:
    """More than 50 MiB zipped is no error but noted; 50 MiB can be uploaded directly."""
    at_limit = dataclasses.replace(package("function", 1), zip_bytes=DIRECT_BYTES)
    assert not at_limit.must_go_by_s3
    assert dataclasses.replace(at_limit, zip_bytes=DIRECT_BYTES + 1).must_go_by_s3


def test_unknown_engine_is_refused() -> None:
    """The error lists the engines that have a layer."""
    with pytest.raises(PackageError, match="ie-ir, ocv-cf, ocv-tf"):
        packages.build_layer("ocv-xx", Path("never.zip"))


def test_cache_is_used_only_when_intact(tmp_path: Path) -> None:
    """A kept zip is taken as it is; one that is damaged, or that others could have written, is built again."""
    function, layer = packages.cached_packages("fake", tmp_path)
    made = layer.path.stat().st_mtime_ns
    assert packages.cached_packages("fake", tmp_path) == (function, layer)
    assert layer.path.stat().st_mtime_ns == made
    note = function.path.with_suffix(".json")
    for damaged in (function.path, note):
        damaged.write_bytes(b"{")
        assert packages.cached_packages("fake", tmp_path)[0] == function
        assert zipfile.is_zipfile(function.path)
    for loosened in (function.path, note):
        loosened.chmod(0o666)
        assert packages.cached_packages("fake", tmp_path)[0] == function
        assert loosened.stat().st_mode & 0o022 == 0
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".partial"]


def test_package_text_form_is_read_back(function: Package) -> None:
    """The note beside a cached zip holds all of it."""
    assert Package.from_json(function.to_json(), function.path.parent) == function
