"""Disks without room, for tests: a limit that any user may set, and small file systems where mounting is permitted."""

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import resource
import subprocess

import pytest


@contextmanager
def file_limit(size_bytes: int) -> Iterator[None]:
    """Let this process, and those it starts, write no file beyond a size: EFBIG, where a full disk says ENOSPC."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A file system of a size (`1m`) in memory; skips the test where mounting is not permitted."""
    place.mkdir(exist_ok=True)
    with _mounted(["-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs"], place):
        yield place


@contextmanager
def large_disk(place: Path, image: Path, size_bytes: int) -> Iterator[Path]:
    """A file system on a sparse file, which takes only what is written; skips the test where that is not permitted."""
    place.mkdir(exist_ok=True)
    with image.open("wb") as file:
        file.truncate(size_bytes)
    try:
        _run("mkfs.ext4", "-q", "-F", "-m0", str(image))
        with _mounted(["-o", "loop", str(image)], place):
            yield place
    finally:
        image.unlink()


def fill(disk: Path) -> None:
    """Take all the room there is; on a sparse file without writing it."""
    with (disk / "filler").open("wb") as file:
        for size_bytes in (1 << 20, 1 << 12, 1):
            while (free := os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize) >= size_bytes:
                try:
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), free // size_bytes * size_bytes)
                except OSError:
                    break  # the file system needs some of it for itself


@contextmanager
def _mounted(options: list[str], place: Path) -> Iterator[None]:
    _run("mount", *options, str(place))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip(f"{command[0]} is not installed")
    if done.returncode:
        pytest.skip(f"{command[0]} is not permitted: {done.stderr.strip()[-100:]}")
