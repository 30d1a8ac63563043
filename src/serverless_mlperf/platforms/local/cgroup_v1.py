"""Restraint by control groups of version 1: the kernel's own quota, memory limit and freezer.

One group per environment in each of the hierarchies cpu, cpuacct, memory, freezer and, where it is, pids. Memory
counts page cache as well, which the kernel gives up before it kills: a large /tmp does not end a function.
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
    own_group_v1,
    pids_in,
    quota_us,
    remove,
    remove_leftovers,
    server_group,
    write,
)
from serverless_mlperf.platforms.local.restraint import Launch

HIERARCHIES: Final = ("cpu", "cpuacct", "memory", "freezer")
_BELOW_SERVER: Final = 110
"""Of 1024: the weight of nice 10 (kernel/sched/core.c); environments give way to the server."""


class CgroupV1Restraint:
    """Implements restraint.Restraint."""

    def __init__(self, groups: dict[str, Path], launch: Launch) -> None:
        self.due_ns: int | None = None
        self._groups = groups
        self._share: float = launch["share"]
        self._cores = len(launch["cores"])
        for group in groups.values():
            group.mkdir(parents=True, exist_ok=True)
        write(groups["cpu"] / "cpu.shares", str(_BELOW_SERVER))
        write(groups["memory"] / "memory.limit_in_bytes", str(launch["memory_bytes"]))
        self._limit_swap(launch["memory_bytes"])
        if "pids" in groups:
            write(groups["pids"] / "pids.max", str(MOST_PROCESSES))

    def enter(self) -> None:
        """Write itself into each group: 0 stands for whoever writes."""
        for group in self._groups.values():
            write(group / "cgroup.procs", "0")

    def watch(self, pid: int) -> None:
        """The kernel does."""

    def throttle(self) -> None:
        """Set the quota; a share of all cores needs none."""
        if self._share < self._cores:
            write(self._groups["cpu"] / "cpu.cfs_period_us", str(PERIOD_US))
            write(self._groups["cpu"] / "cpu.cfs_quota_us", str(quota_us(self._share)))

    def freeze(self) -> None:
        """The freezer holds processes wherever they are."""
        write(self._groups["freezer"] / "freezer.state", "FROZEN")

    def thaw(self) -> None:
        """Let them go."""
        write(self._groups["freezer"] / "freezer.state", "THAWED")

    def step(self, now_ns: int) -> None:
        """Nothing is ever due."""

    def usage(self) -> tuple[int, int]:
        """The kernel's account, which holds the ended as well; its memory includes page cache."""
        used = _number(self._groups["cpuacct"] / "cpuacct.usage")
        return used, _number(self._groups["memory"] / "memory.max_usage_in_bytes") // 1024

    def out_of_memory(self) -> bool:
        """Whether the kernel has killed one of its processes for want of memory."""
        return number_in(self._groups["memory"] / "memory.oom_control", "oom_kill") > 0

    def owns(self, pid: int) -> bool:
        """A process never leaves its group."""
        return pid in pids_in(self._groups["cpu"])

    def kill(self) -> None:
        """Hold them, so that none can fork, kill all and let them die."""
        self.freeze()
        kill_all(self._groups["cpu"])
        self.thaw()

    def close(self) -> bool:
        """Remove its groups once they are empty."""
        if kill_all(self._groups["cpu"]):
            return False
        removed = [remove(group) for group in self._groups.values()]
        return all(removed)

    def _limit_swap(self, memory_bytes: int) -> None:
        swap = self._groups["memory"] / "memory.memsw.limit_in_bytes"
        if swap.exists():  # only where the kernel accounts swap
            write(swap, str(memory_bytes))


class CgroupV1Controls:
    """Implements restraint.Controls."""

    WORTH: Final = {
        "cpu": "cgroup v1 quota, 20 ms period; the kernel charges at its own ticks",
        "memory": "cgroup v1 limit, kept by the kernel; page cache counts until it is needed",
    }

    def __init__(self, mark: str, bases: dict[str, Path] | None = None) -> None:
        self._groups = {name: server_group(base, mark) for name, base in (bases or _bases()).items()}
        remove_leftovers()

    @staticmethod
    def unavailable() -> str | None:
        """It takes the four hierarchies, and the right to make groups in them."""
        for name in HIERARCHIES:
            if reason := missing([own_group_v1(name)], f"cgroup v1 hierarchy with the controller {name}"):
                return reason
        return None

    def restrain(self, number: int, launch: Launch) -> CgroupV1Restraint:
        """Make its groups."""
        return CgroupV1Restraint({name: group / str(number) for name, group in self._groups.items()}, launch)

    def close(self) -> None:
        """Remove the server's groups."""
        for group in self._groups.values():
            if not clear(group):
                raise OSError(errno.EBUSY, f"{group}: something still lives in it")


def _bases() -> dict[str, Path]:
    found = {name: own_group_v1(name) for name in (*HIERARCHIES, "pids")}
    return {name: path for name, path in found.items() if path is not None}


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except OSError:
        return 0  # removed with its group
