"""One contract for what keeps documents, over a data folder and over nothing; what only a data folder has."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
import errno
from functools import partial
import os
from pathlib import Path
import resource
from threading import Event
from typing import Any

from journals import LARGE, kept_in, never, opened, put, written
import pytest

from full_disk import file_limit, fill, small_disk
from serverless_mlperf.errors import BenchmarkError, HostError
from serverless_mlperf.platforms.local.journal.base import NoJournal, NotKeptError
from serverless_mlperf.platforms.local.journal.folder import VERSION, data_folder
from serverless_mlperf.platforms.local.journal.log import Change, Log


@asynccontextmanager
async def a_journal(kind: str, folder: Path) -> Any:
    """Either implementation."""
    if kind == "none":
        yield NoJournal()
        return
    async with opened(folder) as journal:
        yield journal


@pytest.fixture(params=["none", "disk"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which implementation."""
    return str(request.param)


def test_kept_returns_when_nothing_is_pending(kind: str, tmp_path: Path) -> None:
    """A change is pending until it is kept, and what is to be done then is done before who waits goes on."""

    async def scene() -> None:
        async with a_journal(kind, tmp_path) as journal:
            acted: list[str] = []
            await journal.kept()
            journal.save(("a",), dict, never)
            journal.when_kept(lambda: acted.append("kept"))
            assert (acted == []) == journal.pending
            await journal.kept()
            assert not journal.pending
            assert acted == ["kept"]
            assert list(journal.entries()) == []

    asyncio.run(scene())


def test_small_bodies_stay_in_memory(kind: str, tmp_path: Path) -> None:
    """A body of a few bytes is the same bytes; a large one has the same content wherever it is."""

    async def scene() -> None:
        async with a_journal(kind, tmp_path) as journal:
            assert await put(journal, "small", b"x") == b"x"
            large = await put(journal, "large", LARGE)
            assert len(large) == len(LARGE)
            assert (large if isinstance(large, bytes) else large.read()) == LARGE

    asyncio.run(scene())


def test_next_process_finds_what_was_saved_last(tmp_path: Path) -> None:
    """Of each name the last document and body, and none that was removed; names and documents may be any text."""

    async def scene() -> None:
        async with opened(tmp_path) as journal:
            for number in range(3):
                journal.save(("a", "ü/../\0\ud800"), lambda n=number: {"n": n, "ü": "\udfff"}, never, b"%d" % number)
            journal.save(("gone",), dict, never)
            journal.remove(("gone",), never)
            await put(journal, "large", LARGE)
            await journal.kept()
        async with opened(tmp_path) as journal:
            found = {
                e.name: (e.document, e.body if isinstance(e.body, bytes) else e.body.read()) for e in journal.entries()
            }
        assert found == {
            ("a", "ü/../\0\ud800"): ({"n": 2, "ü": "\udfff"}, b"2"),
            ("a", "large"): ({"size": len(LARGE)}, LARGE),
        }

    asyncio.run(scene())


def test_folder_is_closed_to_others(tmp_path: Path) -> None:
    """Files are for their owner alone, whatever the umask; nothing lies outside the folder."""

    async def scene(folder: Path) -> None:
        async with opened(folder) as journal:
            await put(journal, "../../x", LARGE)
            await journal.kept()

    with data_folder(tmp_path / "new" / "data") as folder:
        asyncio.run(scene(folder))
    modes = {path.relative_to(tmp_path / "new"): path.stat().st_mode & 0o777 for path in (tmp_path / "new").rglob("*")}
    assert {mode for path, mode in modes.items() if (tmp_path / "new" / path).is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if (tmp_path / "new" / path).is_file()} == {0o600}
    assert {str(path) for path in modes} == {
        "data", "data/bodies", "data/bodies/000000000001", "data/format", "data/journal", "data/journal/000000000001",
        "data/lock", "data/reserve",
    }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_replaced_body_is_removed(tmp_path: Path) -> None:
    """A body's file goes with its document, stays with a new document that names it, and goes if no document came."""

    async def scene() -> None:
        bodies = tmp_path / "bodies"
        async with opened(tmp_path) as journal:
            first = await put(journal, "x", LARGE)
            journal.save(("a", "x"), lambda: {"tagged": True}, never, first)
            await journal.kept()
            assert [path.name for path in bodies.iterdir()] == ["000000000001"]
            await put(journal, "x", LARGE + b"2")
            async with journal.place(LARGE):
                pass
            await put(journal, "y", b"")
            await journal.kept()
            await journal.kept()
            assert [path.name for path in bodies.iterdir()] == ["000000000002"]
            journal.remove(("a", "x"), never)
            await journal.kept()
            assert list(bodies.iterdir()) == []

    asyncio.run(scene())


