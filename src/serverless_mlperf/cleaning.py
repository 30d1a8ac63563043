"""What a crash leaves behind, and the caches: found, told and removed, never under something that runs.

Environments, their controller and a run's process end with the server or the client even under SIGKILL (parent-death
signal, end of a socket or of stdin). What can outlive them: folders and files that bear a dead process's mark, and a
process that a function has put into a session of its own.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
import os
from pathlib import Path, PurePath
import select
import shutil
import signal
import stat
import tempfile
from typing import Final

from serverless_mlperf.cache import EXPERIMENT_LOCK, SECTIONS, TAG, cache_dir, cache_in_use
from serverless_mlperf.errors import HostError
from serverless_mlperf.host import host_lock
from serverless_mlperf.owner import PREFIX, is_leftover, owner_of
from serverless_mlperf.platforms.local import cgroup, private_tmp

END_DEADLINE_S: Final = 5
_PROC: Final = Path("/proc")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Remains:
    """A file or folder to be removed."""

    path: Path
    kind: str

    def size_bytes(self) -> int:
        """Size of all files in it."""
        found = [self.path, *(self.path.rglob("*") if self.path.is_dir() else ())]
        return sum(f.st_size for f in (path.lstat() for path in found) if stat.S_ISREG(f.st_mode))

    def remove(self) -> None:
        """Remove it with all that is in it; raises HostError."""
        try:
            if self.path.is_dir() and not self.path.is_symlink():
                shutil.rmtree(self.path)
            else:
                self.path.unlink()
        except OSError as error:
            raise HostError(f"{self.path}: cannot be removed ({error}); remove it by hand") from error


@dataclass(frozen=True, slots=True)
class Orphan:
    """A process that a function of a dead server has left."""

    pid: int
    command: str

    def end(self) -> None:
        """Kill it and wait until it is gone; raises HostError if it stays."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if _orphan(self.pid) == self:  # the pid is now held: it is still the same process, or it is none of ours
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                if not select.select([handle], [], [], END_DEADLINE_S)[0]:
                    raise HostError(f"process {self.pid} ({self.command}): does not end; end it by hand")
        finally:
            os.close(handle)


def clean(*, cache: bool, leftovers: bool, dry_run: bool, say: Say) -> None:
    """Remove the caches, what crashes have left, or both, and tell each with its MiB; nothing is done in a dry run.

    Raises HostError while an experiment runs on this host, for the caches also while a local platform uses them.
    """
    stale = _lock_note() if leftovers else ""
    with host_lock(), cache_in_use(alone=True) if cache else nullcontext():
        orphans = list(find_orphans()) if leftovers else []
        groups = list(cgroup.find_leftovers()) if leftovers else []
        remains = [*(find_leftovers(skip_cache=cache) if leftovers else ()), *(find_caches() if cache else ())]
        if stale:
            say(f"cleared {cache_dir() / EXPERIMENT_LOCK}: process {stale} is gone")
        _end(orphans, dry_run, say)
        _remove_groups(groups, dry_run, say)
        _remove(remains, dry_run, say)
        for line in _left_alone(cache, leftovers):
            say(f"left alone: {line}")
        if not orphans and not groups and not remains and not stale:
            say("nothing to remove")


def find_leftovers(*, skip_cache: bool = False) -> Iterator[Remains]:
    """Temporary folders and files of processes that are gone."""
    places = [Path(tempfile.gettempdir())]
    if not skip_cache:
        places += [cache_dir(), *(cache_dir() / name for name in SECTIONS)]
    for place in places:
        for path in sorted(place.iterdir() if place.is_dir() else ()):
            if is_leftover(path):
                yield Remains(path, "leftover")


def remove_leftovers() -> None:
    """Remove them without a word, as far as that is possible: what stays is for `clean` to tell of."""
    for remains in find_leftovers():
        if remains.path.is_dir() and not remains.path.is_symlink():
            shutil.rmtree(remains.path, ignore_errors=True)
        else:
            remains.path.unlink(missing_ok=True)


def find_caches() -> Iterator[Remains]:
    """The sections of the cache that are there; none in a folder that is not a cache alone."""
    if (cache_dir() / TAG).is_file():
        for name in SECTIONS:
            if (cache_dir() / name).exists():
                yield Remains(cache_dir() / name, "cache")


def find_orphans() -> Iterator[Orphan]:
    """Processes of functions whose server is gone."""
    for folder in sorted(_PROC.glob("[0-9]*")):
        if orphan := _orphan(int(folder.name)):
            yield orphan


def _orphan(pid: int) -> Orphan | None:
    """A process is a function's, of a server with our cache, by its variables.

    The mark of the server is borne by TMPDIR, or where that is not set by the folder that is mounted at /tmp.
    """
    try:
        pairs = (item.partition(b"=") for item in (_PROC / str(pid) / "environ").read_bytes().split(b"\0"))
        variables = {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}
        command = os.fsdecode((_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").strip())
        folders = [variables.get("TMPDIR", ""), *_mounted_at_tmp(_PROC / str(pid) / "mountinfo")]
    except OSError:
        return None  # it has ended meanwhile, or is another user's
    owners = [owner_of(part) for folder in folders for part in PurePath(folder).parts]
    dead = any(owner and owner.alive is False for owner in owners)
    ours = PurePath(variables.get("LAMBDA_TASK_ROOT", "")).is_relative_to(cache_dir())
    return Orphan(pid, command) if dead and ours else None


def _mounted_at_tmp(mountinfo: Path) -> Iterator[str]:
    """Folders of their file systems that a process sees at /tmp (proc_pid_mountinfo(5): fields 4 and 5)."""
    for line in mountinfo.read_text().splitlines():
        root, point = line.split()[3:5]
        if point == private_tmp.TMP:
            yield root


def _end(orphans: list[Orphan], dry_run: bool, say: Say) -> None:
    for orphan in orphans:
        if not dry_run:
            orphan.end()
        say(f"{'would end' if dry_run else 'ended'} process {orphan.pid} of a dead server's function: {orphan.command}")


def _remove(remains: list[Remains], dry_run: bool, say: Say) -> None:
    total = 0
    for each in remains:
        size = each.size_bytes()
        if not dry_run:
            each.remove()
        say(f"{'would remove' if dry_run else 'removed'} {each.kind:8} {size / 2**20:8.1f} MiB  {each.path}")
        total += size
    if len(remains) > 1:
        say(f"in all {total / 2**20:.1f} MiB")


def _remove_groups(groups: list[Path], dry_run: bool, say: Say) -> None:
    for group in groups:
        done = dry_run or cgroup.clear(group)
        say(f"{'would remove' if dry_run else 'removed' if done else 'emptied, to be removed the next time:'} {group}")


def _left_alone(cache: bool, leftovers: bool) -> Iterator[str]:
    """What is not removed though it looks like ours, and why."""
    if cache and not (cache_dir() / TAG).is_file():
        yield f"{cache_dir()}: it holds other files as well and has no {TAG}; remove {', '.join(SECTIONS)} by hand"
    for path in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")) if leftovers else ():
        owner = owner_of(path.name)
        if (owner is None or owner.alive is None) and _is_mine(path) and not is_leftover(path):
            yield f"{path}: it cannot be known here whether its process runs"


def _is_mine(path: Path) -> bool:
    try:
        return path.lstat().st_uid == os.geteuid()
    except FileNotFoundError:
        return False  # its process has just removed it


def _lock_note() -> str:
    """The process named in the experiments' lock file, which it empties when it ends in order."""
    path = cache_dir() / EXPERIMENT_LOCK
    return path.read_text().strip() if path.exists() else ""
