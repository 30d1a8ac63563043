"""The file system that a function sees under bubblewrap: Lambda's paths, read-only but for /tmp, nothing of the host's.

The root is an empty tmpfs of bubblewrap's; only what is named here is in it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TASK_ROOT: Final = Path("/var/task")
OPT: Final = Path("/opt")
RUNTIME_DIR: Final = Path("/var/runtime")
LANGUAGE_DIR: Final = Path("/var/lang")
"""Where Lambda has its interpreter."""
TMP: Final = Path("/tmp")  # noqa: S108 - Lambda's
SYSTEM: Final = Path("/usr")
_ROOT_LINKS: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Links into /usr on a merged system, folders of their own elsewhere (file-hierarchy(7))."""
_ETC: Final = (
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "group",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "passwd",
    "pki",
    "protocols",
    "resolv.conf",
    "services",
    "ssl",
)
"""What libraries look up: names, certificates, time zone; readable for everybody on any host."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Folders of the host that are shown to one environment, beside the system's."""

    task_root: Path | None = None
    opt: Path | None = None
    runtime_dir: Path | None = None
    language_dir: Path | None = None
    tmp: Path | None = None


def arguments(bound: Bound, variables: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Bubblewrap's options up to the command; `variables` are set inside only."""
    return (
        # Without a user namespace an ordinary user may do nothing of this; none can be made inside.
        *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *("--hostname", "lambda", "--die-with-parent"),
        *_system(),
        *("--proc", "/proc", "--dev", "/dev"),
        *_folder(bound.task_root, TASK_ROOT),
        *_folder(bound.opt, OPT),
        *_folder(bound.runtime_dir, RUNTIME_DIR),
        *(_folder(bound.language_dir, LANGUAGE_DIR) if bound.language_dir else ()),
        *(("--bind", str(bound.tmp), str(TMP)) if bound.tmp else ("--dir", str(TMP))),
        # /dev has a tmpfs without bounds for /dev/shm, which Lambda does not have at all; devices stay writable.
        *("--remount-ro", "/dev", "--remount-ro", "/"),
        *("--chdir", str(TASK_ROOT)),
        *(word for name, value in (variables or {}).items() for word in ("--setenv", name, value)),
    )


def _system() -> Iterator[str]:
    yield from ("--ro-bind", str(SYSTEM), str(SYSTEM))
    for name in _ROOT_LINKS:
        path = Path("/") / name
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            yield from ("--ro-bind", str(path), str(path))
    for name in _ETC:
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")


def _folder(source: Path | None, target: Path) -> tuple[str, ...]:
    """A folder of the host, read-only, or an empty one."""
    return ("--ro-bind", str(source), str(target)) if source else ("--dir", str(target))
