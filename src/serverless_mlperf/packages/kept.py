"""Built packages are kept in the cache until something they are made of changes, and used only while intact."""

from collections.abc import Callable, Mapping
import hashlib
from importlib.resources import files as package_files
import json
from pathlib import Path
from typing import Final
import zlib

from serverless_mlperf.cache import close_to_others, is_ours
from serverless_mlperf.owner import this_process
from serverless_mlperf.packages.archive import Package, digest

_BUILDER_SOURCES: Final = (
    *("archive.py", "build.py", "bytecode.py", "contents.py", "fetch.py", "kept.py", "target.py", "target_build.py"),
)


def kept(folder: Path, name: str, made_of: Mapping[str, object], build: Callable[[Path], Package]) -> Package:
    """Return a package kept in a folder, built first if there is none made of the same, or it is not intact.

    A kept zip is used only if nobody else can have written it and its digest is still the noted one.
    """
    path = folder / f"{name}-{_key(made_of)}.zip"
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


def _key(made_of: Mapping[str, object]) -> str:
    """Digest of all that decides what a zip holds: what it is made of, this builder and zlib."""
    builder = package_files("serverless_mlperf.packages")
    about = {
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
        "builder": [hashlib.sha256((builder / name).read_bytes()).hexdigest() for name in _BUILDER_SOURCES],
        "made of": made_of,
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
