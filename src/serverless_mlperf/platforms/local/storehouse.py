"""Folders that are made once and used by many: whole or absent, and compared with how they were made before use."""

from collections.abc import Callable, Iterator, Mapping
import hashlib
import json
import os
from pathlib import Path
import stat
import sys
from typing import Final

from serverless_mlperf.owner import own_folder

MANIFEST: Final = ".complete"
"""What the folder holds, written last: without it the folder is unfinished."""
_FOREIGN_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH

Entry = tuple[int, int]
"""Type and permissions as in `st_mode`, size in bytes (0 for what is no file)."""


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return `folder` as `make` made it, calling `make` on an empty folder if it is not there or not as it was.

    Blocking: it reads all of the folder, about 0.3 s for 165 MiB. What is damaged is said on stderr and replaced.
    """
    reason = damage(folder)
    if reason is None:
        return folder
    if folder.exists():
        sys.stderr.write(f"note: cache: {folder}: {reason}; made again\n")
    _public_folder(folder.parent)
    with own_folder(".making-", folder.parent) as workshop:
        made = workshop / "new"
        made.mkdir()
        make(made)
        _seal(made)
        _publish(made, folder, workshop / "old")
    return folder


def damage(folder: Path) -> str | None:
    """What tells a folder from how it was made, with the first name concerned; None if nothing does."""
    try:
        noted = _read_manifest(folder / MANIFEST)
        found = dict(_entries(folder))
        for name in sorted(noted.keys() | found.keys()):
            if reason := _difference(folder / name, noted.get(name), found.get(name)):
                return f"{name}: {reason}"
    except OSError as error:
        return f"cannot be read ({error})"
    except (ValueError, TypeError, KeyError) as error:
        return f"{MANIFEST}: no manifest ({error!r})"
    return None


def _difference(path: Path, noted: tuple[Entry, str] | None, found: Entry | None) -> str | None:
    if noted is None:
        return "was not there"
    if found is None:
        return "is missing"
    entry, content = noted
    if entry != found:
        return "has another size or mode"
    return None if _content(path, found) == content else "has another content"


def _seal(folder: Path) -> None:
    """Take from others the right to write, and note what the folder holds."""
    folder.chmod(0o755)
    for name, (mode, _) in list(_entries(folder)):
        if not stat.S_ISLNK(mode):
            (folder / name).chmod(stat.S_IMODE(mode) & ~_FOREIGN_WRITE)
    manifest = {name: (entry, _content(folder / name, entry)) for name, entry in _entries(folder)}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    (folder / MANIFEST).chmod(0o644)


def _publish(made: Path, folder: Path, aside: Path) -> None:
    try:
        made.rename(folder)
    except OSError:
        # There is one already: of someone who was faster, as good as ours if it is whole, or the damaged one.
        if damage(folder) is None:
            return
        folder.rename(aside)
        made.rename(folder)


def _entries(folder: Path) -> Iterator[tuple[str, Entry]]:
    """The folder and all in it but its manifest, by name; OSError for what is not ours or others can write to."""
    yield ".", _entry(folder)
    for where, folders, files in os.walk(folder):  # links are not followed
        for name in [*folders, *files]:
            path = Path(where, name)
            if path != folder / MANIFEST:
                yield path.relative_to(folder).as_posix(), _entry(path)


def _entry(path: Path) -> Entry:
    found = path.lstat()
    if found.st_uid != os.geteuid():
        raise PermissionError(f"{path} belongs to uid {found.st_uid}")
    return found.st_mode, found.st_size if stat.S_ISREG(found.st_mode) else 0


def _content(path: Path, entry: Entry) -> str:
    """SHA-256 of a file, target of a link, nothing of a folder."""
    mode, _ = entry
    if stat.S_ISLNK(mode):
        return os.readlink(path)  # noqa: PTH115 - its exact text
    if not stat.S_ISREG(mode):
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(path: Path) -> Mapping[str, tuple[Entry, str]]:
    mode, _ = _entry(path)
    if not stat.S_ISREG(mode) or mode & _FOREIGN_WRITE:
        raise ValueError("not a file that only we can write")
    values = json.loads(path.read_text())
    return {name: ((int(mode), int(size)), str(content)) for name, ((mode, size), content) in values.items()}


def _public_folder(folder: Path) -> None:
    if not folder.is_dir():
        _public_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)


def reachable_by(path: Path, uid: int) -> bool:
    """Whether a user without groups of its own can pass through all folders above a path, by the permission bits."""
    return uid == os.geteuid() or all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def readable_by(path: Path, uid: int) -> bool:
    """Whether such a user can reach and read a file or folder."""
    if uid == os.geteuid():
        return os.access(path, os.R_OK)
    needed = 0o005 if path.is_dir() else 0o004
    return reachable_by(path, uid) and path.stat().st_mode & needed == needed
