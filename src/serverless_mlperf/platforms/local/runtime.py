"""What every environment runs on: the interpreter and the runtime folder (awslambdaric, boto3), as on Lambda.

Functions run as another user than root, who may not be able to read root's interpreter: then it is copied once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
import hashlib
from importlib.metadata import PackageNotFoundError, distribution
import json
from pathlib import Path
import shutil
import subprocess
import sys
import sysconfig
from typing import Final

from serverless_mlperf.cache import cache_section
from serverless_mlperf.errors import HostError
from serverless_mlperf.platforms.local.errand import end_with_server, run_errand
from serverless_mlperf.platforms.local.storehouse import made_once, readable_by

MAKE_DEADLINE_S: Final = 300
_MODULE: Final = "serverless_mlperf.platforms.local.runtime"
PYTHON: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
DISTRIBUTIONS: Final = (
    "awslambdaric",
    "simplejson",
    "snapshot-restore-py",
    "boto3",
    "botocore",
    "s3transfer",
    "jmespath",
    "python-dateutil",
    "six",
    "urllib3",
)
"""What Lambda's Python runtime brings along."""
_LEFT_OUT: Final = ("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "site-packages", "lib2to3")
_FORMAT: Final = 1
"""To be raised when the same inputs shall give another folder."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """An interpreter and a runtime folder that the sandbox's user can read."""

    python: Path
    libpython_dir: Path | None
    """Where a shared libpython lies, if it has been copied."""
    site_dir: Path
    copied: bool


async def prepare_runtime(uid: int) -> Runtime:
    """Find or make the runtime for a user, in a process of its own: it takes seconds to make; raises HostError."""
    try:
        done = await run_errand(_MODULE, str(uid), deadline_s=MAKE_DEADLINE_S)
    except TimeoutError:
        raise HostError(f"runtime of the environments: not made within {MAKE_DEADLINE_S} s; try again") from None
    if done.status:
        raise HostError(done.reason or f"runtime of the environments: making it ended with status {done.status}")
    sys.stderr.write(done.stderr)
    python, libpython, site, copied = json.loads(done.stdout)
    return Runtime(Path(python), Path(libpython) if libpython else None, Path(site), copied)


def main(arguments: Sequence[str]) -> int:
    """Make the runtime for the user with the id given, and print it as a JSON array."""
    end_with_server()
    try:
        made = make_runtime(int(arguments[0]))
    except HostError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    libpython = str(made.libpython_dir) if made.libpython_dir else None
    sys.stdout.write(json.dumps((str(made.python), libpython, str(made.site_dir), made.copied)))
    return 0


def make_runtime(uid: int) -> Runtime:
    """Find or make the runtime for a user; raises HostError.

    Blocking: seconds when it is made, half a second to verify it, which happens once per server.
    """
    runtimes = cache_section("runtimes")
    try:
        site_dir = made_once(runtimes / f"site-{_key(_versions())}", _make_site)
        if not readable_by(site_dir, uid):
            raise HostError(
                f"{site_dir}: not readable for uid {uid}, as which functions run; set SERVERLESS_MLPERF_CACHE"
            )
        python = Path(sys.base_prefix) / "bin" / PYTHON
        if not python.is_file():
            python = Path(getattr(sys, "_base_executable", sys.executable))
        if _installed_is_readable(python, uid):
            return Runtime(python, None, site_dir, False)
        base = made_once(runtimes / f"{PYTHON}-{_key({'python': sys.version})}", _make_interpreter)
    except OSError as error:
        raise HostError(f"runtime of the environments: cannot be made: {error}") from error
    return Runtime(base / "bin" / PYTHON, base / "lib", site_dir, True)


def _installed_is_readable(python: Path, uid: int) -> bool:
    needed = [python, Path(sysconfig.get_path("stdlib")) / "os.py", *_shared_libraries()]
    return all(readable_by(path, uid) for path in needed)


def _make_interpreter(folder: Path) -> None:
    (folder / "bin").mkdir()
    (folder / "lib").mkdir()
    shutil.copy2(Path(sys.base_prefix) / "bin" / PYTHON, folder / "bin" / PYTHON)
    for library in _shared_libraries():
        shutil.copy2(library, folder / "lib" / library.name)
    # Times are kept, so that the compiled modules stay valid.
    shutil.copytree(sysconfig.get_path("stdlib"), folder / "lib" / PYTHON, ignore=_ignored, symlinks=True)
    _make_public(folder)


def _ignored(folder: str, names: list[str]) -> list[str]:
    top = folder == sysconfig.get_path("stdlib")
    return [name for name in names if top and (name in _LEFT_OUT or name.startswith("config-"))]


def _shared_libraries() -> Iterator[Path]:
    name, folder = sysconfig.get_config_var("INSTSONAME"), sysconfig.get_config_var("LIBDIR")
    if name and folder and ".so" in name and (path := Path(folder) / name).is_file():
        yield path


def _make_site(folder: Path) -> None:
    for member, path in _files():
        target = folder / member
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    # Copies have new times, which make ordinary compiled files stale: twice the start-up time.
    command = [sys.executable, "-P", "-S", "-s", "-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*command, str(folder)], check=False, env={}, capture_output=True)
    _make_public(folder)


def _make_public(folder: Path) -> None:
    for path in folder.rglob("*"):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)


def _files() -> Iterator[tuple[str, Path]]:
    for name in DISTRIBUTIONS:
        for file in distribution(name).files or ():
            member, path = file.as_posix(), Path(str(file.locate()))
            if not member.startswith("..") and "__pycache__" not in file.parts and path.is_file():
                yield member, path


def _versions() -> dict[str, str]:
    try:
        versions = {name: distribution(name).version for name in DISTRIBUTIONS}
    except PackageNotFoundError as error:
        raise HostError(f"runtime of the environments: {error}; install the project's dependencies") from error
    return {**versions, "python": sys.version}


def _key(about: dict[str, str]) -> str:
    text = json.dumps({**about, "format": str(_FORMAT)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
