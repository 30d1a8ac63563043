"""One contract for what keeps documents, over a data folder and over nothing; what only a data folder has."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
import errno
from functools import partial
import os
from pathlib import Path
import resource
from threading import Event
from typing import Any

import pytest

from full_disk import file_limit, fill, small_disk
from serverless_mlperf.errors import BenchmarkError, HostError, InputError
from serverless_mlperf.platforms.local.journal.base import Body, Journal, NoJournal, NotKeptError
from serverless_mlperf.platforms.local.journal.bodies import (
    BLOCK_BYTES,
    BodyFile,
    BodyReader,
    DamagedBodyError,
    write_body,
)
from serverless_mlperf.platforms.local.journal.disk import IN_MEMORY_BYTES, DiskJournal
from serverless_mlperf.platforms.local.journal.folder import VERSION, data_folder
from serverless_mlperf.platforms.local.journal.log import Change, Log
from serverless_mlperf.platforms.local.journal.records import HEAD_BYTES, MAGIC, SECTOR_BYTES

LARGE = bytes(range(256)) * (IN_MEMORY_BYTES // 256 + 1)


@asynccontextmanager
async def opened(folder: Path) -> Any:
    """A journal in a folder, closed at the end."""
    journal = DiskJournal(folder)
    journal.open()
    try:
        yield journal
    finally:
        await journal.close()


@asynccontextmanager
async def a_journal(kind: str, folder: Path) -> Any:
    """Either implementation."""
    if kind == "none":
        yield NoJournal()
        return
    async with opened(folder) as journal:
        yield journal


def never() -> None:
    """An undo that must not happen."""
    raise AssertionError("undone")


def kept_in(folder: Path) -> dict[tuple[str, ...], tuple[dict[str, Any], bytes]]:
    """What a new process finds."""
    log = Log(folder)
    found = {e.name: (e.document, e.body if isinstance(e.body, bytes) else e.body.read()) for e in log.open()}
    log.close()
    return found


@pytest.fixture(params=["none", "disk"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which implementation."""
    return str(request.param)


async def put(journal: Journal, name: str, body: bytes, undo: Callable[[], object] = never) -> Body:
    """Save a document with a body."""
    async with journal.place(body) as placed:
        journal.save(("a", name), lambda: {"size": len(body)}, undo, placed)
    return placed


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


def written(folder: Path, count: int, **sizes: int) -> Log:
    """A folder with some documents in it."""
    log = Log(folder, **sizes)
    log.open()
    for number in range(count):
        log.append([Change(("a", str(number)), {"n": number}, bytes(100))])
    return log


def test_torn_record_is_cut_off(tmp_path: Path) -> None:
    """Wherever the file ends within the last record, all before it is kept, and writing goes on behind it."""
    written(tmp_path, 3).close()
    segment = tmp_path / "journal" / "000000000001"
    whole = segment.read_bytes()
    size = (len(whole) - len(MAGIC)) // 3
    for cut in (1, 50, size - HEAD_BYTES, size - HEAD_BYTES + 3, size - 1):
        segment.write_bytes(whole[: len(whole) - cut])
        assert kept_in(tmp_path).keys() == {("a", "0"), ("a", "1")}
        assert segment.stat().st_size == len(whole) - size
        written(tmp_path, 1).close()
        assert len(kept_in(tmp_path)) == 2


@pytest.mark.parametrize("left", [0, 1, len(MAGIC) - 1])
def test_torn_beginning_is_made_again(tmp_path: Path, left: int) -> None:
    """A process can be killed while it begins a segment."""
    written(tmp_path, 0).close()
    (tmp_path / "journal" / "000000000001").write_bytes(MAGIC[:left])
    assert kept_in(tmp_path) == {}
    written(tmp_path, 2).close()
    assert len(kept_in(tmp_path)) == 2


@pytest.mark.parametrize("zeros", [1, 100, 5000])
def test_zeros_behind_the_last_record_are_cut_off(tmp_path: Path, caplog: pytest.LogCaptureFixture, zeros: int) -> None:
    """A host that lost its power may leave them: nothing is lost, and one line says where and how many."""
    written(tmp_path, 3).close()
    segment = tmp_path / "journal" / "000000000001"
    whole = segment.read_bytes()
    segment.write_bytes(whole + bytes(zeros))
    assert len(kept_in(tmp_path)) == 3
    assert segment.read_bytes() == whole
    (line,) = caplog.messages
    assert line.startswith(f"{segment}: {zeros} bytes at its end are cut off: ")
    assert len(kept_in(tmp_path)) == 3
    assert len(caplog.messages) == 1


