"""Restraint by SIGSTOP and SIGCONT: needs no privilege, and stops at Lambda's ticks.

The CPU clocks of the environment's processes are read at the ticks at which its budget may be used up (cpu_model).
Memory is watched, not limited: a function that takes more between two looks gets it.
"""

import signal
import time
from typing import Final

from serverless_mlperf.cpu_model import PERIOD_NS, Budget, stagger_ns
from serverless_mlperf.platforms.local.processes import ProcessTree, runtime_api_of
from serverless_mlperf.platforms.local.restraint import Launch

_LOOKS: Final = 3
"""A process that forks while it is being stopped is found at the second look, and cannot fork at the third."""


class SigstopRestraint:
    """Implements restraint.Restraint."""

    def __init__(self, slot: int, launch: Launch) -> None:
        self.due_ns: int | None = None
        self._api: str = launch["env"].get("AWS_LAMBDA_RUNTIME_API", "")
        self._memory_kib: int = launch["memory_bytes"] // 1024
        self._budget = Budget(int(launch["share"] * PERIOD_NS), len(launch["cores"]), stagger_ns(slot))
        self._tree: ProcessTree | None = None
        self._free = True
        """In its init phase, which Lambda does not throttle."""
        self._frozen = self._stopped = self._doomed = False
        self._used_ns = self._peak_kib = 0

    @property
    def tree(self) -> ProcessTree:
        """Its processes."""
        assert self._tree is not None  # noqa: S101 - nothing is asked of it before it is started
        return self._tree

    def enter(self) -> None:
        """Nothing to do: it is held from outside."""

    def watch(self, pid: int) -> None:
        """Know its first process."""
        self._tree = ProcessTree(pid)

    def throttle(self) -> None:
        """Begin with a whole budget."""
        self._free = False
        self.due_ns = None if self._unthrottled else self._budget.begin(time.monotonic_ns(), self._clock_ns())

    def freeze(self) -> None:
        """Stop it, whatever it has left."""
        self._frozen, self.due_ns = True, None
        self._hold()
        if not self._unthrottled:
            self._budget.pause(time.monotonic_ns(), self._clock_ns())

    def thaw(self) -> None:
        """Continue it if it has anything left."""
        self._frozen = False
        if self._unthrottled:
            self._release()
        else:
            self.step(time.monotonic_ns())

    def step(self, now_ns: int) -> None:
        """Charge what was used; stop or continue."""
        if self._frozen or self._unthrottled or self._doomed:
            self.due_ns = None
            return
        self.due_ns = self._budget.step(now_ns, self._clock_ns())
        if self._budget.runs:
            self._release()
        else:
            self._hold()

    def usage(self) -> tuple[int, int]:
        """As far as it was looked at."""
        if self._tree is not None:
            self._clock_ns()
        return self._used_ns, self._peak_kib

    def out_of_memory(self) -> bool:
        """Look at its memory: pages that processes share count once if that is what decides."""
        if self._frozen:
            return False
        self.tree.refresh()
        resident_kib = self.tree.memory_kib()
        if resident_kib > self._memory_kib:
            resident_kib = self.tree.proportional_kib() or resident_kib
        self._peak_kib = max(self._peak_kib, resident_kib)
        return resident_kib > self._memory_kib

    def owns(self, pid: int) -> bool:
        """Known already, or told by the Runtime API it was started with, which no other environment has."""
        if self.tree.has(pid):
            return True
        return bool(self._api) and runtime_api_of(pid) == self._api and self.tree.join(pid)

    def kill(self) -> None:
        """Kill what is there; a stopped process is continued as well."""
        self.out_of_memory()  # the last look at its memory
        self._doomed, self.due_ns = True, None
        self.tree.refresh()
        self.tree.signal(signal.SIGKILL)
        self.tree.signal(signal.SIGCONT)

    def close(self) -> bool:
        """Done when none of its processes is left."""
        self.tree.signal(signal.SIGKILL, first_alive=False)
        if not self.tree.alone():
            return False
        self.tree.close()
        return True

    @property
    def _unthrottled(self) -> bool:
        return self._free or self._budget.unlimited

    def _clock_ns(self) -> int:
        self._used_ns = self.tree.cpu_ns()
        return self._used_ns

    def _hold(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        self.tree.signal(signal.SIGSTOP)
        for _ in range(_LOOKS):
            if not self.tree.refresh():
                return
            self.tree.signal(signal.SIGSTOP)

    def _release(self) -> None:
        if self._stopped:
            self._stopped = False
            self.tree.signal(signal.SIGCONT)


class SigstopControls:
    """Implements restraint.Controls."""

    WORTH: Final = {
        "cpu": "SIGSTOP/SIGCONT at ticks of 4 ms, 20 ms period",
        "memory": "watched every 100 ms",
    }

    def __init__(self, mark: str) -> None:
        """There is nothing to open."""

    @staticmethod
    def unavailable() -> str | None:
        """Any Linux will do."""
        return None

    def restrain(self, number: int, launch: Launch) -> SigstopRestraint:
        """Successive environments begin their periods as far apart as can be."""
        return SigstopRestraint(number, launch)

    def close(self) -> None:
        """Nothing is kept."""
