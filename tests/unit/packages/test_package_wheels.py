"""Layers for Lambda's machines, of wheels that pip fetches, for both architectures. They need the package index."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
from tempfile import TemporaryDirectory
from typing import Any
import zipfile

from alone import assert_serves_alone
from elf import Library, is_elf, library
import pytest
from target_surroundings import WITHOUT_INDEX, path_with

from serverless_mlperf import packages
from serverless_mlperf.errors import HostError
from serverless_mlperf.models.build import ModelSet, cached_models
from serverless_mlperf.packages import BuildTarget, Package
from serverless_mlperf.packages.bom import bill_of_materials
from serverless_mlperf.packages.bytecode import compiler_for
from serverless_mlperf.packages.target import ARCHITECTURES, pins
from serverless_mlperf.workloads import ENGINE_AND_FORMATS, TASKS, Architecture, EngineAndFormat, Task

PYTHON = "3.13"
ENGINES: list[EngineAndFormat] = ["ie-ir", "ocv-cf"]
"""One of each layer: both formats of OpenCV share theirs."""
GLIBC, GLIBCXX = (2, 34), (3, 4, 29)
"""Of Amazon Linux 2023: glibc 2.34, and the C++ library of GCC 11."""
SYSTEM = re.compile(r"(lib(c|m|dl|pthread|rt|z|stdc\+\+|gcc_s)|ld-linux-(x86-64|aarch64))\.so\.\d")
"""What the runtime has: the libraries that a manylinux wheel may leave to it (PEP 600), of those used here."""
AGAIN = """
import json, os, sys
from pathlib import Path
os.umask(0o077)
from serverless_mlperf.packages import BuildTarget, cached_target_packages
python, architecture, folder, *engines = sys.argv[1:]
Path(folder).mkdir()
made = [cached_target_packages(engine, BuildTarget(python, architecture), Path(folder)) for engine in engines]
print(json.dumps([[package.sha256 for package in pair] for pair in made]))
"""


@cache
def _libraries(path: Path) -> dict[str, Library]:
    with zipfile.ZipFile(path) as archive:
        data = ((name, archive.read(name)) for name in archive.namelist())
        return {name: library(found) for name, found in data if is_elf(found)}


@dataclass(frozen=True)
class Built:
    """What one engine has on one architecture."""

    engine: EngineAndFormat
    target: BuildTarget
    function: Package
    layer: Package

    @property
    def libraries(self) -> dict[str, Library]:
        """Machine code in the layer, by member name."""
        return _libraries(self.layer.path)

    def read(self, suffix: str) -> list[str]:
        """Texts of the layer's members that end so."""
        with zipfile.ZipFile(self.layer.path) as archive:
            return [archive.read(name).decode() for name in archive.namelist() if name.endswith(suffix)]


def build(engine: EngineAndFormat, architecture: Architecture) -> Built:
    """Fetch and build, once per session: the cache is the session's."""
    target = BuildTarget(PYTHON, architecture)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path_with(PYTHON))
        try:
            function, layer = packages.cached_target_packages(engine, target)
        except HostError as error:
            if "index cannot be reached" not in str(error):
                raise
            pytest.skip(f"needs the package index: {error}")
    return Built(engine, target, function, layer)


@pytest.fixture(scope="module", params=[(e, a) for a in ARCHITECTURES for e in ENGINES], ids="-".join)
def built(request: pytest.FixtureRequest) -> Built:
    """Each engine on each architecture."""
    return build(*request.param)


def test_function_and_engine_fit_lambda(built: Built) -> None:
    """Together they stay below 250 MiB, as the zips themselves say; OpenCV's must go by way of S3."""
    sizes = 0
    for package in (built.function, built.layer):
        with zipfile.ZipFile(package.path) as archive:
            sizes += sum(entry.file_size for entry in archive.infolist())
    assert 100 * 2**20 < sizes <= packages.LIMIT_BYTES
    assert sizes == built.function.unzipped_bytes + built.layer.unzipped_bytes
    assert built.layer.must_go_by_s3 or built.engine == "ie-ir"


def test_all_machine_code_is_of_the_architecture(built: Built) -> None:
    """Every ELF file is of the target's architecture, and every member that is named like a library is one."""
    assert {found.machine for found in built.libraries.values()} == {built.target.architecture}
    with zipfile.ZipFile(built.layer.path) as archive:
        named = {name for name in archive.namelist() if ".so" in Path(name).name}
    assert named == set(built.libraries)
    assert len(named) > 40


def test_no_symbol_is_newer_than_the_runtime(built: Built) -> None:
    """What is demanded of glibc and of the C++ library, Amazon Linux 2023 has."""
    newest = {name: (found.newest("GLIBC_"), found.newest("GLIBCXX_")) for name, found in built.libraries.items()}
    assert max(glibc for glibc, _ in newest.values()) > (2, 14)
    assert {name: found for name, found in newest.items() if found[0] > GLIBC or found[1] > GLIBCXX} == {}


