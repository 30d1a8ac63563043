"""Disks for /tmp, as large as a function's EphemeralStorage and no larger: sparse images, each a copy of one."""

import asyncio
from collections.abc import Callable
import os
from pathlib import Path
import shutil
import subprocess
from typing import Final

from serverless_mlperf.errors import HostError, InputError
from serverless_mlperf.platforms.local.loop_mount import CONTROL

CHOICES: Final = ("watched", "enforced")
IMAGE: Final = "tmp.img"
_MKE2FS: Final = "mke2fs"
_MIB: Final = 2**20


def checked_storage(choice: str) -> None:
    """Raise InputError where it is none, or this host cannot do it."""
    if choice not in CHOICES:
        raise InputError(f"--storage {choice}: must be one of {', '.join(CHOICES)}")
    if choice == "enforced" and (reason := unavailable()):
        raise InputError(f"--storage enforced: {reason}; take watched")


def unavailable() -> str | None:
    """Why this host cannot give environments a disk of a size; None when it can, as far as can be seen beforehand."""
    if os.geteuid() != 0:
        return f"uid {os.geteuid()} may not mount"
    if not os.access(CONTROL, os.R_OK | os.W_OK):
        return f"there are no loop devices ({CONTROL})"
    return None if shutil.which(_MKE2FS) else f"{_MKE2FS} is not installed (e2fsprogs)"


class TmpDisks:
    """Makes the images of one server's environments, in a folder of its own."""

    def __init__(self, folder: Path, uid: int) -> None:
        self._folder, self._uid = folder, uid
        self._templates: dict[int, asyncio.Future[Path]] = {}

    async def make(self, size_mib: int, private: Path) -> Path:
        """An empty disk in an environment's folder; the first of a size takes 40 ms, the others less than one."""
        if size_mib not in self._templates:
            self._templates[size_mib] = asyncio.ensure_future(asyncio.to_thread(self._template, size_mib))
        template = await asyncio.shield(self._templates[size_mib])
        return await asyncio.to_thread(_copied, template, private / IMAGE)

    def _template(self, size_mib: int) -> Path:
        path = self._folder / f"tmp-{size_mib}.img"
        _sparse(path, (size_mib + 8 + size_mib // 64) * _MIB)  # what ext4 itself takes, and a little
        features = ("-O", "^has_journal,^resize_inode", "-m", "0", "-i", "65536")
        owner = f"lazy_itable_init=1,root_owner={self._uid}:{self._uid}"
        done = subprocess.run(
            [_MKE2FS, "-q", "-F", "-t", "ext4", *features, "-E", owner, str(path)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise HostError(f"{path}: cannot be made a disk for /tmp: {done.stderr.strip()}; use --storage watched")
        return path


def _copied(source: Path, target: Path) -> Path:
    """Copy what is not a hole."""
    with source.open("rb") as read, target.open("xb") as written:
        _each_part(read.fileno(), lambda at, part: os.pwrite(written.fileno(), part, at))
        written.truncate(source.stat().st_size)
    return target


def _each_part(file: int, use: Callable[[int, bytes], object]) -> None:
    size, hole = os.fstat(file).st_size, 0
    while True:
        try:
            data = os.lseek(file, hole, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole follows (lseek(2))
            return
        hole = os.lseek(file, data, os.SEEK_HOLE) if data < size else size
        use(data, os.pread(file, hole - data, data))


def _sparse(path: Path, size: int) -> None:
    with path.open("xb") as file:
        file.truncate(size)
        path.chmod(0o600)
