"""What /proc tells the server of a handler's process: CPU time, that of its children too, and memory.

Read at every invocation, so files stay open and no more is read than what there is: two short files of a handler
without children, besides its own clock.
"""

import math
import os
from typing import NamedTuple

from serverless_mlperf.platforms.local.processes import children_of, cpu_clock_ns, waited_ns


class CpuTimes(NamedTuple):
    """CPU time so far, in ns."""

    own: int
    """Of the process with all its threads."""
    children: int
    """Of those that it has started and theirs: waited for, in steps of 10 ms, or alive.

    Missing: one whose parent has ended without waiting for it, and one alive that another thread than the first has
    started, as long as the first has no child and none was waited for.
    """

    def since(self, before: "CpuTimes") -> int | None:
        """What was used meanwhile; None when the process cannot be read any more."""
        own_ns = self.own - before.own
        return own_ns + max(0, self.children - before.children) if own_ns >= 0 else None


NOTHING = CpuTimes(0, 0)


class WatchedProcess:
    """One process; raises FileNotFoundError, ProcessLookupError when it is gone before it is watched."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._status = self._stat = self._first = -1
        self._status = os.open(f"/proc/{pid}/status", os.O_RDONLY)
        try:
            self._stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
            self._first = _children_file(pid)
        except OSError:
            self.close()
            raise
        self._children_ns = 0

    def cpu(self, *, children: bool = True) -> CpuTimes:
        """Its CPU time; without `children`, theirs as it was when it was last asked for. Zeros when it is gone."""
        own_ns = cpu_clock_ns(self._pid)
        if own_ns is None:
            return NOTHING
        if children:
            self._children_ns = self._read_children()
        return CpuTimes(own_ns, self._children_ns)

    def status_mib(self, name: bytes) -> int | None:
        """One line of /proc/<pid>/status, kB -> MiB; None when it is gone."""
        _, _, rest = _read(self._status, 4096).partition(name)
        return math.ceil(int(rest.split(maxsplit=1)[0]) / 1024) if rest else None

    def close(self) -> None:
        """Give back the descriptors."""
        for descriptor in (self._status, self._stat, self._first):
            if descriptor >= 0:
                os.close(descriptor)
        self._status = self._stat = self._first = -1

    def _read_children(self) -> int:
        """Looks at all threads only when the first one has children, or some were waited for."""
        total_ns = waited_ns(_read(self._stat, 1024))
        pending = list(children_of(self._pid)) if total_ns or _read(self._first, 16) else []
        while pending:
            pid = pending.pop()
            total_ns += cpu_clock_ns(pid) or 0
            total_ns += _waited_by(pid)
            pending += children_of(pid)
        return total_ns


def _children_file(pid: int) -> int:
    """Who the first thread's children are; -1 where the kernel does not tell (CONFIG_PROC_CHILDREN)."""
    try:
        return os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY)
    except FileNotFoundError:
        return -1


def _read(descriptor: int, size: int) -> bytes:
    """The beginning of an open file of /proc; empty when there is none or its process is gone."""
    try:
        return os.pread(descriptor, size, 0) if descriptor >= 0 else b""
    except ProcessLookupError:
        return b""


def _waited_by(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - as in processes.py
            return waited_ns(file.read())
    except (FileNotFoundError, ProcessLookupError):
        return 0