def test_sectors_that_were_not_written_take_their_record_along(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Zeros from a sector of the last record on, its head's too: the record goes, all before it stays."""
    log = written(tmp_path, 3)
    size = log.total_bytes
    log.append([Change(("last",), {}, b"x" * 5000)])
    log.close()
    segment = tmp_path / "journal" / "000000000001"
    whole = segment.read_bytes()
    for from_sector in range(size // SECTOR_BYTES + 1, len(whole) // SECTOR_BYTES + 1):
        at = from_sector * SECTOR_BYTES
        segment.write_bytes(whole[:at] + bytes(len(whole) - at))
        assert len(kept_in(tmp_path)) == 3
        assert segment.read_bytes() == whole[:size]
    assert len(caplog.messages) == len(whole) // SECTOR_BYTES - size // SECTOR_BYTES
    segment.write_bytes(whole[: len(whole) - 99] + bytes(99))  # no sector ends there: this is another damage
    with pytest.raises(InputError, match=f"damaged at byte {size};"):
        Log(tmp_path).open()


@pytest.mark.parametrize("newest", [b"", MAGIC[:5], MAGIC, bytes(16), bytes(4096), MAGIC + bytes(600), MAGIC + b"\0\0"])
def test_end_may_lie_before_a_segment_that_was_only_begun(tmp_path: Path, newest: bytes) -> None:
    """A torn end in a segment behind which nothing whole was written is cut off; writing goes on."""
    written(tmp_path, 30, segment_bytes=1500).close()
    first, *others = sorted((tmp_path / "journal").iterdir())
    for later in others[1:]:
        later.unlink()
    whole = first.read_bytes()
    first.write_bytes(whole[:-7])
    others[0].write_bytes(newest)
    found = kept_in(tmp_path)
    assert found.keys() == {("a", str(number)) for number in range(len(found))}
    assert len(found) > 3
    written(tmp_path, 1, segment_bytes=1500).close()
    assert kept_in(tmp_path).keys() == found.keys()


@pytest.mark.parametrize("damage", ["torn", "zeros", "emptied", "zeros within"])
def test_damage_before_later_records_is_refused(tmp_path: Path, damage: str) -> None:
    """What was written before other records is not an end that was never acknowledged: a line, and nothing changes."""
    written(tmp_path, 30, segment_bytes=1500).close()
    first, second = sorted((tmp_path / "journal").iterdir())[:2]
    whole = first.read_bytes()
    torn = {
        "torn": whole[:-7], "zeros": whole[:1024] + bytes(len(whole) - 1024), "emptied": b"",
        "zeros within": whole[:512] + bytes(512) + whole[1024:],
    }[damage]  # fmt: skip
    first.write_bytes(torn)
    before = second.read_bytes()
    with pytest.raises(InputError, match=r"^\S+/000000000001: damaged at byte \d+; restore the data folder"):
        Log(tmp_path).open()
    assert (first.read_bytes(), second.read_bytes()) == (torn, before)


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


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    """One bit anywhere in the journal is one line that names the file, and nothing is given or changed."""
    written(tmp_path, 2).close()
    segment = tmp_path / "journal" / "000000000001"
    whole = segment.read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        segment.write_bytes(damaged)
        with pytest.raises(InputError, match=r"^\S+/000000000001: damaged at byte \d+; restore the data folder"):
            Log(tmp_path).open()
        assert segment.read_bytes() == damaged


def test_missing_files_are_found(tmp_path: Path) -> None:
    """A segment between others, or a body, that is gone is one line that names it."""
    log = written(tmp_path, 100, segment_bytes=4096)
    log.close()
    (tmp_path / "journal" / "000000000002").rename(tmp_path / "aside")
    with pytest.raises(InputError, match="journal/000000000002: is missing;"):
        Log(tmp_path).open()
    (tmp_path / "aside").rename(tmp_path / "journal" / "000000000002")

    async def scene() -> None:
        async with opened(tmp_path) as journal:
            await put(journal, "x", LARGE)
            await journal.kept()

    asyncio.run(scene())
    (tmp_path / "bodies" / "000000000001").unlink()
    with pytest.raises(InputError, match="bodies/000000000001: is missing;"):
        Log(tmp_path).open()


def test_body_is_verified_block_by_block(tmp_path: Path) -> None:
    """Ranges that touch a damaged block are refused, others are served; a shorter file is damaged, too."""
    content = bytes(range(251)) * (3 * BLOCK_BYTES // 251)

    async def scene() -> BodyFile:
        async with opened(tmp_path) as journal:
            body = await put(journal, "x", content)
            await journal.kept()
            assert isinstance(body, BodyFile)
            return body

    body = asyncio.run(scene())
    for start, stop in (
        (0, 1),
        (BLOCK_BYTES - 1, BLOCK_BYTES + 1),
        (7, len(content)),
        (len(content) - 1, len(content)),
    ):
        assert body.read(start, stop) == content[start:stop]
    with body.path.open("r+b") as file:
        file.seek(BLOCK_BYTES + 5)
        file.write(bytes([content[BLOCK_BYTES + 5] ^ 4]))
    assert body.read(0, BLOCK_BYTES) == content[:BLOCK_BYTES]
    for start, stop in ((BLOCK_BYTES, BLOCK_BYTES + 1), (0, len(content))):
        with pytest.raises(DamagedBodyError, match=rf"damaged in the MiB at byte {BLOCK_BYTES};"):
            body.read(start, stop)
    with body.path.open("r+b") as file:
        file.truncate(2 * BLOCK_BYTES)
    with pytest.raises(DamagedBodyError, match="damaged"):
        body.read(2 * BLOCK_BYTES, 2 * BLOCK_BYTES + 1)


def test_reader_goes_on_block_by_block(tmp_path: Path) -> None:
    """A range comes in pieces that end where blocks do, also when the file is removed; damage is told where it is."""
    content = bytes(range(251)) * (3 * BLOCK_BYTES // 251)
    for start, stop in ((0, len(content)), (5, BLOCK_BYTES + 5), (BLOCK_BYTES, 2 * BLOCK_BYTES), (7, 8), (9, 9)):
        body = write_body(tmp_path / "1", content)
        reader = BodyReader(body, start, stop)
        body.path.unlink()
        pieces = list(iter(reader.read, b""))
        assert b"".join(pieces) == content[start:stop]
        assert all(len(piece) <= BLOCK_BYTES for piece in pieces)
    with pytest.raises(FileNotFoundError):
        BodyReader(body, 0, 1)
    body = write_body(tmp_path / "1", content)
    os.truncate(body.path, 2 * BLOCK_BYTES + 1)
    reader = BodyReader(body, 0, len(content))
    assert reader.read() + reader.read() == content[: 2 * BLOCK_BYTES]
    with pytest.raises(DamagedBodyError, match=rf"damaged in the MiB at byte {2 * BLOCK_BYTES};"):
        reader.read()


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
