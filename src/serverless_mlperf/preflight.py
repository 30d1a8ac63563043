"""Whether the host has room for an experiment: told before anything is built, not found out in the middle."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
import resource
import shutil
from typing import Final

from serverless_mlperf.config import ExperimentConfig
from serverless_mlperf.errors import HostError
from serverless_mlperf.host import available_memory_bytes
from serverless_mlperf.mlperf.spec import Mode
from serverless_mlperf.plan import runs_at_most
from serverless_mlperf.workloads import Cell

MIB: Final = 2**20
CACHE_BYTES: Final = 1280 * MIB
"""Models, packages, their unpacked form and the runtime: 0.9 GiB for all 24 cells, and the largest once more while
it is made."""
WORK_BYTES: Final = 256 * MIB
"""The server's copies of the packages, 138 MiB for all engines, and the functions' temporary files."""
QUERY_BYTES: Final = 16 << 10
"""Per query in the results folder: record, output and LoadGen's logs take 11 KiB."""
RUN_BYTES: Final = 256 << 10
"""Per run, and as much again for figures and tables."""
CLIENT_BYTES: Final = 512 * MIB
"""Client, LoadGen and the bare server."""
ARTEFACT_BYTES: Final = 320 * MIB
"""Models and packages, which the server holds in memory: 286 MiB for all 24 cells."""
IMAGE_BYTES: Final = 256 << 10
"""Of one image; those of COCO and ImageNet take 110 to 170 KiB."""
FILES: Final = 256
FILES_PER_ENVIRONMENT: Final = 16
"""Listener, connections, log pipe and status, in the server or in the controller."""


@dataclass(frozen=True, slots=True)
class DiskNeed:
    """Room in one folder, which need not exist yet."""

    folder: Path
    what: str
    bytes_needed: int


@dataclass(frozen=True, slots=True)
class Needs:
    """What an experiment takes."""

    disk: tuple[DiskNeed, ...]
    environments_bytes: int
    """Of the largest cell: its environments, each at its full memory size."""
    largest: str
    """That cell, in words."""
    server_bytes: int
    """Client and server with all objects in memory."""
    files: int


@dataclass(frozen=True, slots=True)
class Disk:
    """One file system as a folder on it sees it."""

    device: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Room:
    """What the host has."""

    disks: Mapping[Path, Disk]
    memory_bytes: int
    """Available, as the kernel says: caches it would give up count."""
    files: int
    """Descriptors that one process may hold."""


def needs_of(
    config: ExperimentConfig,
    environments: Mapping[Cell, int],
    output: Path,
    cache: Path,
    work: Path,
    *,
    here: bool = True,
) -> Needs:
    """Estimate an experiment with so many environments per cell; what the cache holds already is not asked for.

    Environments that are not `here`, on this host, take nothing of it but connections.
    """
    cell = max(environments, key=lambda each: environments[each] * each.memory_mib)
    count = environments[cell] if here else 0
    return Needs(
        disk=(
            DiskNeed(output, f"results of {len(environments)} cells", _results_bytes(config, len(environments))),
            DiskNeed(cache, "cache", max(0, CACHE_BYTES - _size_bytes(cache))),
            DiskNeed(work, "work folder", WORK_BYTES),
        ),
        environments_bytes=count * cell.memory_mib * MIB,
        largest=f"{cell.name}: {count} environments of {cell.memory_mib} MiB",
        server_bytes=CLIENT_BYTES + (ARTEFACT_BYTES if here else 0) + _images_bytes(config),
        files=FILES + FILES_PER_ENVIRONMENT * max(environments.values()),
    )


def read_room(needs: Needs) -> Room:
    """What this host has now, with as many open files as this process may allow itself."""
    disks = {need.folder: _disk(need.folder) for need in needs.disk}
    return Room(disks, available_memory_bytes(), _raise_file_limit())


def preflight(needs: Needs, room: Room) -> None:
    """Raise HostError with the first thing that is not there, how much of it is needed, and for what."""
    for reason in _lacking(needs, room):
        raise HostError(reason)


def _lacking(needs: Needs, room: Room) -> Iterator[str]:
    for device in dict.fromkeys(disk.device for disk in room.disks.values()):
        yield from _lacking_disk([n for n in needs.disk if room.disks[n.folder].device == device], room)
    memory_bytes = needs.environments_bytes + needs.server_bytes
    if room.memory_bytes < memory_bytes:
        yield (
            f"free memory: {_mib(room.memory_bytes)}, {_mib(memory_bytes)} are needed: "
            f"{_mib(needs.environments_bytes)} for the largest cell ({needs.largest}), {_mib(needs.server_bytes)} "
            "for client and server; free some, or measure smaller cells or fewer environments (--concurrency)"
        )
    if room.files < needs.files:
        yield (
            f"open files: {room.files} are allowed, {needs.files} are needed for the server's connections and "
            f"environments; raise `ulimit -n`"
        )


def _lacking_disk(needs: Sequence[DiskNeed], room: Room) -> Iterator[str]:
    """Folders on one file system share what is free there."""
    free, needed = room.disks[needs[0].folder].free_bytes, sum(need.bytes_needed for need in needs)
    if free < needed:
        parts = ", ".join(f"{_mib(n.bytes_needed)} for the {n.what} in {n.folder}" for n in needs if n.bytes_needed)
        yield f"disk space: {_mib(free)} free, {_mib(needed)} are needed: {parts}; free some, or choose other folders"


def _results_bytes(config: ExperimentConfig, cells: int) -> int:
    tries = cells * config.repeat * (1 + config.retry_invalid)
    return tries * sum(RUN_BYTES + _queries(config, mode) * QUERY_BYTES for mode in runs_at_most(config)) + RUN_BYTES


def _queries(config: ExperimentConfig, mode: Mode) -> int:
    """Queries of one run, at least: a duration may ask for more, how many more the function's speed decides."""
    if mode == "accuracy":
        return _images(config)
    return config.run_length.queries * config.samples_per_query


def _images(config: ExperimentConfig) -> int:
    """Images of a task; of a folder taken whole, its files."""
    if config.input_dataset is not None and config.takes_whole_folder:
        return sum(1 for _ in config.input_dataset.rglob("*"))
    return config.images_at_most


def _images_bytes(config: ExperimentConfig) -> int:
    """Images the server holds in memory."""
    if config.input_dataset is not None and config.takes_whole_folder:
        return _size_bytes(config.input_dataset)
    return len(config.tasks) * config.images_at_most * IMAGE_BYTES


def _size_bytes(folder: Path) -> int:
    return sum(_file_bytes(path) for path in folder.rglob("*"))


def _file_bytes(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0  # removed meanwhile


def _disk(folder: Path) -> Disk:
    existing = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    return Disk(existing.stat().st_dev, shutil.disk_usage(existing).free)


def _raise_file_limit() -> int:
    """Allow this process, and with it the server, what the host lets it allow itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else max(soft, 4096)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def _mib(count: int) -> str:
    return f"{count / MIB:,.0f} MiB"
