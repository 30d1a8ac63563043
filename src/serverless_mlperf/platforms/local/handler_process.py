"""Which process runs the handler when bubblewrap has started it in its turn.

Standard library only: the controller imports it. Below bubblewrap's own process is the first process of the new pid
namespace, which reaps, and below that the handler's, whose pid in there is 2 (bwrap(1)).
"""

from pathlib import Path
from typing import Final, NamedTuple

_PROC: Final = Path("/proc")
_HANDLER: Final = "2"


class Inside(NamedTuple):
    """Two processes of a sandbox, by their pids on the host."""

    init: int
    """When it is gone, so are all others of its pid namespace (pid_namespaces(7))."""
    handler: int


def inside_of(bubblewrap: int) -> Inside | None:
    """Processes below a running bubblewrap; None while it has not come so far, or any more."""
    for init in _children(bubblewrap):
        for child in _children(init):
            if _pid_inside(child) == _HANDLER:
                return Inside(init, child)
    return None


def _children(pid: int) -> list[int]:
    """Children in the order of their birth (proc(5), needs CONFIG_PROC_CHILDREN)."""
    return [int(child) for child in _read(_PROC / str(pid) / "task" / str(pid) / "children").split()]


def _pid_inside(pid: int) -> str:
    """What a process is called in the innermost of its pid namespaces."""
    _, found, rest = _read(_PROC / str(pid) / "status").partition("NSpid:")
    return rest.split("\n", 1)[0].split()[-1] if found else ""


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
