"""What the page draws of records: the same as the records say, read without keeping them."""

from pathlib import Path

import numpy as np
from page_results import make_results
import pytest

from serverless_mlperf.errors import InputError
from serverless_mlperf.records import read_records
from serverless_mlperf.report.page.build import read_page
from serverless_mlperf.report.page.drawn import TIMELINE_QUERIES, read_drawn


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The records of one made-up run, more than a timeline shows."""
    folder = make_results(tmp_path, queries=TIMELINE_QUERIES + 100, memory=(768,))
    return folder.path / "cells" / folder.cells[0] / "run-1" / "records.jsonl"


def test_the_same_as_the_records_say(path: Path) -> None:
    """Forward of warm queries in order, and the queries that started first with their stamps."""
    records = list(read_records(path))
    drawn = read_drawn(path)
    forward = [r.phases_ns["forward"] / 1e6 for r in records if r.verdict == "ok" and not r.cold and r.phases_ns]
    assert np.array_equal(drawn.forward_ms, forward)
    first = sorted(records, key=lambda record: record.start_ns or 0)[:TIMELINE_QUERIES]
    assert [(q.start_ns, q.finish_ns, q.cold) for q in drawn.first] == [
        (r.start_ns, r.finish_ns, r.cold) for r in first
    ]


def test_a_last_line_without_its_end_is_left_out(path: Path) -> None:
    """It was cut off: the lines before it count."""
    whole = read_drawn(path)
    path.write_text(path.read_text() + '{"verdict": "ok", "issued_ns": 1, "pha')
    assert np.array_equal(read_drawn(path).forward_ms, whole.forward_ms)


@pytest.mark.parametrize("damage", ["{", "[]", '{"verdict": "ok"}', '{"verdict": 1, "issued_ns": 1}', "\x00"])
def test_a_damaged_line_is_named(path: Path, damage: str) -> None:
    """With its number; nothing is guessed."""
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], damage, *lines[2:]]) + "\n")
    with pytest.raises(InputError, match="line 3: no record"):
        read_drawn(path)


def test_a_run_with_damaged_records_keeps_its_summary_on_the_page(tmp_path: Path) -> None:
    """Its distribution is missing with the reason; its bars and all other runs' curves are there."""
    folder = make_results(tmp_path)
    (folder.path / "cells" / folder.cells[0] / "run-1" / "records.jsonl").write_text("{\n")
    page = read_page([folder.path])
    assert len(page.runs) == 24
    (note,) = page.notes
    assert "line 1: no record" in note
    (curves,) = (figure for figure in page.figures if figure.id == "distribution")
    assert len({row["cell"] for row in curves.rows}) == 23


def test_a_damaged_cell_is_a_note_and_the_others_are_shown(tmp_path: Path) -> None:
    """Half-written summaries cost their own cells alone."""
    folder = make_results(tmp_path)
    (folder.path / "cells" / folder.cells[5] / "run-1" / "summary.json").write_text('{"task": "cl')
    page = read_page([folder.path])
    assert len(page.runs) == 23
    assert page.notes == [f"{folder.path.name}: {folder.cells[5]}, run 1: run-1 is damaged"]
