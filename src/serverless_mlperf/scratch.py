"""Scratch folders that name their owner, so that what a killed process left behind can be told from what is in use.

A name ends in `.<pid>-<random>.scratch`, and the owner holds a lock on the folder. It is a leftover when no process
has that id any more and nobody holds the lock: the id alone would mislead between containers that share a disk.
"""

from collections.abc import Iterator
from contextlib import contextmanager
import fcntl
import os
from pathlib import Path
import re
import shutil
import tempfile
from typing import Final

SUFFIX: Final = ".scratch"
WORK_NAME: Final = "serverless-mlperf"
"""Of scratch folders in the host's folder for temporary files."""
_OWNED: Final = re.compile(rf"\.(\d+)-\w+{re.escape(SUFFIX)}$")


class ScratchFolder:
    """A new folder in `parent`, until `remove`; leftovers beside it go first. Raises OSError when it cannot be made."""

    def __init__(self, parent: Path, name: str = WORK_NAME) -> None:
        remove_leftovers(parent)
        self.path = Path(tempfile.mkdtemp(prefix=f"{name}.{os.getpid()}-", suffix=SUFFIX, dir=parent))
        self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Remove the folder, if it is still under its name, and let go; idempotent."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


@contextmanager
def scratch_folder(parent: Path | None = None, name: str = WORK_NAME) -> Iterator[Path]:
    """A scratch folder for a block; without a parent, in the host's folder for temporary files."""
    folder = ScratchFolder(parent or Path(tempfile.gettempdir()), name)
    try:
        yield folder.path
    finally:
        folder.remove()


def leftovers(*parents: Path) -> list[Path]:
    """Scratch folders of this user in these folders whose owners are gone."""
    return [path for parent in parents if parent.is_dir() for path in sorted(parent.iterdir()) if _is_leftover(path)]


def remove_leftovers(*parents: Path) -> list[Path]:
    """Remove them; returns what is gone now."""
    found = leftovers(*parents)
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return [path for path in found if not path.exists()]


def scratch_places(cache: Path) -> list[Path]:
    """Where scratch folders are made: the host's folder for temporary files, the cache and the folders in it."""
    inside = [path for path in cache.iterdir() if path.is_dir()] if cache.is_dir() else []
    return [Path(tempfile.gettempdir()), cache, *inside]


def _is_leftover(path: Path) -> bool:
    match = _OWNED.search(path.name)
    if match is None or Path(f"/proc/{match[1]}").exists():
        return False
    try:
        return path.lstat().st_uid == os.geteuid() and not _is_locked(path)
    except (FileNotFoundError, NotADirectoryError):
        return False  # its owner, or somebody else who cleans up, was quicker


def _is_locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
