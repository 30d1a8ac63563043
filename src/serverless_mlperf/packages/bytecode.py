"""Modules compiled beforehand: what a cold start does not have to do, and /opt and /var/task could not keep."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
import os
from pathlib import Path
import platform
import shutil
import subprocess
import sys
from typing import Final

from serverless_mlperf.errors import PackageError
from serverless_mlperf.packages.archive import tree

_VERSION: Final = "import platform, sys; print(platform.python_version(), sys.implementation.cache_tag)"


@dataclass(frozen=True, slots=True)
class Compiler:
    """An interpreter that compiles; only one of the same minor version writes what a Python reads."""

    path: str
    version: str
    """In full: another patch level may well write other bytes."""


def this_python() -> Compiler:
    """The interpreter that runs now."""
    return Compiler(sys.executable, platform.python_version())


def compiler_for(python: str) -> Compiler | None:
    """An interpreter of a minor version, e.g. `3.13`: the one running now, or the first of PATH that runs."""
    return next((found for path in _candidates(python) if (found := _asked(path, python))), None)


def compile_modules(
    sources: Mapping[str, Path], scratch: Path, installed: Path, compiler: Compiler | None = None
) -> dict[str, Path]:
    """Compile modules to .pyc files that are valid whatever time unpacking gives the sources.

    In a fresh interpreter with a fixed hash seed: marshalled code depends on both. -P: what lies in the user's
    current folder is not imported in place of the standard library.
    """
    for member, path in sources.items():
        if member.endswith(".py"):
            target = scratch / member
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    command = [(compiler or this_python()).path, "-P", "-S", "-s", "-W", "ignore", "-m", "compileall", "-qq", "-f"]
    command += ["--invalidation-mode", "unchecked-hash", "-s", str(scratch), "-p", str(installed), str(scratch)]
    done = subprocess.run(command, env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False)
    compiled = {member: path for member, path in tree(scratch) if member.endswith(".pyc")}
    # A template that is no Python (some distributions carry one) is skipped, as pip does; nothing at all is an error.
    if not compiled:
        raise PackageError(f"compileall made nothing (status {done.returncode}): {done.stderr.strip()[-200:]}")
    return compiled


def _candidates(python: str) -> Iterator[Path]:
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        yield Path(sys.executable)
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if Path(folder).is_absolute():
            yield Path(folder) / f"python{python}"


def _asked(path: Path, python: str) -> Compiler | None:
    """What a file of that name says it is; a version manager's launcher may run nothing, or another version."""
    if not os.access(path, os.X_OK):
        return None
    try:
        done = subprocess.run([path, "-I", "-S", "-c", _VERSION], capture_output=True, text=True, check=False)
    except OSError:
        return None
    version, _, tag = done.stdout.strip().partition(" ")
    fits = done.returncode == 0 and tag == f"cpython-{python.replace('.', '')}"
    return Compiler(str(path), version) if fits else None
