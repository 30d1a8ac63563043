"""Names that tell which process a temporary file or folder belongs to: after a crash, what is nobody's is certain.

A mark is `<pid>.<start>.<boot>`: a pid alone may have been given to another process meanwhile.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import hashlib
import os
from pathlib import Path
import re
import tempfile
import time
from typing import Final

PREFIX: Final = "serverless-mlperf-"
"""Of our folders in the system's temporary folder."""
_MARK: Final = re.compile(r"(?:^|[.-])(\d+)\.(\d+)\.([0-9a-f]{8})(?:[.-]|$)")
_PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, so named that no later one has the same name."""

    pid: int
    start_ticks: int
    """Clock ticks since boot, field 22 of /proc/<pid>/stat (proc(5))."""
    boot: str
    """Of the kernel's run and the pid namespace in which the pid counts."""

    @property
    def mark(self) -> str:
        """The part of a name that says whose it is."""
        return f"{self.pid}.{self.start_ticks}.{self.boot}"

    @property
    def alive(self) -> bool | None:
        """Whether the process runs; None when it cannot be known here: another boot, container or host."""
        if self.boot != _boot():
            return None
        return _start_ticks(self.pid) == self.start_ticks


def this_process() -> Owner:
    """The process that asks."""
    start = _start_ticks(os.getpid())
    assert start is not None  # noqa: S101 - we are running
    return Owner(os.getpid(), start, _boot())


def owner_of(name: str) -> Owner | None:
    """Whose a temporary file or folder is, by its name; None for any other name."""
    found = _MARK.search(name)
    return Owner(int(found[1]), int(found[2]), found[3]) if found else None


def is_leftover(path: Path) -> bool:
    """Whether a file or folder is a temporary one of ours whose process is gone; when in doubt it is not."""
    owner = owner_of(path.name)
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False  # its process has just removed it
    if owner is None or found.st_uid != os.geteuid():
        return False
    if owner.alive is None:
        # Of another boot, or of a container: whatever was last changed before this boot is of an earlier one.
        return found.st_mtime < time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return not owner.alive


@contextmanager
def own_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """A temporary folder that bears our mark, removed at the end; in the system's temporary folder without a parent."""
    with tempfile.TemporaryDirectory(prefix=f"{prefix}{this_process().mark}-", dir=parent) as folder:
        yield Path(folder)


def _boot() -> str:
    boot = (_PROC / "sys/kernel/random/boot_id").read_text() + (_PROC / "self/ns/pid").readlink().name
    return hashlib.sha256(boot.encode()).hexdigest()[:8]


def _start_ticks(pid: int) -> int | None:
    """When a process was started; None when there is none, or only what its parent has not yet reaped of it."""
    try:
        # The name in brackets may itself hold brackets and blanks.
        state, *fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else int(fields[18])
