"""The host of an experiment: what it is, that it has room, and that no other experiment runs on it."""

from collections.abc import Iterator
from contextlib import contextmanager
import fcntl
from importlib.metadata import PackageNotFoundError, version
import os
from pathlib import Path
import platform
import resource
import shutil
import subprocess
from typing import Any, Final

from serverless_mlperf.cache import cache_dir
from serverless_mlperf.errors import HostError
from serverless_mlperf.hardware import describe_hardware

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
MIN_DISK_BYTES: Final = 2 << 30
MIN_MEMORY_BYTES: Final = 2 << 30
MIN_FILES: Final = 512


def describe_host() -> dict[str, Any]:
    """What a result names so that another one can be compared with it."""
    cpu = _proc_table(Path("/proc/cpuinfo"))
    present = set(cpu.get("flags", "").split())
    return {
        "cpu_model": cpu.get("model name"),
        "cores": len(os.sched_getaffinity(0)),
        "flags": [flag for flag in FLAGS if flag in present],
        "virtualised": "hypervisor" in present,
        "memory_mib": _memory_bytes("MemTotal") >> 20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "revision": _revision(),
        "hardware": describe_hardware(cache_dir()),
    }


@contextmanager
def host_lock() -> Iterator[None]:
    """Hold the host for one experiment; raises HostError naming the process that has it.

    Two experiments at once would measure each other. The lock is the kernel's: it ends with its process.
    """
    path = cache_dir() / "experiment.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise HostError(f"an experiment is running on this host (pid {holder}); wait for it or end it") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
        file.truncate(0)


def preflight(output: Path) -> None:
    """Check that the host has disk, memory and file descriptors for an experiment; raises HostError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else max(soft, 4096)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    folder = next(p for p in (output.absolute(), *output.absolute().parents) if p.exists())
    _require("disk space at " + str(folder), shutil.disk_usage(folder).free, MIN_DISK_BYTES)
    _require("free memory", _memory_bytes("MemAvailable"), MIN_MEMORY_BYTES)
    if wanted < MIN_FILES:
        raise HostError(f"only {wanted} open files are allowed, {MIN_FILES} are needed; raise `ulimit -n`")


def _require(what: str, found: int, needed: int) -> None:
    if found < needed:
        raise HostError(f"{what}: {found >> 20} MiB, {needed >> 20} MiB are needed; free some and try again")


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
