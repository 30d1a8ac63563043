"""All processes of one environment: found through /proc, clocked, signalled, counted when they are gone.

A function may start processes and threads as it likes. Their CPU time counts against its share, those in a session
of their own are held as well, and none of them outlives it. The controller is their subreaper (prctl(2)), so that one
whose parent has ended becomes its child and not init's.
"""

from collections.abc import Iterator
from contextlib import suppress
import os
import resource
import select
import signal
import time
from typing import Final

_PAGE_KIB: Final = resource.getpagesize() // 1024
_TICK_NS: Final = 10**9 // os.sysconf("SC_CLK_TCK")


def cpu_clock_ns(pid: int) -> int | None:
    """CPU clock of a whole process (clock_getcpuclockid(3)); None when it is gone."""
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return None


def children_of(pid: int) -> Iterator[int]:
    """Processes that any thread of a process has started and nobody has reaped."""
    folder = f"/proc/{pid}/task"
    try:
        for thread in os.listdir(folder):  # noqa: PTH208 - no pathlib: 50 times a second
            with open(f"{folder}/{thread}/children", "rb") as file:  # noqa: PTH123 - 50 times a second
                yield from map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        return


def runtime_api_of(pid: int) -> str | None:
    """The Runtime API that a process was started with; None when it cannot be known."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123 - read as one piece
            _, _, rest = (b"\0" + file.read()).partition(b"\0AWS_LAMBDA_RUNTIME_API=")
    except OSError:
        return None
    return os.fsdecode(rest.partition(b"\0")[0])


class ProcessTree:
    """An environment's first process and all that stem from it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._members: dict[int, int] = {}
        """Descendants with a pidfd each: no signal goes to a recycled pid."""
        self._clocks = {pid: 0}
        """CPU clocks as far as counted."""
        self._waited_ns = 0
        self._used_ns = 0
        self._stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY)

    def cpu_ns(self) -> int:
        """CPU time of all that are known, those that have ended included; never decreases."""
        for pid, counted_ns in self._clocks.items():
            clock_ns = cpu_clock_ns(pid)
            if clock_ns is not None and clock_ns > counted_ns:
                self._used_ns += clock_ns - counted_ns
                self._clocks[pid] = clock_ns
        return self._used_ns

    def refresh(self) -> bool:
        """Look who is there; True when someone new is. What ended between two looks is counted by what was waited for.

        The kernel tells that in steps of 10 ms.
        """
        self.cpu_ns()
        gone_ns = sum(self._forget(pid) for pid in self._ended())
        waited_ns = self._waited_for_ns()
        self._used_ns += max(0, waited_ns - self._waited_ns - gone_ns)
        self._waited_ns = max(waited_ns, self._waited_ns)
        return self._discover()

    def join(self, pid: int) -> bool:
        """Take a process in; False when it has ended."""
        try:
            self._members[pid] = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        self._clocks[pid] = 0
        return True

    def has(self, pid: int) -> bool:
        """Whether a process is known as one of these."""
        return pid in self._clocks

    def signal(self, number: int, *, first_alive: bool = True) -> None:
        """Send a signal to all; the first one must not be reaped yet, or its group's number could be someone else's."""
        if first_alive:
            with suppress(ProcessLookupError):  # the whole group has just ended
                os.killpg(self.pid, number)
        for pidfd in self._members.values():
            try:
                signal.pidfd_send_signal(pidfd, number)
            except ProcessLookupError:
                continue

    def memory_kib(self) -> int:
        """Resident memory of all; what parent and child share since a fork counts once where that decides."""
        return sum(self._resident_kib(pid) for pid in self._clocks)

    def proportional_kib(self) -> int:
        """Memory of all with shared pages divided among their users: exact and slow."""
        return sum(_proportional_kib(pid) for pid in self._clocks)

    def alone(self) -> bool:
        """Whether nobody but the first process is left."""
        for pid in self._ended():
            self._forget(pid)
        return not self._members

    def close(self) -> None:
        """Give back the descriptors."""
        os.close(self._stat)
        for pidfd in self._members.values():
            os.close(pidfd)
        self._members = {}

    def _discover(self) -> bool:
        found, pending = False, list(self._clocks)
        while pending:
            for pid in children_of(pending.pop()):
                if pid not in self._clocks and self.join(pid):
                    found = True
                    pending.append(pid)
        return found

    def _ended(self) -> list[int]:
        if not self._members:
            return []
        poller = select.poll()
        for pidfd in self._members.values():
            poller.register(pidfd, select.POLLIN)
        ready = {pidfd for pidfd, _ in poller.poll(0)}
        # A pidfd is ready at the exit; the clock goes with the reaping.
        return [pid for pid, pidfd in self._members.items() if pidfd in ready and cpu_clock_ns(pid) is None]

    def _forget(self, pid: int) -> int:
        os.close(self._members.pop(pid))
        return self._clocks.pop(pid)

    def _waited_for_ns(self) -> int:
        total = _waited_of(self._stat)
        for pid in self._members:
            try:
                with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - 50 times a second
                    total += waited_ns(file.read())
            except (FileNotFoundError, ProcessLookupError):
                continue
        return total

    def _resident_kib(self, pid: int) -> int:
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123 - ten times a second
                return int(file.read().split()[1]) * _PAGE_KIB
        except (FileNotFoundError, ProcessLookupError, IndexError):
            return 0


def waited_ns(stat: bytes) -> int:
    """CPU time of the children that were waited for: cutime and cstime of /proc/<pid>/stat (proc(5))."""
    fields = stat.rpartition(b")")[2].split()
    return (int(fields[13]) + int(fields[14])) * _TICK_NS if len(fields) > 14 else 0


def _waited_of(stat: int) -> int:
    try:
        return waited_ns(os.pread(stat, 1024, 0))
    except ProcessLookupError:
        return 0


def _proportional_kib(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:  # noqa: PTH123 - read as one piece
            _, _, rest = file.read().partition(b"\nPss:")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return int(rest.split(maxsplit=1)[0]) if rest else 0
