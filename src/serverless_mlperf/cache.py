"""Where built models, packages and unpacked runtimes are kept between experiments, and why they can be trusted.

What lies here is run. So the folder and all in it belong to us and nobody else can write to it; functions, which run
as another user where we are root, can only read. Whoever takes something from it verifies it by its digest.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
import fcntl
import os
from pathlib import Path
import stat
from typing import Final, Literal, get_args

from serverless_mlperf.errors import HostError

Section = Literal["datasets", "environments", "models", "packages", "prices", "references", "runtimes", "unpacked"]
SECTIONS: Final[tuple[Section, ...]] = get_args(Section)
EXPERIMENT_LOCK: Final = "experiment.lock"
USE_LOCK: Final = "in-use.lock"
TAG: Final = "CACHEDIR.TAG"
"""What marks a folder as a cache, for backups (bford.info/cachedir) and for us: only then is it ever emptied."""
_TAG_TEXT: Final = "Signature: 8a477f597d28d172789f06886806bc55\n# The cache of serverless-mlperf; it may be removed.\n"
_ELSEWHERE: Final = "set SERVERLESS_MLPERF_CACHE to a folder of your own, mode 755"
_FOREIGN_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The cache folder, made if it is missing; raises HostError when it cannot be had or trusted.

    Root's is under /var/cache, because functions run as another user, who cannot look into root's home.
    """
    folder = _choose(environ)
    _make(folder)
    if not (folder / TAG).exists() and {path.name for path in folder.iterdir()} <= _known_names():
        (folder / TAG).write_text(_TAG_TEXT)
    return folder


def cache_section(name: Section) -> Path:
    """A folder of the cache, made if it is missing; raises HostError."""
    folder = cache_dir() / name
    _make(folder)
    return folder


@contextmanager
def cache_in_use(*, alone: bool = False) -> Iterator[None]:
    """Use the cache beside others, or alone in order to empty it; raises HostError when that is not possible now."""
    with (cache_dir() / USE_LOCK).open("a") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            who = "a local platform or a build uses it; end it" if alone else "it is being removed; wait"
            raise HostError(f"cache {cache_dir()}: {who} and try again") from error
        yield


def is_ours(path: Path) -> bool:
    """Whether a file, or a folder with all that is in it, belongs to us and nobody else can write to it."""
    return all(_is_ours(each.lstat()) for each in _tree(path))


def close_to_others(path: Path) -> None:
    """Take the right to write to a file, or to a folder with all that is in it, from others: umasks may allow it."""
    for each in _tree(path):
        mode = each.lstat().st_mode
        if mode & _FOREIGN_WRITE and not stat.S_ISLNK(mode):
            each.chmod(stat.S_IMODE(mode) & ~_FOREIGN_WRITE)


def _choose(environ: Mapping[str, str]) -> Path:
    if given := environ.get("SERVERLESS_MLPERF_CACHE"):
        return Path(given).absolute()
    if os.geteuid() == 0:
        return Path("/var/cache/serverless-mlperf")
    home = Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "/nonexistent")) / ".cache")
    if os.access(home if home.exists() else home.parent, os.W_OK):
        return home / "serverless-mlperf"
    return Path(f"/var/tmp/serverless-mlperf-{os.geteuid()}")  # noqa: S108 - named by uid, refused if not its own


def _make(folder: Path) -> None:
    """Make a folder that functions can read, and refuse one that another can write to."""
    try:
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(0o755, exist_ok=True)
            folder.chmod(0o755)
        found = folder.stat()
    except OSError as error:
        raise HostError(f"cache {folder}: cannot be made ({error.strerror}); {_ELSEWHERE}") from error
    if found.st_uid != os.geteuid():
        raise HostError(f"cache {folder}: belongs to uid {found.st_uid}, not to us ({os.geteuid()}); {_ELSEWHERE}")
    if not _is_ours(found):
        raise HostError(f"cache {folder}: others can write to it (mode {found.st_mode & 0o777:o}); {_ELSEWHERE}")


def _tree(path: Path) -> list[Path]:
    return [path, *(path.rglob("*") if path.is_dir() else ())]


def _is_ours(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and (stat.S_ISLNK(found.st_mode) or not found.st_mode & _FOREIGN_WRITE)


def _known_names() -> set[str]:
    return {*SECTIONS, EXPERIMENT_LOCK, USE_LOCK}
