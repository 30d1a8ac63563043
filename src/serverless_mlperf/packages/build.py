"""Build the function's zip and the layers, and keep them until something they are made of changes."""

from collections.abc import Callable, Mapping
import hashlib
from importlib.resources import files as package_files
from importlib.util import find_spec
import json
from pathlib import Path
import shutil
import subprocess
import sys
from typing import Final
import zlib

from serverless_mlperf.cache import cache_section, close_to_others, is_ours
from serverless_mlperf.errors import HostError, PackageError
from serverless_mlperf.owner import PREFIX, own_folder, this_process
from serverless_mlperf.packages.archive import Package, digest, tree, write_zip
from serverless_mlperf.packages.contents import LAYER_OF, layer_files, layer_versions
from serverless_mlperf.packages.limits import check_limits

PYTHON: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
_SITE_PACKAGES: Final = f"python/lib/{PYTHON}/site-packages/"
_FUNCTION: Final = "serverless_mlperf_sut"
_BUILDER_SOURCES: Final = ("archive.py", "build.py", "contents.py")


def build_function_zip(output: Path) -> Package:
    """Build the function's zip: its sources, compiled for the Python running now."""
    members = {f"{_FUNCTION}/{name}": path for name, path in _function_sources().items()}
    return _build("function", members, "", Path("/var/task"), output, {})


def build_layer(engine_and_format: str, output: Path) -> Package:
    """Build the layer of an engine from the distributions installed here; raises PackageError."""
    layer = _layer_of(engine_and_format)
    members = layer_files(layer)
    return _build(layer, members, _SITE_PACKAGES, Path("/opt") / _SITE_PACKAGES, output, layer_versions(layer))


def cached_packages(engine_and_format: str, folder: Path | None = None) -> tuple[Package, Package]:
    """Return the function's zip and the engine's layer, built only if what they are made of has changed.

    Blocking: it reads every file that goes in, some tenths of a second. A kept zip is used only if nobody else can
    have written it and its digest is still the noted one. Raises PackageError, HostError when it cannot be written.
    """
    folder = folder or cache_section("packages")
    layer = _layer_of(engine_and_format)
    try:
        function = _cached(folder, "function", _function_sources(), build_function_zip)
        made = _cached(folder, layer, layer_files(layer), lambda output: build_layer(engine_and_format, output))
    except OSError as error:
        raise HostError(
            f"{folder}: packages cannot be written ({error}); free 200 MB, or set SERVERLESS_MLPERF_CACHE"
        ) from error
    check_limits(function, made)
    return function, made


def _build(
    name: str, sources: Mapping[str, Path], prefix: str, installed: Path, output: Path, versions: Mapping[str, str]
) -> Package:
    with own_folder(PREFIX) as scratch:
        compiled = _compile(sources, scratch, installed)
        members = {prefix + member: path for member, path in {**sources, **compiled}.items()}
        package = write_zip(name, members, output, {**versions, "python": PYTHON})
    check_limits(package)
    return package


def _compile(sources: Mapping[str, Path], scratch: Path, installed: Path) -> dict[str, Path]:
    """Compile modules to .pyc files that are valid whatever time unpacking gives the sources.

    In a fresh interpreter with a fixed hash seed: marshalled code depends on both. -P: what lies in the user's
    current folder is not imported in place of the standard library.
    """
    for member, path in sources.items():
        if member.endswith(".py"):
            target = scratch / member
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    command = [sys.executable, "-P", "-S", "-s", "-W", "ignore", "-m", "compileall", "-qq", "-f"]
    command += ["--invalidation-mode", "unchecked-hash", "-s", str(scratch), "-p", str(installed), str(scratch)]
    done = subprocess.run(command, env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False)
    compiled = {member: path for member, path in tree(scratch) if member.endswith(".pyc")}
    # A template that is no Python (some distributions carry one) is skipped, as pip does; nothing at all is an error.
    if not compiled:
        raise PackageError(f"compileall made nothing (status {done.returncode}): {done.stderr.strip()[-200:]}")
    return compiled


def _cached(folder: Path, name: str, sources: Mapping[str, Path], build: Callable[[Path], Package]) -> Package:
    path = folder / f"{name}-{_key(sources)}.zip"
    note = path.with_suffix(".json")
    package = _noted(note)
    if package is None:
        package = build(path)
        partial = note.with_name(f"{note.name}.{this_process().mark}.partial")
        partial.write_text(package.to_json())
        for written in (path, partial):
            close_to_others(written)
        partial.replace(note)
    return package


def _noted(note: Path) -> Package | None:
    """Read a kept package, or None if there is none or it is not what was noted."""
    try:
        package = Package.from_json(note.read_text(), note.parent)
        ours = is_ours(note) and is_ours(package.path)
        return package if ours and digest(package.path) == package.sha256 else None
    except (OSError, KeyError, TypeError, ValueError):
        return None


def _key(sources: Mapping[str, Path]) -> str:
    """Digest of all that decides what a zip holds: the files, this builder, the interpreter and zlib."""
    builder = package_files("serverless_mlperf.packages")
    about = {
        "python": sys.version,
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
        "builder": [hashlib.sha256((builder / name).read_bytes()).hexdigest() for name in _BUILDER_SOURCES],
        "files": {name: digest(path) for name, path in sources.items()},
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def _layer_of(engine_and_format: str) -> str:
    if engine_and_format not in LAYER_OF:
        raise PackageError(f"no layer for engine-and-format {engine_and_format!r}: one of {', '.join(LAYER_OF)}")
    return LAYER_OF[engine_and_format]


def _function_sources() -> dict[str, Path]:
    # Found, not imported: the client does not run the function's code.
    spec = find_spec(_FUNCTION)
    if spec is None or not spec.submodule_search_locations:
        raise PackageError(f"{_FUNCTION} is not installed here; install the project with its function package")
    folder = Path(spec.submodule_search_locations[0])
    return {name: path for name, path in tree(folder) if name.endswith(".py")}
