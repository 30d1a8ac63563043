"""Zips as Lambda takes them: written so that the same content gives the same bytes, unpacked with suspicion."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
import hashlib
import json
import lzma
from pathlib import Path, PurePosixPath
import shutil
import stat
import struct
from typing import IO, Final, Self
import zipfile
import zlib

from serverless_mlperf.errors import PackageError
from serverless_mlperf.owner import this_process

LIMIT_BYTES: Final = 250 * 2**20
"""Function and layers together, unzipped (AWS: lambda/latest/dg/gettingstarted-limits)."""
DIRECT_BYTES: Final = 50 * 2**20
"""Zipped, for an upload in the request itself (the same page)."""
MAX_RATIO: Final = 200
"""Of unzipped to zipped size; shared libraries reach 4, a bomb thousands."""
MAX_MEMBERS: Final = 100_000
"""Ours: far above what fits 250 MiB in earnest; a million empty files would exhaust a file system's inodes."""
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_LEVEL: Final = 4
"""Of zlib: half the CPU time of 6 for 3 to 4 % more bytes, measured on both layers."""
_LARGEST: Final = 5
_KINDS: Final = (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
"""What a member may be; 0: the zip was made where files have no kind."""
_DAMAGE: Final = (
    *(EOFError, ValueError, NotImplementedError, RuntimeError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
)
"""What zipfile raises: RuntimeError for an encrypted member, NotImplementedError for an unknown compression,
ValueError for names and links that are no text, the others for damage."""


@dataclass(frozen=True, slots=True)
class Package:
    """One built zip."""

    name: str
    path: Path
    sha256: str
    zip_bytes: int
    unzipped_bytes: int
    members: int
    largest: tuple[tuple[str, int], ...]
    """Largest members with their sizes: where to look when it does not fit."""
    versions: Mapping[str, str]
    """Distributions inside, and the Python it was compiled for."""
    bytecode: str = ""
    """Version of the Python that compiled the modules; empty: they are compiled at each cold start."""
    wheels: Mapping[str, str] = field(default_factory=dict)
    """Of a target's layer, by distribution: `<file name>#sha256=<digest>` of what was fetched."""

    @property
    def must_go_by_s3(self) -> bool:
        """Whether the zip is too large to be uploaded in the request itself."""
        return self.zip_bytes > DIRECT_BYTES

    def to_json(self) -> str:
        """Text form, for the note beside a cached zip."""
        return json.dumps({**asdict(self), "path": self.path.name})

    @classmethod
    def from_json(cls, text: str, folder: Path) -> Self:
        """Read the text form back; raises KeyError, TypeError, ValueError when it is not one."""
        values = json.loads(text)
        largest = tuple((str(name), int(size)) for name, size in values.pop("largest"))
        return cls(**{**values, "path": folder / values["path"], "largest": largest})


def write_zip(name: str, members: Mapping[str, Path], output: Path, versions: Mapping[str, str]) -> Package:
    """Write files under their member names: sorted, without times, with plain modes."""
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f"{output.name}.{this_process().mark}.partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as target:
        for member, source in sorted(members.items()):
            target.writestr(_entry(member, source), source.read_bytes(), compresslevel=_LEVEL)
    partial.replace(output)
    sizes = {member: source.stat().st_size for member, source in members.items()}
    return Package(
        name=name,
        path=output,
        sha256=digest(output),
        zip_bytes=output.stat().st_size,
        unzipped_bytes=sum(sizes.values()),
        members=len(sizes),
        largest=tuple(sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:_LARGEST]),
        versions=dict(versions),
    )


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unzipped_bytes(file: IO[bytes]) -> int:
    """What the members of a zip come to, as its directory announces them; raises PackageError when it has none."""
    try:
        with zipfile.ZipFile(file) as source:
            return sum(entry.file_size for entry in source.infolist())
    except _DAMAGE as error:
        raise PackageError(f"no zip ({_reason(error)}); build or upload it again") from error


def unpack(archive: Path, folder: Path, max_bytes: int = LIMIT_BYTES) -> int:
    """Unpack a zip into a folder, over what is there, and return the bytes written; modes are kept.

    Raises PackageError, before anything is written, for a zip that is damaged, larger than `max_bytes`, suspiciously
    compressible, or that names a place outside `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    root = folder.resolve()
    try:
        with zipfile.ZipFile(archive) as source:
            entries = source.infolist()
            total = _check_entries(archive, entries, max_bytes)
            # Links last: nothing of this archive is written through one of its own links.
            for entry in sorted(entries, key=_is_link):
                _extract(source, entry, root)
            _check_links(archive, [root / entry.filename for entry in entries if _is_link(entry)], root)
    except OSError as error:
        raise PackageError(
            f"{archive}: cannot be unpacked into {folder} ({error}); free disk space, or build or upload it again"
        ) from error
    except _DAMAGE as error:
        raise PackageError(f"{archive}: cannot be unpacked ({_reason(error)}); build or upload it again") from error
    return total


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _entry(member: str, source: Path) -> zipfile.ZipInfo:
    executable = ".so" in member or source.stat().st_mode & stat.S_IXUSR
    entry = zipfile.ZipInfo(member, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # Unix: the modes below count
    entry.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
    return entry


def _check_entries(archive: Path, entries: list[zipfile.ZipInfo], max_bytes: int) -> int:
    if len(entries) > MAX_MEMBERS:
        raise PackageError(f"{archive}: {len(entries)} members, at most {MAX_MEMBERS}: refused")
    seen = set[PurePosixPath]()
    for entry in entries:
        _check_name(archive, entry.filename)
        _check_kind(archive, entry)
        # Unpackers differ in which of two they keep: what was looked at need not be what is run.
        if (path := PurePosixPath(entry.filename)) in seen and not entry.is_dir():
            raise PackageError(f"{archive}: member {entry.filename!r} is there twice: refused")
        seen.add(path)
    # zipfile never reads more than the size in the header, so that a lying header ends in a CRC error.
    total, packed = sum(entry.file_size for entry in entries), archive.stat().st_size
    if total > max_bytes:
        raise PackageError(f"{archive}: {total} bytes unzipped, {max_bytes} are allowed: leave something out")
    if total > MAX_RATIO * packed:
        raise PackageError(f"{archive}: unpacks to {total // packed} times its size, at most {MAX_RATIO}: refused")
    return total


def _check_name(archive: Path, name: str) -> None:
    if name.startswith("/") or "\\" in name or "\0" in name or ".." in PurePosixPath(name).parts:
        raise PackageError(f"{archive}: member {name!r} points outside the folder: refused")


def _check_kind(archive: Path, entry: zipfile.ZipInfo) -> None:
    if stat.S_IFMT(entry.external_attr >> 16) not in _KINDS:
        raise PackageError(f"{archive}: member {entry.filename!r} is neither file, folder nor link: refused")


def _check_links(archive: Path, links: list[Path], root: Path) -> None:
    """Look again at where links lead when all are there: one may lead on through another that was made after it."""
    leading_out = [link for link in links if not link.resolve().is_relative_to(root)]
    for link in leading_out:
        link.unlink()
    if leading_out:
        raise PackageError(f"{archive}: link {leading_out[0].name!r} leaves the folder: refused")


def _extract(source: zipfile.ZipFile, entry: zipfile.ZipInfo, root: Path) -> None:
    target = root / entry.filename
    parent = target if entry.is_dir() else target.parent
    # Another archive may have left links here: they must not lead out.
    if not parent.resolve().is_relative_to(root):
        raise PackageError(f"{entry.filename}: reached through a link that leaves the folder: refused")
    _make_folder(parent)
    if entry.is_dir():
        return
    if target.is_symlink() or target.is_file():
        target.unlink()
    if _is_link(entry):
        _link(source.read(entry).decode(), target, root)
        return
    with source.open(entry) as data, target.open("xb") as file:
        shutil.copyfileobj(data, file, 1 << 20)
        if file.tell() != entry.file_size:  # zipfile takes less than was announced for the whole
            raise zipfile.BadZipFile(f"{entry.filename!r} has {file.tell()} bytes, not {entry.file_size}")
    target.chmod(_mode(entry))


def _make_folder(folder: Path) -> None:
    """Make a folder that functions can read too: they run as another user, whatever our umask is."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir()
        folder.chmod(0o755)


def _link(pointed: str, target: Path, root: Path) -> None:
    if pointed.startswith("/") or not (target.parent / pointed).resolve().is_relative_to(root):
        raise PackageError(f"{target.name}: link to {pointed!r} leaves the folder: refused")
    target.symlink_to(pointed)


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(entry.external_attr >> 16)


def _mode(entry: zipfile.ZipInfo) -> int:
    """Permissions of a member, without set-user-id and the like; zips made elsewhere may carry none."""
    return (entry.external_attr >> 16) & 0o777 or 0o644


def tree(folder: Path, prefix: str = "") -> Iterator[tuple[str, Path]]:
    """Files below a folder with their member names, sorted."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield prefix + path.relative_to(folder).as_posix(), path
