"""Folders that are made once and used by many: complete or absent, also after a crash, also when two make one."""

from collections.abc import Callable
import os
from pathlib import Path
import shutil
from typing import Final

from serverless_mlperf.scratch import scratch_folder

MARKER: Final = ".complete"


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return `folder`, calling `make` on a scratch folder beside it if it is not there yet; blocking.

    The marker is written last and the scratch folder is renamed into place: what has a marker is whole.
    """
    if (folder / MARKER).is_file():
        return folder
    _public_folder(folder.parent)
    with scratch_folder(folder.parent, f".{folder.name}") as scratch:
        scratch.chmod(0o755)
        make(scratch)
        (scratch / MARKER).touch()
        _rename(scratch, folder)
    return folder


def _rename(scratch: Path, folder: Path) -> None:
    if folder.exists() and not (folder / MARKER).is_file():
        shutil.rmtree(folder)
    try:
        scratch.rename(folder)
    except OSError:
        # Someone else was faster; theirs is as good as ours if it is whole.
        if not (folder / MARKER).is_file():
            raise


def _public_folder(folder: Path) -> None:
    if not folder.is_dir():
        _public_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)


def reachable_by(path: Path, uid: int) -> bool:
    """Whether a user without groups of its own can pass through all folders above a path, by the permission bits."""
    return uid == os.geteuid() or all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def readable_by(path: Path, uid: int) -> bool:
    """Whether such a user can reach and read a file or folder."""
    if uid == os.geteuid():
        return os.access(path, os.R_OK)
    needed = 0o005 if path.is_dir() else 0o004
    return reachable_by(path, uid) and path.stat().st_mode & needed == needed
