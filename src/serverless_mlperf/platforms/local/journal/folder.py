"""A data folder: ours alone to write, of a version that we know, and of one server at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
import fcntl
import os
from pathlib import Path
import re
from typing import Final

from serverless_mlperf.errors import HostError, InputError
from serverless_mlperf.files import write_whole

VERSION: Final = 1
FORMAT: Final = "serverless-mlperf data folder, version"
_FORMAT_LINE: Final = re.compile(rf"{FORMAT} (\d+)\n")
_ELSEWHERE: Final = "give another --data"


@contextmanager
def data_folder(path: Path) -> Iterator[Path]:
    """The folder, made if it is missing and held until the end.

    Raises InputError for one that is not ours to use, HostError when another server holds it.
    """
    folder = path.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_rights(folder)
        _check_kind(folder)
        held = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise InputError(f"data folder {folder}: cannot be used ({error.strerror}); {_ELSEWHERE}") from error
    try:
        _hold(held, folder)
        _check_version(folder)
        yield folder
    finally:
        os.close(held)


def _check_rights(folder: Path) -> None:
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise InputError(f"data folder {folder}: belongs to uid {found.st_uid}, not to us; {_ELSEWHERE}")
    if not any(folder.iterdir()):
        folder.chmod(0o700)
    elif found.st_mode & 0o022:
        raise InputError(f"data folder {folder}: others can write to it (mode {found.st_mode & 0o777:o}); chmod 700 it")


def _check_kind(folder: Path) -> None:
    """InputError for a folder with other things in it."""
    if not (folder / "format").exists() and {path.name for path in folder.iterdir()} - {"lock", ".format.partial"}:
        raise InputError(f"data folder {folder}: holds files of something else; {_ELSEWHERE}")


def _hold(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise HostError(f"data folder {folder}: another server uses it; end that one, or {_ELSEWHERE}") from error


def _check_version(folder: Path) -> None:
    try:
        found = _FORMAT_LINE.fullmatch((folder / "format").read_text(errors="replace"))
    except FileNotFoundError:
        write_whole(folder / "format", f"{FORMAT} {VERSION}\n")
        (folder / "format").chmod(0o600)
        return
    if found is None:
        raise InputError(f"{folder / 'format'}: damaged; restore the data folder from a copy, or {_ELSEWHERE}")
    if int(found[1]) > VERSION:
        raise InputError(
            f"data folder {folder}: is of version {found[1]}, newer than {VERSION}; update serverless-mlperf, "
            f"or {_ELSEWHERE}"
        )
