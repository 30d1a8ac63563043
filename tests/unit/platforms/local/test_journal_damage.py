"""A data folder that a power cut or a bad disk has damaged: what is mended, what is refused, and nothing in between."""

import asyncio
import os
from pathlib import Path

from journals import LARGE, kept_in, opened, put, written
import pytest

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.local.journal.bodies import (
    BLOCK_BYTES,
    BodyFile,
    BodyReader,
    DamagedBodyError,
    write_body,
)
from serverless_mlperf.platforms.local.journal.log import Change, Log
from serverless_mlperf.platforms.local.journal.records import HEAD_BYTES, MAGIC, SECTOR_BYTES


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
