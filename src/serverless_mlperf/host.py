"""The host of an experiment: what it is, and that no other experiment runs on it."""

from collections.abc import Iterator
from contextlib import contextmanager
import fcntl
from importlib.metadata import PackageNotFoundError, version
import os
from pathlib import Path
import platform
import subprocess
from typing import Any, Final

from serverless_mlperf.cache import EXPERIMENT_LOCK, cache_dir
from serverless_mlperf.errors import HostError

PACKAGES: Final = (
    "serverless-mlperf",
    "mlcommons-loadgen",
    "openvino",
    "opencv-python-headless",
    "onnxruntime",
    "numpy",
    "pillow",
    "obstore",
    "awslambdaric",
)
FLAGS: Final = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8")
"""Instruction sets that decide how fast an engine is."""


def describe_host() -> dict[str, Any]:
    """What a result names so that another one can be compared with it."""
    cpu = _proc_table(Path("/proc/cpuinfo"))
    present = set(cpu.get("flags", "").split())
    return {
        "cpu_model": cpu.get("model name"),
        "cores": host_cores(),
        "flags": [flag for flag in FLAGS if flag in present],
        "virtualised": "hypervisor" in present,
        "memory_mib": _memory_bytes("MemTotal") >> 20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "revision": _revision(),
    }


def host_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def host_lock() -> Iterator[None]:
    """Hold the host for one experiment; raises HostError naming the process that has it.

    Two experiments at once would measure each other. The lock is the kernel's: it ends with its process. It lies in
    the cache, so that users with caches of their own do not see each other's.
    """
    path = cache_dir() / EXPERIMENT_LOCK
    descriptor = _open_lock(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _holder(path)
            raise HostError(f"an experiment is running on this host ({holder}); wait for it or end it") from error
        _note_holder(descriptor, str(os.getpid()))
        try:
            yield
        finally:
            _note_holder(descriptor, "")
    finally:
        os.close(descriptor)


def available_memory_bytes() -> int:
    """Memory that can be had without swapping."""
    return _memory_bytes("MemAvailable")


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise HostError(f"{path}: cannot be opened ({error.strerror}); remove it") from error


def _note_holder(descriptor: int, note: str) -> None:
    """Leave our id for others."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, note.encode(), 0)


def _holder(path: Path) -> str:
    """The process that says it holds the lock, if there is one."""
    try:
        pid = path.read_bytes()[:20].decode("ascii", "replace").strip()
    except OSError:
        pid = ""
    return f"pid {pid}" if pid.isdecimal() and Path(f"/proc/{pid}").exists() else "another process"


def _memory_bytes(field: str) -> int:
    return int(_proc_table(Path("/proc/meminfo"))[field].split()[0]) << 10


def _proc_table(path: Path) -> dict[str, str]:
    """The first value of every `name: value` line."""
    pairs = (line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    table: dict[str, str] = {}
    for name, value in pairs:
        table.setdefault(name.strip(), value.strip())
    return table


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _revision() -> str | None:
    """The commit of the checkout this runs from, `+` if it was changed; None outside of one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--dirty=+"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
