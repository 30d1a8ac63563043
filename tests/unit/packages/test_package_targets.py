"""Targets, their pins, what pip answers, who compiles: all that needs no package index."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
import dataclasses
import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import importlib.util
import os
from pathlib import Path
import re
import stat
import subprocess
import sys
from threading import Thread
import zipfile

import pytest
from target_surroundings import WITHOUT_INDEX, path_with

from serverless_mlperf.errors import BenchmarkError, HostError, InputError, PackageError
from serverless_mlperf.packages import BuildTarget, Package
from serverless_mlperf.packages.bytecode import Compiler, compiler_for
from serverless_mlperf.packages.contents import LAYERS
from serverless_mlperf.packages.fetch import fetch_wheels
from serverless_mlperf.packages.target import ARCHITECTURES, GLIBC_MINOR, pins
from serverless_mlperf.packages.target_build import build_target_function_zip
from serverless_mlperf.workloads import Architecture

ROOT = Path(__file__).parents[3]
PIN = re.compile(r"^([a-z-]+)==(\S+) \\$", re.MULTILINE)
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")
WHEEL = re.compile(r"^# (\w+)-([\d.]+)(?:-\d+)?-(cp3\d+)-(cp3\d+|abi3)-(\S+)\.whl$", re.MULTILINE)
ARM = BuildTarget("3.13", "arm64")


def test_default_target_is_lambdas_newest() -> None:
    """Python 3.13 on x86-64; wheels for its glibc 2.34 and older ones are taken, the newest first."""
    target = BuildTarget()
    assert (target.name, target.runtime) == ("python3.13-x86_64", "python3.13")
    assert target.platforms[0] == "manylinux_2_34_x86_64"
    assert target.platforms[-2:] == ("manylinux_2_17_x86_64", "manylinux2014_x86_64")
    assert ARM.platforms[0] == "manylinux_2_34_aarch64"


@pytest.mark.parametrize(
    ("python", "architecture", "said"),
    [("3.11", "x86_64", "3.12 and 3.13"), ("3", "arm64", "3.12"), ("", "arm64", "3.12"), ("3.13", "aarch64", "arm64")],
)
def test_other_targets_are_refused(python: str, architecture: str, said: str) -> None:
    """A Python or architecture that Lambda does not have, or that no engine runs on, is told with those that are."""
    with pytest.raises(InputError, match=said):
        BuildTarget(python, architecture)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("layer", LAYERS)
def test_pins_name_each_distribution_with_hashes(layer: str, architecture: Architecture) -> None:
    """A layer's distributions and nothing else, a digest per wheel, and wheels for every Python and its glibc."""
    text = pins(layer, BuildTarget("3.13", architecture))
    pinned = dict(PIN.findall(text))
    assert set(pinned) == set(LAYERS[layer])
    wheels = WHEEL.findall(text)
    assert len(wheels) == sum(bool(HASH.match(line)) for line in text.splitlines())
    assert {(name.replace("_", "-"), version) for name, version, *_ in wheels} == set(pinned.items())
    for python in GLIBC_MINOR:
        target = BuildTarget(python, architecture)
        tag = f"cp{python.replace('.', '')}"
        fitting = {name for name, _, for_python, abi, _ in wheels if abi == "abi3" or for_python == tag}
        assert len(fitting) == len(pinned)
        assert all(set(platforms.split(".")) & set(target.platforms) for *_, platforms in wheels)


def test_opencv_is_older_than_5() -> None:
    """OpenCV 5 reads no Caffe files."""
    for architecture in ARCHITECTURES:
        version = dict(PIN.findall(pins("opencv", BuildTarget("3.13", architecture))))["opencv-python-headless"]
        assert int(version.split(".")[0]) == 4


def test_versions_are_the_locks_where_the_runtime_takes_them() -> None:
    """Only OpenVINO on arm64, and the numpy that it demands, are other ones than those measured with locally."""
    lock = dict(re.findall(r"^([a-z-]+)==(\S+)(?: ; python_full_version >= '3.12')? \\$", lock_text(), re.MULTILINE))
    other = {
        (layer, architecture, name)
        for layer in LAYERS
        for architecture in ARCHITECTURES
        for name, version in PIN.findall(pins(layer, BuildTarget("3.13", architecture)))
        if lock[name] != version
    }
    assert other == {("openvino", "arm64", "openvino"), ("openvino", "arm64", "numpy")}


