"""Disks for /tmp: full is ENOSPC and not the end, and nothing of them is left on the host."""

import asyncio
from dataclasses import replace
from pathlib import Path

from executor_functions import ask, executor, function
import pytest

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.local.isolation import choose_isolation
from serverless_mlperf.platforms.local.tmp_disk import TmpDisks, checked_storage, unavailable

SOURCE = """
import errno, os
def lambda_handler(event, context):
    try:
        with open("/tmp/file", "wb") as file:
            for _ in range(event["mib"]): file.write(bytes(1 << 20)); file.flush()
        return [os.getpid(), "written"]
    except OSError as error:
        return [os.getpid(), errno.errorcode[error.errno]]
    finally:
        os.unlink("/tmp/file")
"""


@pytest.mark.parametrize("kind", ["plain", "bubblewrap"])
def test_full_is_an_error_of_the_writer(tmp_path: Path, kind: str) -> None:
    """More than EphemeralStorage is ENOSPC, after which the same environment goes on; no mount and no device stays."""
    if reason := unavailable():
        pytest.skip(reason)
    try:
        isolation = replace(choose_isolation(kind), storage="enforced")
    except InputError as error:
        pytest.skip(str(error))
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(0o755)
    before = Path("/proc/self/mounts").read_text()

    async def scenario() -> None:
        async with executor(tmp_path, isolation=isolation) as running:
            spec = function(tmp_path, source=SOURCE, ephemeral_mib=16)
            answers = [await ask(running, spec, mib=mib) for mib in (15, 40, 15)]
            assert [answer[1] for answer in answers] == ["written", "ENOSPC", "written"]
            assert len({answer[0] for answer in answers}) == 1
            assert len(devices(tmp_path)) == 1
            assert "ENOSPC" in running.status()["isolation"]["tmp"]

    asyncio.run(scenario())
    assert Path("/proc/self/mounts").read_text() == before
    assert devices(tmp_path) == []


def devices(folder: Path) -> list[str]:
    """What loop devices are made of that lies in a folder."""
    files = [each.read_text().strip() for each in Path("/sys/block").glob("loop*/loop/backing_file")]
    return [file for file in files if file.startswith(str(folder))]


def test_images_are_as_large_as_asked_and_hold_little(tmp_path: Path) -> None:
    """A copy is as long as its template, takes less than a MiB of disk, and two sizes have a template each."""
    if reason := unavailable():
        pytest.skip(reason)

    async def scenario() -> list[Path]:
        disks = TmpDisks(tmp_path, 65534)
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        return [await disks.make(512, tmp_path / "one"), await disks.make(1024, tmp_path / "two")]

    small, large = (path.stat() for path in asyncio.run(scenario()))
    assert 512 << 20 < small.st_size < 540 << 20
    assert 1024 << 20 < large.st_size < 1060 << 20
    assert max(small.st_blocks, large.st_blocks) * 512 < 1 << 20


def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A word that is no choice, and a host without mke2fs, in one line that says what to take instead."""
    with pytest.raises(InputError, match=r"^--storage full: must be one of watched, enforced$"):
        checked_storage("full")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match=r"^--storage enforced: .*; take watched$"):
        checked_storage("enforced")
    checked_storage("watched")
