"""A /tmp of its own for a process that is about to become an environment, and for all that it will start.

Standard library only: the controller imports it. The process leaves the host's mount namespace; what it mounts is seen
by nobody else, and gone with the last process in there (mount_namespaces(7)). As a module it is a trial:
`python -m serverless_mlperf.platforms.local.private_tmp` ends with status 0 where it works, or says why it does not.
"""

from collections.abc import Iterable
import ctypes
import os
from pathlib import Path
import sys
import tempfile
from typing import Final

TMP: Final = "/tmp"  # noqa: S108 - Lambda's
_CLONE_NEWNS, _CLONE_NEWUSER = 0x0002_0000, 0x1000_0000
_MS_BIND, _MS_REC, _MS_SLAVE = 0x1000, 0x4000, 0x8_0000
"""linux/sched.h, linux/mount.h"""
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def is_below(path: str) -> bool:
    """Whether a path lies in /tmp, which will be another folder."""
    return path.startswith(f"{TMP}/")


def leave_host() -> None:
    """Give the calling process a mount namespace of its own; raises OSError.

    Before it gives up root; another user becomes the only one of a user namespace.
    """
    _unshare(os.geteuid(), os.getegid())
    # Unmounting on the host still reaches this namespace, nothing of this namespace the host.
    _mount(None, "/", _MS_REC | _MS_SLAVE)


def show(folder: str, kept: Iterable[str] = ()) -> None:
    """Have a process that has left see `folder` at /tmp, and there the folders of the host's /tmp that are `kept`.

    Raises OSError.
    """
    handles = [(path, os.open(path, os.O_PATH | os.O_DIRECTORY)) for path in kept]
    _mount(folder, TMP, _MS_BIND | _MS_REC)
    for path, handle in handles:
        os.makedirs(path, exist_ok=True)  # noqa: PTH103 - no pathlib in this quick start
        _mount(f"/proc/self/fd/{handle}", path, _MS_BIND | _MS_REC)
        os.close(handle)


def _unshare(uid: int, gid: int) -> None:
    if _LIBC.unshare(_CLONE_NEWNS | (_CLONE_NEWUSER if uid else 0)):
        raise OSError(ctypes.get_errno(), f"no mount namespace for uid {uid}: {os.strerror(ctypes.get_errno())}")
    if uid:
        # An ordinary user may map itself alone, and must give up setgroups(2) for it (user_namespaces(7)).
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 - no pathlib in this quick start
                file.write(text)


def _mount(source: str | None, target: str, flags: int) -> None:
    if _LIBC.mount(source and os.fsencode(source), os.fsencode(target), None, flags, None):
        number = ctypes.get_errno()
        raise OSError(number, f"cannot mount {source or 'the root'} at {target}: {os.strerror(number)}")


def main() -> int:
    """Try it with a folder of its own; the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        child = os.fork()
        if child == 0:
            os._exit(_try(folder))
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _try(folder: str) -> int:
    wanted = Path(folder).stat()
    try:
        leave_host()
        show(folder)
    except OSError as error:
        sys.stderr.write(f"{error.strerror}\n")
        sys.stderr.flush()
        return 1
    return 0 if os.path.samestat(Path(TMP).stat(), wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
