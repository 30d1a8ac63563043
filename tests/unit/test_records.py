"""Records on disk: what was cut off is left out or refused, never a traceback."""

from pathlib import Path

import pytest

from serverless_mlperf.errors import InputError
from serverless_mlperf.records import Record, ends_whole, read_records, write_records

RECORDS = [Record(f"k{n}", n, "timeout", 5, 7) for n in range(3)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Three records."""
    write_records(tmp_path / "records.jsonl", RECORDS)
    return tmp_path / "records.jsonl"


def test_records_survive(file: Path) -> None:
    """What is written is read back."""
    assert list(read_records(file)) == RECORDS
    assert ends_whole(file)


def test_every_cut_gives_the_whole_lines_before_it(file: Path) -> None:
    """Cut off at any byte, the file gives the records whose lines are whole, and tells that it was cut off."""
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        whole = content[:length].count(b"\n")
        assert list(read_records(file)) == RECORDS[:whole]
        assert ends_whole(file) == (length == 0 or content[length - 1 : length] == b"\n")


@pytest.mark.parametrize("line", ["{", "[]", "1", '{"key": "a"}', '{"latency_ns": -1}', "\xff"])
def test_damaged_line_is_named(file: Path, line: str) -> None:
    """A line in the middle that is no record is an InputError with file and number."""
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], line, lines[2], ""]), encoding="latin-1")
    with pytest.raises(InputError, match=r"records\.jsonl"):
        list(read_records(file))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A file that is not there is an InputError, and does not end whole."""
    with pytest.raises(InputError, match=r"none\.jsonl"):
        list(read_records(tmp_path / "none.jsonl"))
    assert not ends_whole(tmp_path / "none.jsonl")
