"""What hardware Linux shows without privileges: static facts alone, so that two descriptions of a host are equal."""

from collections.abc import Iterator
import os
from pathlib import Path
import platform
import shutil
from typing import Any

_ROOT = Path("/")


def describe_hardware(disk: Path, root: Path = _ROOT) -> dict[str, Any]:
    """Processors, caches, disk and network cards; `disk` is a folder on the disk meant. What is not shown is None.

    In a virtual machine it is the machine as the hypervisor shows it.
    """
    cpus = _processors(root / "proc" / "cpuinfo")
    return {
        "machine": platform.machine(),
        "operating_system": _operating_system(),
        "processors": len({cpu["physical id"] for cpu in cpus if "physical id" in cpu}) or None,
        "cores_per_processor": int(cpus[0]["cpu cores"]) if cpus and "cpu cores" in cpus[0] else None,
        "max_mhz": _max_mhz(root / "sys" / "devices" / "system" / "cpu" / "cpu0"),
        "caches": list(_caches(root / "sys" / "devices" / "system" / "cpu" / "cpu0" / "cache")),
        "disk_gib": shutil.disk_usage(disk).total >> 30,
        "disk_rotates": _disk_rotates(disk, root),
        "network_cards": _network_cards(root / "sys" / "class" / "net"),
    }


def _processors(path: Path) -> list[dict[str, str]]:
    """One table per logical core."""
    return [dict(_pairs(block)) for block in path.read_text().split("\n\n") if block.strip()]


def _pairs(block: str) -> Iterator[tuple[str, str]]:
    for line in block.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            yield name.strip(), value.strip()


def _operating_system() -> str | None:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return None


def _max_mhz(cpu: Path) -> int | None:
    found = _text(cpu / "cpufreq" / "cpuinfo_max_freq")  # in kHz
    return None if found is None else int(found) // 1000


def _caches(folder: Path) -> Iterator[str]:
    """As `L1 Data 32K`, from the nearest on; the size is that of one cache."""
    for index in sorted(folder.glob("index*")):
        values = [_text(index / name) for name in ("level", "type", "size")]
        if None not in values:
            yield "L{} {} {}".format(*values)


def _disk_rotates(disk: Path, root: Path) -> bool | None:
    """What the disk's block device says; None for a file system without one. A virtual disk may say anything."""
    device = disk.stat().st_dev
    block = (root / "sys" / "dev" / "block" / f"{os.major(device)}:{os.minor(device)}").resolve()
    # A partition has no queue of its own: its disk, the folder above, has.
    found = _text(block / "queue" / "rotational") or _text(block.parent / "queue" / "rotational")
    return None if found is None else found != "0"


def _network_cards(folder: Path) -> list[str] | None:
    """Interfaces that have a device: no loopback, no bridges."""
    return sorted(card.name for card in folder.iterdir() if (card / "device").exists()) if folder.is_dir() else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