def test_body_that_nobody_waits_for_is_removed(tmp_path: Path) -> None:
    """A client that goes away while its body is written leaves no file."""

    async def scene() -> None:
        writers = ThreadPoolExecutor(1)
        asyncio.get_running_loop().set_default_executor(writers)
        async with opened(tmp_path) as journal:
            for _ in range(3):
                putting = asyncio.ensure_future(put(journal, "x", LARGE))
                await asyncio.sleep(0)
                putting.cancel()
                await asyncio.wait([putting])
                assert putting.cancelled()
            await asyncio.sleep(0)
            writers.shutdown()
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
            await put(journal, "y", LARGE)
            async with asyncio.timeout(10):
                while [path.name for path in (tmp_path / "bodies").iterdir()] != ["000000000004"]:
                    await put(journal, "z", b"")
                    await journal.kept()

    asyncio.run(scene())
    assert kept_in(tmp_path)[("a", "y")] == ({"size": len(LARGE)}, LARGE)
    assert ("a", "x") not in kept_in(tmp_path)


def test_a_segment_goes_when_its_copy_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then it stays, writing goes on, and an error of the disk is told and tried again."""
    log = written(tmp_path, 20, segment_bytes=1500)
    oldest = tmp_path / "journal" / "000000000001"
    synced = Event()
    asked: list[int] = []

    def slow(descriptor: int) -> None:
        asked.append(os.fstat(descriptor).st_ino)
        synced.wait(20)
        if len(asked) == 1:
            raise OSError(errno.EIO, "the disk")

    monkeypatch.setattr(os, "fsync", slow)
    while not log.waits:
        if log.wants_cleaning:
            log.clean_some()
        else:
            log.append([Change(("b",), {}, bytes(100))])
    for _ in range(3):
        log.clean_some()
        log.append([Change(("c",), {})])
    assert oldest.exists()
    synced.set()

    def clean() -> None:
        while oldest.exists():
            log.clean_some()

    with pytest.raises(OSError, match="the disk"):
        clean()
    assert oldest.exists()
    clean()
    others = {path.stat().st_ino for path in (tmp_path / "journal").iterdir()}
    assert {*others, (tmp_path / "journal").stat().st_ino} <= set(asked)
    log.close()
    assert len(kept_in(tmp_path)) == 22


def test_superseded_records_are_cleaned_away(tmp_path: Path) -> None:
    """The journal never takes much more than twice what it keeps; removals stay removed, old documents stay kept."""
    log = written(tmp_path, 20, segment_bytes=4096)
    for number in range(5):
        log.append([Change(("a", str(number)))])
    for number in range(2000):
        log.append([Change(("b",), {"n": number}, bytes(100))])
        while log.wants_cleaning:
            log.clean_some()
        assert log.total_bytes < 8 * 4096
    log.close()
    on_disk = sum(path.stat().st_size for path in (tmp_path / "journal").iterdir())
    assert on_disk == log.total_bytes
    assert kept_in(tmp_path).keys() == {("b",), *(("a", str(number)) for number in range(5, 20))}


def test_cleaning_can_be_cut_off_anywhere(tmp_path: Path) -> None:
    """After each step of a cleaning, a new process finds the same."""
    log = written(tmp_path, 200, segment_bytes=4096)
    for number in range(200):
        if number % 3:
            log.append([Change(("a", str(number)))])
        log.append([Change(("b",), {"n": number}, bytes(100))])
    wanted = kept_in(tmp_path)
    steps = 0
    while log.wants_cleaning:
        log.clean_some()
        steps += 1
        log.append([Change(("c",), {"step": steps})])
        assert {**kept_in(tmp_path), ("c",): ({"step": 0}, b"")} == {**wanted, ("c",): ({"step": 0}, b"")}
    assert steps > 3
    log.close()


class Full:
    """A disk without room: a limit on files, or a small file system that is full."""

    def __init__(self, folder: Path, disk: Path | None) -> None:
        self.folder = folder
        self._disk = disk

    def fill(self) -> None:
        """No file grows any more."""
        if self._disk:
            fill(self._disk)
        else:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            size = max(path.stat().st_size for path in (self.folder / "journal").iterdir())
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))

    def free(self) -> None:
        """There is room again."""
        if self._disk:
            (self._disk / "filler").unlink()
        else:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@pytest.fixture(params=["limit", "disk"])
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Full]:
    """A data folder whose disk can be filled."""
    if request.param == "limit":
        with file_limit(resource.getrlimit(resource.RLIMIT_FSIZE)[1]):
            yield Full(tmp_path, None)
        return
    with small_disk(tmp_path / "disk", "20m") as disk:
        (disk / "data").mkdir()
        yield Full(disk / "data", disk)


def test_full_disk_undoes_what_was_not_kept(full: Full, caplog: pytest.LogCaptureFixture) -> None:
    """Changes that find no room are undone last first, in one line; what was kept stays, later ones are kept again."""

    async def scene() -> list[int]:
        undone: list[int] = []
        async with opened(full.folder) as journal:
            await put(journal, "before", b"1")
            await journal.kept()
            full.fill()
            for number in range(3):
                await put(journal, "x", bytes(5000), partial(undone.append, number))
            with pytest.raises(NotKeptError):
                await journal.kept()
            with pytest.raises(NotKeptError):
                await put(journal, "large", LARGE)
            full.free()
            await put(journal, "after", bytes(5000))
            await journal.kept()
        return undone

    assert asyncio.run(scene()) == [2, 1, 0]
    assert kept_in(full.folder).keys() == {("a", "before"), ("a", "after")}
    assert list((full.folder / "bodies").iterdir()) == []
    said = [record.message for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith(f"data folder {full.folder}: cannot be written (")
    assert said[1] == f"data folder {full.folder}: can be written again"


def appended_until_full(log: Log) -> int:
    """How many documents found room."""
    appended: list[int] = []

    def append_all() -> None:
        for number in range(10_000):
            log.append([Change(("a", str(number)), {}, bytes(1000))])
            appended.append(number)

    with pytest.raises(OSError, match="No space left"):
        append_all()
    return len(appended)


def test_deleting_works_on_a_full_disk(tmp_path: Path) -> None:
    """Removals use the room in reserve, and what they free is given back."""
    with small_disk(tmp_path / "disk", "1m") as disk:
        log = Log(disk, segment_bytes=64 << 10)
        log.open()
        number = appended_until_full(log)
        for gone in range(1, number):
            log.append([Change(("a", str(gone)))])
            while log.wants_cleaning:
                log.clean_some()
        log.append([Change(("b",), {}, bytes(100_000))])
        assert log.total_bytes < 400_000
        assert log.reserved
        log.close()
        assert kept_in(disk).keys() == {("a", "0"), ("b",)}


def refused(path: Path) -> str:
    """The one line with which a folder is refused."""
    with pytest.raises(BenchmarkError) as caught, data_folder(path):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_one_server_at_a_time(tmp_path: Path) -> None:
    """A folder in use is refused; it is free when its server has gone."""
    with data_folder(tmp_path), pytest.raises(HostError, match="another server uses it"), data_folder(tmp_path):
        pass
    with data_folder(tmp_path):
        pass


def test_folders_that_are_not_ours(tmp_path: Path) -> None:
    """Other things' folders, files, folders open to others and newer versions are refused, and left as they are."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    assert "holds files of something else" in refused(tmp_path / "other")
    assert "Not a directory" in refused(tmp_path / "other" / "thesis.tex") or "File exists" in refused(
        tmp_path / "other" / "thesis.tex"
    )
    with data_folder(tmp_path / "newer") as folder:
        pass
    (folder / "format").write_text(f"serverless-mlperf data folder, version {VERSION + 1}\n")
    assert f"is of version {VERSION + 1}, newer than {VERSION}; update serverless-mlperf" in refused(folder)
    (folder / "format").write_text("serverless-mlperf data folder, version\n")
    assert "format: damaged" in refused(folder)
    folder.chmod(0o777)
    assert "others can write to it (mode 777)" in refused(folder)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.tex"]


def test_open_to_others_is_closed_when_empty(tmp_path: Path) -> None:
    """An empty folder is taken over."""
    (tmp_path / "empty").mkdir(mode=0o755)
    with data_folder(tmp_path / "empty") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