def lock_text() -> str:
    """What the project itself is installed from."""
    return (ROOT / "requirements.lock").read_text()


def wheel(folder: Path, name: str = "demo", tag: str = "py3-none-any") -> tuple[Path, str]:
    """An index folder with one wheel of one module; returns the wheel and its digest."""
    members = {f"{name}.py": b"x = 1\n"}
    about = f"{name}-1.0.dist-info"
    members[f"{about}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode()
    members[f"{about}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
    rows = [f"{member},sha256={_urlsafe(data)},{len(data)}" for member, data in members.items()]
    members[f"{about}/RECORD"] = "\n".join([*rows, f"{about}/RECORD,,", ""]).encode()
    path = folder / f"{name}-1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def _urlsafe(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip has, set as the one that it finds links in."""
    for name, value in WITHOUT_INDEX.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return folder


def test_fetched_are_the_pinned_wheels(index: Path, tmp_path: Path) -> None:
    """A wheel for the target is unpacked, whatever Python runs pip, and told with its name and digest."""
    path, digest = wheel(index, tag="cp313-cp313-manylinux_2_31_aarch64")
    found = fetch_wheels(f"demo==1.0 --hash=sha256:{digest}\n", ARM, tmp_path / "out")
    assert found == {"demo": f"{path.name}#sha256={digest}"}
    assert (tmp_path / "out/demo.py").read_text() == "x = 1\n"
    assert [p.name for p in (tmp_path / "out").rglob("*.pyc")] == []


def refusal(kind: type[BenchmarkError], requirements: str, folder: Path) -> str:
    """The one line in which a fetch is refused."""
    with pytest.raises(kind) as caught:
        fetch_wheels(requirements, ARM, folder)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("wheels for python3.13-arm64: ")
    return str(caught.value)


def test_other_hash_is_refused(index: Path, tmp_path: Path) -> None:
    """A wheel that is not the pinned one is told with what it is, and nothing is unpacked."""
    _, digest = wheel(index)
    said = refusal(PackageError, f"demo==1.0 --hash=sha256:{'0' * 64}\n", tmp_path / "out")
    assert f"demo==1.0 of the index is not the pinned one (sha256 {digest[:8]}...)" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("tag", ["cp313-cp313-manylinux_2_35_aarch64", "cp313-cp313-manylinux_2_17_x86_64"])
def test_missing_wheel_is_told(index: Path, tmp_path: Path, tag: str) -> None:
    """One that needs a newer glibc, or is for another architecture, is none: told with what was looked for."""
    _, digest = wheel(index, tag=tag)
    said = refusal(PackageError, f"demo==1.0 --hash=sha256:{digest}\n", tmp_path / "out")
    assert "no wheel of demo==1.0 for Python 3.13, aarch64 and glibc up to 2.34" in said


def test_unreachable_index_is_told(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the host's failure, not the pins'."""
    monkeypatch.delenv("PIP_NO_INDEX")
    said = refusal(HostError, f"demo==1.0 --hash=sha256:{'0' * 64}\n", tmp_path / index.name / "out")
    assert "the package index cannot be reached (" in said


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [(503, HostError, "cannot be reached"), (403, HostError, "cannot be reached"), (404, PackageError, "no wheel of")],
)
def test_refusing_index_is_told(
    status: int,
    kind: type[BenchmarkError],
    told: str,
    index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An index that answers with an error cannot be reached; one that knows no such name lacks the wheel."""
    assert index.is_dir()
    monkeypatch.delenv("PIP_NO_INDEX")
    with answering(status) as url:
        monkeypatch.setenv("PIP_INDEX_URL", url)
        assert told in refusal(kind, f"demo==1.0 --hash=sha256:{'0' * 64}\n", tmp_path / "out")


@contextmanager
def answering(status: int) -> Iterator[str]:
    """The URL of a server that answers everything with one status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(status)

        def log_message(self, *arguments: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/simple"
        finally:
            server.shutdown()
            thread.join()


def test_missing_pip_is_told(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment made without pip gets the command that brings it."""
    (index / "pip").mkdir()
    (index / "pip/__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(index))
    assert "-m ensurepip" in refusal(HostError, "demo==1.0\n", tmp_path / "out")


def test_unforeseen_failure_is_told_in_pips_words(index: Path, tmp_path: Path) -> None:
    """Its last line, whatever it is."""
    wheel(index)
    assert "pip failed (" in refusal(PackageError, "demo==1.0\n", tmp_path / "out")


def launcher(folder: Path, text: str) -> Path:
    """An executable named as an interpreter of Python 3.13."""
    folder.mkdir()
    path = folder / "python3.13"
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_compiler_is_the_first_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Launchers that fail, are no programs, or are of another Python are passed over; without any there is none."""
    launcher(tmp_path / "fails", "#!/bin/sh\nexit 127\n")
    launcher(tmp_path / "other", "#!/bin/sh\necho 3.12.1 cpython-312\n")
    launcher(tmp_path / "text", "\x7fELF\n")
    fits = launcher(tmp_path / "fits", "#!/bin/sh\necho 3.13.9 cpython-313\n")
    passed_over = [str(tmp_path / name) for name in ("absent", "fails", "other", "text")]
    monkeypatch.setenv("PATH", os.pathsep.join(["", "relative", *passed_over]))
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert compiler_for(own) is not None
    if own != "3.13":
        assert compiler_for("3.13") is None
        monkeypatch.setenv("PATH", os.pathsep.join([*passed_over, str(fits.parent)]))
        assert compiler_for("3.13") == Compiler(str(fits), "3.13.9")


def names(package: Package) -> list[str]:
    """Members of a zip."""
    with zipfile.ZipFile(package.path) as archive:
        return archive.namelist()


def test_function_without_a_compiler_has_sources_alone(tmp_path: Path) -> None:
    """It holds every module, no compiled one, and says so; the zip is the same for both architectures."""
    both = [
        build_target_function_zip(BuildTarget("3.13", architecture), tmp_path / architecture / "f.zip", None)
        for architecture in ARCHITECTURES
    ]
    assert both[0].sha256 == both[1].sha256
    assert "serverless_mlperf_sut/handler.py" in names(both[0])
    assert all(name.endswith(".py") for name in names(both[0]))
    assert (both[0].bytecode, both[0].versions) == ("", {"python": "python3.13"})


@pytest.mark.parametrize("python", GLIBC_MINOR)
def test_function_is_compiled_for_the_target(python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an interpreter of the target's version, each module has a .pyc that it reads unchecked (PEP 552)."""
    monkeypatch.setenv("PATH", path_with(python))
    compiler = compiler_for(python)
    if compiler is None:
        pytest.skip(f"needs Python {python} on PATH or of pyenv")
    ask = [compiler.path, "-c", "import importlib.util as u; print(u.MAGIC_NUMBER.hex())"]
    magic = bytes.fromhex(subprocess.run(ask, capture_output=True, text=True, check=True).stdout)
    package = build_target_function_zip(BuildTarget(python), tmp_path / "f.zip", compiler)
    assert package.bytecode == compiler.version
    with zipfile.ZipFile(package.path) as archive:
        modules = [Path(name) for name in archive.namelist() if name.endswith(".py")]
        assert len(modules) > 10
        for module in modules:
            cached = module.parent / "__pycache__" / f"{module.stem}.cpython-{python.replace('.', '')}.pyc"
            assert archive.read(str(cached))[:8] == magic + (0b01).to_bytes(4, "little")
    assert (magic == importlib.util.MAGIC_NUMBER) == (python == f"3.{sys.version_info.minor}")


def test_text_form_keeps_wheels_and_bytecode(tmp_path: Path) -> None:
    """The note beside a kept zip holds what the bill of materials needs."""
    made = build_target_function_zip(ARM, tmp_path / "f.zip", None)
    package = dataclasses.replace(made, wheels={"demo": "demo-1.0.whl#sha256=00"}, bytecode="3.13.0")
    assert Package.from_json(package.to_json(), tmp_path) == package
