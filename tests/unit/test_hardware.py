"""Hardware as Linux shows it, read from files made up for it, and from this host."""

import os
from pathlib import Path

from serverless_mlperf.hardware import describe_hardware

CPU = "physical id\t: {}\ncpu cores\t: 4\nflags\t\t: fpu hypervisor\n\n"


def write(root: Path, name: str, text: str) -> None:
    """One file with the folders above it."""
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_hardware_is_read(tmp_path: Path) -> None:
    """Two processors of four cores, their caches and clock, an SSD and one real network card."""
    cpu = "sys/devices/system/cpu/cpu0"
    write(tmp_path, "proc/cpuinfo", CPU.format(0) * 4 + CPU.format(1) * 4)
    write(tmp_path, f"{cpu}/cpufreq/cpuinfo_max_freq", "3400000\n")
    for index, (level, kind, size) in enumerate((("1", "Data", "32K"), ("2", "Unified", "1024K"))):
        for name, value in (("level", level), ("type", kind), ("size", size)):
            write(tmp_path, f"{cpu}/cache/index{index}/{name}", value + "\n")
    (tmp_path / "sys/class/net/eth0/device").mkdir(parents=True)
    (tmp_path / "sys/class/net/lo").mkdir(parents=True)
    device = tmp_path.stat().st_dev
    write(tmp_path, "sys/devices/disk/queue/rotational", "0\n")
    (tmp_path / "sys/devices/disk/disk1").mkdir()
    (tmp_path / "sys/dev/block").mkdir(parents=True)
    partition = f"sys/dev/block/{os.major(device)}:{os.minor(device)}"
    (tmp_path / partition).symlink_to(tmp_path / "sys/devices/disk/disk1")
    found = describe_hardware(tmp_path, tmp_path)
    assert (found["processors"], found["cores_per_processor"], found["max_mhz"]) == (2, 4, 3400)
    assert found["caches"] == ["L1 Data 32K", "L2 Unified 1024K"]
    assert (found["disk_rotates"], found["network_cards"]) == (False, ["eth0"])


def test_what_is_not_shown_is_none(tmp_path: Path) -> None:
    """A container that shows nothing gives None, never 0 or a guess."""
    write(tmp_path, "proc/cpuinfo", "processor\t: 0\n")
    found = describe_hardware(tmp_path, tmp_path)
    names = ("processors", "cores_per_processor", "max_mhz", "disk_rotates", "network_cards")
    assert [found[name] for name in names] == [None] * 5
    assert found["caches"] == []


def test_this_host_is_described_alike_twice(tmp_path: Path) -> None:
    """Only what does not change: a host is the same system in two experiments."""
    found = describe_hardware(tmp_path)
    assert found == describe_hardware(tmp_path)
    assert found["disk_gib"] >= 0
    assert found["machine"]
