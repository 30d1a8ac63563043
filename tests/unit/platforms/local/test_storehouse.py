"""Unpacked folders: whole or absent, and never used when they are not as they were made."""

import asyncio
from collections.abc import Callable
import json
import os
from pathlib import Path
import subprocess
import sys
from typing import Any
import zipfile

from executor_functions import ask, executor, function
import pytest

from serverless_mlperf.cache import cache_dir
from serverless_mlperf.packages.archive import digest
from serverless_mlperf.platforms.local.isolation import sandbox_uid
from serverless_mlperf.platforms.local.runtime import make_runtime
from serverless_mlperf.platforms.local.storehouse import MANIFEST, damage, made_once

CODE = b"print('code')\n"


def make(folder: Path) -> None:
    """A folder with files, a link and an executable that others may write to."""
    (folder / "python/lib").mkdir(parents=True)
    (folder / "python/lib/code.py").write_bytes(CODE)
    (folder / "python/lib/tool").write_bytes(b"tool")
    (folder / "python/lib/tool").chmod(0o777)
    (folder / "python/lib/link").symlink_to("code.py")


def replace(path: Path, data: bytes) -> None:
    """Other bytes of the same number, and the same times."""
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def relink(path: Path) -> None:
    """A link to somewhere else."""
    path.unlink()
    path.symlink_to("/etc/passwd")


def to_link(path: Path) -> None:
    """A file becomes a link to a file of the same content."""
    elsewhere = path.parents[4] / "elsewhere.py"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "altered": lambda folder: replace(folder / "python/lib/code.py", CODE.upper()),
    "cut": lambda folder: (folder / "python/lib/code.py").write_bytes(CODE[:5]),
    "missing": lambda folder: (folder / "python/lib/code.py").unlink(),
    "a file too many": lambda folder: (folder / "python/lib/numpy.py").write_bytes(b""),
    "a folder too many": lambda folder: (folder / "python/lib/numpy").mkdir(),
    "another link": lambda folder: relink(folder / "python/lib/link"),
    "a link in place of a file": lambda folder: to_link(folder / "python/lib/code.py"),
    "another mode": lambda folder: (folder / "python/lib/tool").chmod(0o644),
    "open to others": lambda folder: (folder / "python/lib/code.py").chmod(0o666),
    "a folder open to others": lambda folder: (folder / "python").chmod(0o777),
    "no manifest": lambda folder: (folder / MANIFEST).unlink(),
    "a marker of old": lambda folder: (folder / MANIFEST).write_bytes(b""),
    "a manifest of another form": lambda folder: (folder / MANIFEST).write_text(json.dumps({".": 1})),
    "a manifest open to others": lambda folder: (folder / MANIFEST).chmod(0o666),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that was made."""
    return made_once(tmp_path / "store/folder", make)


def never(_: Path) -> None:
    """A maker that must not be asked."""
    pytest.fail("it was made again")


def test_whole_folder_is_used_as_it_is(folder: Path) -> None:
    """What was made is not made again; others can read it and not write to it."""
    assert damage(folder) is None
    assert made_once(folder, never) == folder
    modes = [path.lstat().st_mode for path in (folder, *folder.rglob("*")) if not path.is_symlink()]
    assert not any(mode & 0o022 for mode in modes)
    assert (folder / "python/lib/tool").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("what", DAMAGES)
def test_damaged_folder_is_made_again(folder: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever differs from the manifest is found, said and replaced, and nothing else is left in its place."""
    DAMAGES[what](folder)
    assert damage(folder) is not None
    assert made_once(folder, make) == folder
    assert capsys.readouterr().err.startswith(f"note: cache: {folder}: ")
    assert damage(folder) is None
    assert (folder / "python/lib/code.py").read_bytes() == CODE
    assert sorted(p.name for p in (folder / "python/lib").iterdir()) == ["code.py", "link", "tool"]
    assert [p.name for p in folder.parent.iterdir()] == ["folder"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_file_of_another_user_is_not_trusted(folder: Path) -> None:
    """The same content, written by somebody else, is made again: its owner could change it at any time."""
    os.chown(folder / "python/lib/code.py", 65534, -1)
    assert "belongs to uid 65534" in str(damage(folder))
    assert damage(made_once(folder, make)) is None


def test_failed_making_leaves_nothing(tmp_path: Path) -> None:
    """Neither the folder nor its scratch remains when making fails."""

    def fail(folder: Path) -> None:
        make(folder)
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        made_once(tmp_path / "store/folder", fail)
    assert list((tmp_path / "store").iterdir()) == []


def test_slower_of_two_uses_the_others(tmp_path: Path) -> None:
    """Two that make one folder end with one whole folder, the first one's."""

    def slow(folder: Path) -> None:
        made_once(tmp_path / "store/folder", make)
        (folder / "late").write_bytes(b"")

    folder = made_once(tmp_path / "store/folder", slow)
    assert damage(folder) is None
    assert not (folder / "late").exists()


def unpacking(archive: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the process that unpacks; it ends early when its stdin does."""
    module = "serverless_mlperf.platforms.local.unpacking"
    command = [sys.executable, "-m", module, str(folder), folder.name, str(archive)]
    theirs, ours = os.pipe()
    try:
        return subprocess.run(command, stdin=theirs, capture_output=True, text=True, timeout=60, check=False)
    finally:
        os.close(theirs)
        os.close(ours)


def test_unpacking_verifies_the_zip(tmp_path: Path) -> None:
    """A zip that is not the one its folder is named after is not unpacked; the right one is, once."""
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("app.py", CODE)
    folder = tmp_path / "unpacked" / digest(archive)
    archive.write_bytes(archive.read_bytes() + b" ")
    refused = unpacking(archive, folder)
    assert (refused.returncode, folder.exists()) == (1, False)
    assert "is not the package of digest" in refused.stderr
    right = folder.with_name(digest(archive))
    assert unpacking(archive, right).returncode == 0
    assert damage(right) is None
    archive.unlink()  # not needed any more
    assert unpacking(archive, right).returncode == 0


def test_server_does_not_run_altered_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Code that was altered in the cache since a former server unpacked it is unpacked again before it runs."""

    async def called() -> Any:
        async with executor(tmp_path) as running:
            return await ask(running, spec)

    spec = function(tmp_path, source="def lambda_handler(event, context): return 'right'\n")
    assert asyncio.run(called()) == "right"
    unpacked = cache_dir() / "unpacked" / spec.code_sha256 / "app.py"
    replace(unpacked, unpacked.read_bytes().replace(b"right", b"wrong"))
    assert asyncio.run(called()) == "right"
    assert "app.py: has another content; made again" in capsys.readouterr().err


def test_server_does_not_run_an_altered_runtime() -> None:
    """The runtime folder is compared as well, when a server starts."""
    altered = make_runtime(sandbox_uid()).site_dir / "six.py"
    before = altered.read_bytes()
    replace(altered, before.replace(b"import", b"export"))
    code = (
        "from serverless_mlperf.platforms.local import isolation, runtime;runtime.make_runtime(isolation.sandbox_uid())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0
    assert "six.py: has another content; made again" in done.stderr
    assert altered.read_bytes() == before
