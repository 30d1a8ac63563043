"""Rows of the page's figures: computed from what was measured, and nothing that was not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from page_results import make_results
import pytest

from serverless_mlperf.report.page import rows
from serverless_mlperf.report.page.build import read_page
from serverless_mlperf.report.page.rows import Measured
from serverless_mlperf.store import ResultsFolder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ResultsFolder:
    """The paper's 24 cells."""
    return make_results(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def runs(folder: ResultsFolder) -> list[Measured]:
    """Its runs."""
    return [Measured(result, "r", Path()) for result in folder.results()]


def test_every_run_has_its_verdict(runs: list[Measured]) -> None:
    """With its reasons where it is not VALID."""
    found = rows.verdict_rows(runs)
    assert [row["verdict"] for row in found].count("VALID") == 23
    assert "host_after" in found[-1]["reasons"]


def test_band_holds_the_whole_distribution(runs: list[Measured]) -> None:
    """As wide as Massart's constant makes it; the curve ends at 1."""
    times = np.linspace(1, 2, 50).tolist()
    found = list(rows.ecdf_rows(runs[0], np.asarray(times)))
    assert found[-1]["share"] == 1
    middle = found[25]
    assert middle["share"] - middle["low"] == pytest.approx(np.sqrt(np.log(40) / 100), abs=1e-3)
    assert len(list(rows.ecdf_rows(runs[0], np.asarray([*times] * 100)))) <= rows.ECDF_POINTS[1]
    assert list(rows.ecdf_rows(runs[0], np.asarray([]))) == []


def test_front_holds_what_nothing_beats(runs: list[Measured]) -> None:
    """By task; the cheapest and the fastest are always on it, and no other is at least as good in both."""
    found = rows.cost_rows(runs)
    for task in ("classification", "object_detection"):
        mine = [row for row in found if row["task"] == task]
        front = [row for row in mine if row["front"]]
        for column in ("p50_ms", "usd_per_million"):
            assert min(mine, key=lambda row, c=column: row[c]) in front  # type: ignore[misc]
        beaten = [
            a for a in front for b in mine if b["p50_ms"] < a["p50_ms"] and b["usd_per_million"] < a["usd_per_million"]
        ]
        assert beaten == []


def test_modelled_rows_say_so(runs: list[Measured]) -> None:
    """Predictions and prices from local durations; never what was measured."""
    kinds = {row["kind"].partition(", ")[2]: row["modelled"] for row in rows.prediction_rows(runs)}
    assert kinds == {"measured": False, "share": True, "20 ms quota": True}
    assert all(row["modelled"] for row in rows.cost_rows(runs))


def test_what_is_missing_is_left_out(runs: list[Measured]) -> None:
    """No row stands for a figure that a run does not have."""
    empty = [
        Measured(replace(runs[0].result, accuracy_ratio=None, cost=None, waterfall=None, init_ms=None), "r", Path())
    ]
    assert rows.accuracy_rows(empty) == rows.cost_rows(empty) == rows.phase_rows(empty) == rows.curve_rows(empty) == []
    assert "init phase" not in {row["kind"] for row in rows.cold_rows(empty)}


def test_page_has_every_figure_with_data(folder: ResultsFolder, tmp_path: Path) -> None:
    """And none without; a damaged folder is a note."""
    page = read_page([folder.path, tmp_path])
    assert [figure.id for figure in page.figures] == [
        "latency-classification", "latency-object_detection", "qps", "distribution", "memory", "waterfall", "cold",
        "accuracy", "cost", "timeline",
    ]  # fmt: skip
    assert len(page.cells) == 24
    [note] = page.notes
    assert "no results folder" in note