def test_nothing_that_is_linked_with_was_left_out(built: Built) -> None:
    """From every module and plug-in on, each library is in the layer or the runtime's own."""
    by_name = {Path(name).name: found for name, found in built.libraries.items()}
    # Beside the modules lie libraries that auditwheel has put there; one that no module reaches is never loaded.
    reached = {Path(name).name for name in built.libraries if not re.search(r"\.libs/[^/]+$", name)}
    waiting = set(reached)
    while waiting:
        needed = by_name[waiting.pop()].needed
        waiting |= (needed & by_name.keys()) - reached
        reached |= needed
    assert {name for name in reached - by_name.keys() if not SYSTEM.fullmatch(name)} == set()
    assert not built.engine.startswith("ie") or any("cpu_plugin" in name for name in reached)


def test_wheels_are_the_pinned_and_of_the_platform(built: Built) -> None:
    """Their tags allow the runtime's glibc, their digests are those of the pins, and OpenCV is older than 5."""
    pinned = pins(built.layer.name, built.target)
    for link in built.layer.wheels.values():
        file, digest = link.split("#sha256=")
        assert f"# {file}\n" in pinned
        assert f"--hash=sha256:{digest}" in pinned
    tags = [line for text in built.read(".dist-info/WHEEL") for line in text.splitlines() if line.startswith("Tag: ")]
    assert len(tags) >= len(built.layer.wheels) == 4
    for tag in tags:
        assert tag.rpartition("-")[2] in built.target.platforms
    assert int(built.layer.versions.get("opencv-python-headless", "4").split(".")[0]) < 5


def test_layer_has_no_ballast(built: Built) -> None:
    """No tests, GPU plug-ins or Haar cascades, nothing outside of site-packages; compiled modules are the target's."""
    with zipfile.ZipFile(built.layer.path) as archive:
        names = archive.namelist()
    assert all(name.startswith("python/lib/python3.13/site-packages/") for name in names)
    assert not [name for name in names if "/tests/" in name or "gpu_plugin" in name or "haarcascade" in name]
    compiled = [name for name in names if name.endswith(".pyc")]
    assert all(name.endswith(".cpython-313.pyc") for name in compiled)
    assert bool(compiled) == bool(built.layer.bytecode)


def test_bill_names_wheels_and_target(built: Built) -> None:
    """Every distribution with its version, licence, wheel and the wheel's digest; the Python and the architecture."""
    bill: dict[str, Any] = json.loads(bill_of_materials([built.function, built.layer], built.target))
    properties = {each["name"].partition(":")[2]: each["value"] for each in bill["metadata"]["properties"]}
    assert properties == {"python": PYTHON, "architecture": built.target.architecture}
    function, layer = bill["components"]
    assert "components" not in function
    assert {c["name"] for c in layer["components"]} == built.layer.wheels.keys()
    for inside in layer["components"]:
        (wheel,) = inside["externalReferences"]
        assert built.layer.wheels[inside["name"]] == f"{wheel['url']}#sha256={wheel['hashes'][0]['content']}"
        assert inside["licenses"]


def test_kept_layer_needs_no_index(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was built once is taken from the cache: pip is not asked again."""
    monkeypatch.setenv("PATH", path_with(PYTHON))
    for name, value in WITHOUT_INDEX.items():
        monkeypatch.setenv(name, value)
    again = packages.cached_target_packages(built.engine, built.target)
    assert again == (built.function, built.layer)


@pytest.mark.long
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_two_builds_are_the_same_bytes(architecture: Architecture, tmp_path: Path) -> None:
    """Another process, umask, time zone, locale, hash seed, current and temporary folder give the same packages."""
    first = [build(engine, architecture) for engine in ENGINES]
    for name in ("odd", "tmp"):
        (tmp_path / name).mkdir()
    variables = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7", "TMPDIR": str(tmp_path / "tmp")}
    environment = {**os.environ, **variables, "PATH": path_with(PYTHON)}
    command = [sys.executable, "-c", AGAIN, PYTHON, architecture, str(tmp_path / "again"), *ENGINES]
    done = subprocess.run(command, cwd=tmp_path / "odd", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[each.function.sha256, each.layer.sha256] for each in first]
    assert list((tmp_path / "tmp").iterdir()) == []
    shutil.rmtree(tmp_path / "again")


@pytest.fixture(scope="module")
def models() -> ModelSet:
    """The embedded weights as every engine reads them."""
    return cached_models(None)


@pytest.fixture(scope="module", params=ENGINE_AND_FORMATS)
def unpacked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Built, Path]]:
    """What was built for x86-64, and a folder with the function in `task` and its layer in `opt`."""
    built = build(request.param, "x86_64")
    with TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as folder:
        packages.unpack(built.function.path, Path(folder) / "task")
        packages.unpack(built.layer.path, Path(folder) / "opt")
        yield built, Path(folder)


@pytest.mark.parametrize("task", TASKS)
def test_unpacked_alone_they_infer(
    unpacked: tuple[Built, Path], task: Task, models: ModelSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the target's Python, with nothing else on the path, each engine reads its models and answers right."""
    built, folder = unpacked
    monkeypatch.setenv("PATH", path_with(PYTHON))
    python = compiler_for(PYTHON)
    if python is None:
        pytest.skip(f"needs Python {PYTHON} on PATH or of pyenv, which runs the layer")
    assert_serves_alone(python.path, folder, built.target.site_packages, built.engine, task, models, tmp_path)
