"""Zips are written the same from the same content, and unpacked with suspicion."""

import os
from pathlib import Path
import stat
import zipfile

import pytest

from serverless_mlperf import packages
from serverless_mlperf.errors import PackageError
from serverless_mlperf.packages.archive import write_zip


def test_times_umask_and_order_leave_no_trace(tmp_path: Path) -> None:
    """Two zips of the same files, named in another order, of other times and under another umask, are the same."""
    for name in ("b.py", "a.so", "z/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    members = {name: tmp_path / name for name in ("b.py", "a.so", "z/c")}
    first = write_zip("x", members, tmp_path / "1/x.zip", {})
    before = os.umask(0o077)
    try:
        for path in members.values():
            os.utime(path, (1, 1))
            path.chmod(0o600)
        second = write_zip("x", dict(reversed(members.items())), tmp_path / "2/x.zip", {})
    finally:
        os.umask(before)
    assert first.path.read_bytes() == second.path.read_bytes()
    assert [p.name for p in second.path.parent.iterdir()] == ["x.zip"]


def write(path: Path, members: dict[str, bytes], mode: int = stat.S_IFREG | 0o644) -> Path:
    """A zip with one mode for all its members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return path


def test_unpack_makes_folders_others_can_read(tmp_path: Path) -> None:
    """Functions run as another user: a strict umask of ours does not lock them out."""
    archive = write(tmp_path / "a.zip", {"deep/down/x": b"x"})
    before = os.umask(0o077)
    try:
        packages.unpack(archive, tmp_path / "out")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) for name in ("deep", "deep/down", "deep/down/x")]
    assert modes == [0o755, 0o755, 0o644]


def test_unpack_keeps_modes_and_overwrites(tmp_path: Path) -> None:
    """A later layer's file replaces an earlier one's, its mode included, without set-user-id."""
    first = write(tmp_path / "a.zip", {"bin/tool": b"one", "keep": b"k"})
    second = write(tmp_path / "b.zip", {"bin/tool": b"two!"}, stat.S_IFREG | 0o4755)
    assert packages.unpack(first, tmp_path / "out") == 4
    assert packages.unpack(second, tmp_path / "out") == 4
    tool = tmp_path / "out/bin/tool"
    assert (tool.read_bytes(), stat.S_IMODE(tool.stat().st_mode)) == (b"two!", 0o755)
    assert (tmp_path / "out/keep").exists()


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "a\\..\\x"])
def test_unpack_refuses_to_leave_the_folder(tmp_path: Path, name: str) -> None:
    """Absolute names and `..` are refused before anything is written."""
    archive = write(tmp_path / "bad.zip", {"fine": b"x", name: b"y"})
    with pytest.raises(PackageError, match="outside"):
        packages.unpack(archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "a/../../secret"])
def test_unpack_refuses_links_that_lead_out(tmp_path: Path, target: str) -> None:
    """A symbolic link may point anywhere in the folder and nowhere else."""
    archive = write(tmp_path / "bad.zip", {"link": target.encode()}, stat.S_IFLNK | 0o777)
    with pytest.raises(PackageError, match="leaves the folder"):
        packages.unpack(archive, tmp_path / "out")


def test_unpack_follows_no_link_that_was_there(tmp_path: Path) -> None:
    """A link left in the folder by somebody else does not become a way out."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/lib").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PackageError, match="leaves the folder"):
        packages.unpack(write(tmp_path / "a.zip", {"lib/x": b"x"}), tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_unpack_makes_links_inside(tmp_path: Path) -> None:
    """A library's usual link to its versioned name works."""
    archive = write(tmp_path / "links.zip", {"lib/a.so": b"a.so.1"}, stat.S_IFLNK | 0o777)
    packages.unpack(write(tmp_path / "files.zip", {"lib/a.so.1": b"library"}), tmp_path / "out")
    packages.unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/lib/a.so").read_bytes() == b"library"


def test_unpack_refuses_bombs(tmp_path: Path) -> None:
    """Too large in all, or too compressible to be code, is refused by the headers."""
    zeros = write(tmp_path / "zeros.zip", {"zeros": bytes(10_000_000)})
    with pytest.raises(PackageError, match="times its size"):
        packages.unpack(zeros, tmp_path / "out")
    with pytest.raises(PackageError, match="are allowed"):
        packages.unpack(zeros, tmp_path / "out", max_bytes=1000)


def test_unpack_refuses_damage(tmp_path: Path) -> None:
    """A cut zip and something that is no zip end in the same kind of error."""
    whole = write(tmp_path / "whole.zip", {"x": b"data" * 1000}).read_bytes()
    for data in (whole[:-30], b"no zip", b""):
        (tmp_path / "cut.zip").write_bytes(data)
        with pytest.raises(PackageError, match="cannot be unpacked"):
            packages.unpack(tmp_path / "cut.zip", tmp_path / "out")
