"""What functions leave running when the process between them and the server is killed: adopted, and ended."""

import ctypes
import os
from pathlib import Path
import signal
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36


def adopt_orphans() -> None:
    """Have processes below this one whose parents end become its children, instead of the system's (prctl(2))."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_orphans() -> None:
    """Kill and reap every child there is, and what becomes one by that; for when all that is one's own has ended."""
    while children := _children():
        for pid in children:
            os.kill(pid, signal.SIGKILL)  # no other's: it has not been reaped
            os.waitpid(pid, 0)


def _children() -> list[int]:
    tasks = list(Path("/proc/self/task").iterdir())
    try:
        return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
    except FileNotFoundError:
        return _children()  # a thread has ended since, and its children are another one's
