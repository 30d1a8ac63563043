"""How environments are kept apart from the host and from each other: by bubblewrap where it works, else plainly."""

from dataclasses import dataclass
import os
from pathlib import Path
import select
import shutil
import subprocess
import sys
from typing import Final, Literal, get_args

import serverless_mlperf
from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.local.bubblewrap import Bound, arguments
from serverless_mlperf.platforms.local.handler_process import inside_of

NOBODY: Final = 65534
PROBE_S: Final = 10
"""A sandbox stands in 3 to 20 ms; a host that needs so long is no place for it."""

Choice = Literal["auto", "bubblewrap", "plain"]
CHOICES: Final[tuple[Choice, ...]] = get_args(Choice)


@dataclass(frozen=True, slots=True)
class Isolation:
    """The isolation in use on this host."""

    bwrap: Path | None = None
    """Where bubblewrap is; None: plain."""
    reason: str | None = None
    """Why it is plain, where bubblewrap would have been preferred."""
    private_tmp: bool = False
    """Whether plain environments have a /tmp of their own; bubblewrap's always do."""
    tmp_reason: str | None = None
    """Why they have not."""
    storage: str = "watched"
    """How /tmp is kept within EphemeralStorage: a key of `STORAGE`."""

    @property
    def name(self) -> str:
        """What it is called in options, status and results."""
        return "plain" if self.bwrap is None else "bubblewrap"

    @property
    def label(self) -> str:
        """What results call it: with what becomes of /tmp, where that depends on the host."""
        return self.name if self.bwrap else f"plain (/tmp {'private' if self.private_tmp else 'shared'})"

    def describe(self) -> dict[str, str]:
        """What it is worth, part by part."""
        reasons = {"reason": self.reason, "tmp_reason": self.tmp_reason}
        told = {name: reason for name, reason in reasons.items() if reason}
        tmp = {"filesystem": _PRIVATE_TMP} if self.private_tmp else {}
        return {"name": self.name, **told, **COMMON, "tmp": STORAGE[self.storage], **_WORTH[self.name], **tmp}


PLAIN: Final = Isolation()
COMMON: Final = {
    "user": "never root, no new privileges",
    "network": "shared with the host",
    "memory": "watched every 100 ms",
    "cores": "by affinity: sched_getaffinity and nproc say what Lambda's do, os.cpu_count and /proc/cpuinfo the host's",
}
_WORTH: Final = {
    "plain": {
        "process": "own session, dies with the server; sees the host's processes",
        "filesystem": "host's, by permission bits; /tmp is the host's: TMPDIR and HOME name a private folder",
    },
    "bubblewrap": {
        "process": "own session and pid namespace, dies with the server; sees its own processes",
        "filesystem": "read-only root with /usr, parts of /etc, /var/task, /opt, /var/runtime; private /tmp",
    },
}
STORAGE: Final = {
    "watched": "disk, watched every second: what exceeds EphemeralStorage is killed, where Lambda answers ENOSPC",
    "enforced": "a disk of EphemeralStorage's size: ENOSPC when it is full",
}
_PRIVATE_TMP: Final = "host's, by permission bits, but for a private /tmp"
_TRIAL: Final = "serverless_mlperf.platforms.local.private_tmp"


def sandbox_uid() -> int:
    """The user functions run as: never root."""
    return NOBODY if os.geteuid() == 0 else os.geteuid()


def choose_isolation(choice: str = "auto", uid: int | None = None) -> Isolation:
    """Find out what this host can do, by doing it; raises InputError when that is not what was asked for.

    Blocking: bubblewrap is tried once, as the user that functions run as.
    """
    if choice not in CHOICES:
        raise InputError(f"--isolation {choice}: must be one of {', '.join(CHOICES)}")
    if choice == "plain":
        return _plain(None)
    found = shutil.which("bwrap")
    reason = (
        "bwrap is not installed" if found is None else failure_of(Path(found), sandbox_uid() if uid is None else uid)
    )
    if found is not None and reason is None:
        return Isolation(Path(found).resolve())
    if choice == "bubblewrap":
        raise InputError(f"--isolation bubblewrap: {reason}; install or permit it, or choose plain")
    return _plain(reason)


def _plain(reason: str | None) -> Isolation:
    tmp_reason = why_tmp_is_shared()
    return Isolation(reason=reason, private_tmp=tmp_reason is None, tmp_reason=tmp_reason)


def why_tmp_is_shared() -> str | None:
    """Why environments cannot have a /tmp of their own without bubblewrap; None when they can. Blocking: tried once."""
    root = Path(serverless_mlperf.__file__).parents[1]
    command = [sys.executable, "-S", "-s", "-m", _TRIAL]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd="/",
            env={"PYTHONPATH": str(root)},
            timeout=PROBE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"it could not be tried: {error}"
    return (
        None
        if done.returncode == 0
        else done.stderr.strip().rpartition("\n")[2] or f"the trial ended with {done.returncode}"
    )


def failure_of(bwrap: Path, uid: int) -> str | None:
    """Why a sandbox like those of environments cannot be made by a user; None when it can."""
    command = [str(bwrap), *arguments(Bound()), "--", "cat"]
    change = {"user": uid, "group": uid, "extra_groups": ()} if uid != os.geteuid() else {}
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", env={}, **change
        )  # type: ignore[call-overload]
    except OSError as error:
        return f"{bwrap} cannot be run by uid {uid} ({error.strerror})"
    with process:
        seen = _seen_inside(process)
        try:
            _, said = process.communicate(timeout=PROBE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return f"{bwrap} does not answer within {PROBE_S} s"
    if process.returncode:
        return said.decode(errors="replace").strip().rpartition("\n")[2] or f"bwrap ended with {process.returncode}"
    return None if seen else "the kernel does not tell the children of a process (CONFIG_PROC_CHILDREN)"


def _seen_inside(process: "subprocess.Popen[bytes]") -> bool:
    """Whether the process inside can be found, without which it could not be throttled; it is there when it answers."""
    if process.stdin is None or process.stdout is None:
        return False
    try:
        os.write(process.stdin.fileno(), b"?")
    except BrokenPipeError:
        return False  # it has ended with a complaint
    select.select([process.stdout], [], [], PROBE_S)
    return inside_of(process.pid) is not None
