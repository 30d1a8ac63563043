"""Restraint by control groups of version 2, in a subtree that is delegated to the server's user.

Version 2 has no processes beside groups: where the controllers must be enabled first, the server's own processes move
into a group of their own (kernel: admin-guide/cgroup-v2, "no internal process constraint").
"""

import errno
from pathlib import Path
from typing import Final

from serverless_mlperf.platforms.local.cgroup import (
    MOST_PROCESSES,
    PERIOD_US,
    clear,
    kill_all,
    missing,
    number_in,
    own_group_v2,
    pids_in,
    quota_us,
    remove,
    remove_leftovers,
    server_group,
    write,
)
from serverless_mlperf.platforms.local.restraint import Launch

CONTROLLERS: Final = ("cpu", "memory", "pids")
_BELOW_SERVER: Final = 10
"""As a nice value: environments give way to the server."""


class CgroupV2Restraint:
    """Implements restraint.Restraint."""

    def __init__(self, group: Path, launch: Launch) -> None:
        self.due_ns: int | None = None
        self._group = group
        self._share: float = launch["share"]
        self._cores = len(launch["cores"])
        self._used = (0, 0)
        group.mkdir(parents=True, exist_ok=True)
        write(group / "cpu.weight.nice", str(_BELOW_SERVER))
        write(group / "memory.max", str(launch["memory_bytes"]))
        write(group / "memory.oom.group", "1")
        write(group / "pids.max", str(MOST_PROCESSES))
        if (group / "memory.swap.max").exists():  # only where the kernel accounts swap
            write(group / "memory.swap.max", "0")

    def enter(self) -> None:
        """Write itself into the group: 0 stands for whoever writes."""
        write(self._group / "cgroup.procs", "0")

    def watch(self, pid: int) -> None:
        """The kernel does."""

    def throttle(self) -> None:
        """Set the quota; a share of all cores needs none."""
        if self._share < self._cores:
            write(self._group / "cpu.max", f"{quota_us(self._share)} {PERIOD_US}")

    def freeze(self) -> None:
        """The kernel holds them at their way back from it."""
        write(self._group / "cgroup.freeze", "1")

    def thaw(self) -> None:
        """Let them go."""
        write(self._group / "cgroup.freeze", "0")

    def step(self, now_ns: int) -> None:
        """Nothing is ever due."""

    def usage(self) -> tuple[int, int]:
        """The kernel's account, which holds the ended as well; its memory includes page cache."""
        cpu_ns = number_in(self._group / "cpu.stat", "usage_usec") * 1000
        self._used = (max(cpu_ns, self._used[0]), max(_bytes(self._group / "memory.peak") // 1024, self._used[1]))
        return self._used

    def out_of_memory(self) -> bool:
        """Whether the kernel has killed its processes for want of memory."""
        return number_in(self._group / "memory.events", "oom_kill") > 0

    def owns(self, pid: int) -> bool:
        """A process never leaves its group."""
        return pid in pids_in(self._group)

    def kill(self) -> None:
        """All at once, frozen ones as well; process by process before Linux 5.14, which has no cgroup.kill."""
        if (self._group / "cgroup.kill").exists():
            write(self._group / "cgroup.kill", "1")
        else:
            self.freeze()
            kill_all(self._group)
            self.thaw()

    def close(self) -> bool:
        """Remove its group once it is empty."""
        if kill_all(self._group):
            return False
        return remove(self._group)


class CgroupV2Controls:
    """Implements restraint.Controls."""

    WORTH: Final = {
        "cpu": "cgroup v2 quota, 20 ms period; the kernel charges at its own ticks",
        "memory": "cgroup v2 limit, kept by the kernel; page cache counts until it is needed",
    }

    def __init__(self, mark: str, base: Path | None = None) -> None:
        base = base or own_group_v2()
        if base is None:
            raise OSError(errno.ENOENT, "cgroup v2 is not mounted")
        remove_leftovers()
        _enable(base, mark)
        self._group = server_group(base, mark)
        self._group.mkdir(exist_ok=True)
        _enable(self._group, mark)

    @staticmethod
    def unavailable() -> str | None:
        """It takes a group with the controllers cpu, memory and pids, and the right to make groups below it."""
        base = own_group_v2()
        if reason := missing([base], "cgroup v2 hierarchy"):
            return reason
        there = (base / "cgroup.controllers").read_text().split() if base else []
        lacking = [name for name in CONTROLLERS if name not in there]
        return f"{base} lacks the controllers {', '.join(lacking)}" if lacking else None

    def restrain(self, number: int, launch: Launch) -> CgroupV2Restraint:
        """Make its group."""
        return CgroupV2Restraint(self._group / str(number), launch)

    def close(self) -> None:
        """Remove the server's group."""
        if not clear(self._group):
            raise OSError(errno.EBUSY, f"{self._group}: something still lives in it")


def _enable(group: Path, mark: str) -> None:
    wanted = " ".join(f"+{name}" for name in CONTROLLERS)
    try:
        write(group / "cgroup.subtree_control", wanted)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        _move_processes(group, server_group(group, f"server-{mark}"))
        write(group / "cgroup.subtree_control", wanted)


def _move_processes(group: Path, leaf: Path) -> None:
    leaf.mkdir(exist_ok=True)
    for pid in (group / "cgroup.procs").read_text().split():
        write(leaf / "cgroup.procs", pid)


def _bytes(path: Path) -> int:
    try:
        return int(path.read_text())
    except OSError:
        return 0  # before Linux 5.19, or removed with its group
