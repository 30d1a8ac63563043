"""What both versions of control groups have in common: finding, writing, emptying and removing groups.

A server's groups bear its mark (owner.py): what a killed server has left is found by its name and removed by the next
one, and by `serverless-mlperf clean`.
"""

from collections.abc import Iterable, Iterator
import os
from pathlib import Path
import signal
from typing import Final

from serverless_mlperf.owner import PREFIX, owner_of

PERIOD_US: Final = 20_000
LEAST_QUOTA_US: Final = 1_000
"""The kernel takes no less (min_cfs_quota_period, kernel/sched/core.c)."""
MOST_PROCESSES: Final = 1024
"""Processes and threads of an environment (AWS: lambda/latest/dg/gettingstarted-limits)."""
_MOUNTS: Final = Path("/proc/self/mounts")
_OWN_GROUPS: Final = Path("/proc/self/cgroup")


def quota_us(share: float) -> int:
    """What a share is per period."""
    return max(LEAST_QUOTA_US, int(share * PERIOD_US))


def own_group_v1(controller: str, mounts: Path = _MOUNTS, groups: Path = _OWN_GROUPS) -> Path | None:
    """Group of the asking process in the hierarchy of a version 1 controller; None where there is no such hierarchy."""
    for fields in _fields(mounts):
        if fields[2] == "cgroup" and controller in fields[3].split(","):
            return _inside(Path(fields[1]), _own_path(groups, controller))
    return None


def own_group_v2(mounts: Path = _MOUNTS, groups: Path = _OWN_GROUPS) -> Path | None:
    """Group of the asking process in the version 2 hierarchy; None where that is not mounted."""
    for fields in _fields(mounts):
        if fields[2] == "cgroup2":
            return _inside(Path(fields[1]), _own_path(groups, ""))
    return None


def server_group(base: Path, mark: str) -> Path:
    """The group below which a server's environments have theirs."""
    return base / f"{PREFIX}{mark}"


def missing(paths: Iterable[Path | None], what: str) -> str | None:
    """Why groups cannot be made in these; None when they can."""
    for path in paths:
        if path is None:
            return f"this host has no {what}"
        if not os.access(path, os.W_OK) or not os.access(path / "cgroup.procs", os.W_OK):
            return f"user {os.geteuid()} may not make groups in {path}: it is not delegated"
    return None


def write(path: Path, text: str) -> None:
    """Set a value of a group; raises OSError with the file's name."""
    try:
        path.write_text(text)
    except OSError as error:
        raise OSError(error.errno, f"{path}: cannot be set to {text}: {error.strerror}") from error


def number_in(path: Path, name: str) -> int:
    """A number from a group's file of `name value` lines; 0 when the group or the name is not there."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.split()[0] == name), 0)


def kill_all(group: Path) -> bool:
    """Send SIGKILL to every process in a group; False when there is none."""
    pids = pids_in(group)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it has ended between the reading and the killing: pids are not reused that fast
    return bool(pids)


def remove(group: Path) -> bool:
    """Remove an empty group and those below it; False as long as something lives in it."""
    try:
        for child in group.iterdir():
            if child.is_dir() and not remove(child):
                return False
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False  # EBUSY: a process in it has not been reaped yet
    return True


def find_leftovers() -> Iterator[Path]:
    """Groups of servers that are gone, in every hierarchy of this host."""
    for group in _server_groups():
        owner = owner_of(group.name)
        if owner is not None and owner.alive is False:
            yield group


def remove_leftovers() -> None:
    """Remove such groups, as far as that is possible: what lives in them is killed first, and gone the next time."""
    for group in find_leftovers():
        clear(group)


def clear_server(mark: str) -> bool:
    """Kill what lives in a server's groups and remove them; False when something still lives (then call again)."""
    cleared = [clear(group) for group in _server_groups() if group.name.endswith(f"-{mark}")]
    return all(cleared)


def clear(group: Path) -> bool:
    """Kill what lives in a group and below, frozen or not, then remove it; False when it is not empty yet."""
    for procs in sorted(group.glob("*/cgroup.procs")):
        if kill_all(procs.parent):
            _let_die(procs.parent)
    return remove(group)


def _let_die(group: Path) -> None:
    """A process in a frozen group of version 1 is killed when it is thawed, not before."""
    state = group / "freezer.state"
    if state.exists():
        write(state, "THAWED")


def _server_groups() -> Iterator[Path]:
    # A group lies below that of the process that made it, which need not be ours.
    mounts = {Path(fields[1]) for fields in _fields(_MOUNTS) if fields[2] in {"cgroup", "cgroup2"}}
    for mount in sorted(mounts):
        for folder, names, _ in os.walk(mount):
            yield from (Path(folder) / name for name in names if name.startswith(PREFIX))
            names[:] = [name for name in names if not name.startswith(PREFIX)]


def pids_in(group: Path) -> list[int]:
    """The processes of a group; none of one that is not there."""
    try:
        return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    except FileNotFoundError:
        return []


def _fields(mounts: Path) -> Iterator[list[str]]:
    for line in mounts.read_text().splitlines():
        yield line.split()


def _own_path(groups: Path, controller: str) -> str:
    for line in groups.read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            return path
    return "/"


def _inside(mount: Path, own: str) -> Path:
    """A container may see its own group as the root of the mount."""
    path = mount / own.lstrip("/")
    return path if path.is_dir() else mount
