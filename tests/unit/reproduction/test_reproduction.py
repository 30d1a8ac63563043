"""The paper's figures and what they tell, and ours beside them."""

import csv
from dataclasses import replace
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serverless_mlperf.cli import app
from serverless_mlperf.report.figures import Bar
from serverless_mlperf.reproduction.published import published_bars
from serverless_mlperf.reproduction.report import lines
from serverless_mlperf.reproduction.shape import exchanges, rate_correlation, ratios, shapes

SEED = Path(__file__).resolve().parents[4] / "shared" / "seed" / "results.csv"
PUBLISHED = published_bars()
SIZES = (768, 1536, 2240, 3008)


def exact(model: str, engine: str, vcpu_ms: float) -> list[Bar]:
    """A series without any deviation, whose rate the function limits."""
    return [Bar(model, engine, m, vcpu_ms * 1769 / m, 1000 * m / vcpu_ms / 1769) for m in SIZES]


def test_published_figures_are_the_authors() -> None:
    """All 24 cells, to the last digit."""
    if not SEED.exists():
        pytest.skip("needs the authors' results.csv in ../shared/seed")
    with SEED.open(newline="") as file:
        theirs = {(row["model_name"], int(row["memory"])): row for row in csv.DictReader(file)}
    ours = {(f"{bar.model}_{bar.engine}", bar.memory_mib): bar for bar in PUBLISHED}
    assert len(ours) == 24
    assert {k: (float(r["latency"]), float(r["qps"])) for k, r in theirs.items()} == {
        k: (bar.latency_ms, bar.qps) for k, bar in ours.items()
    }


def test_cpu_time_per_query_is_constant_over_the_sizes() -> None:
    """From 1536 MB on, to 3 %; the smallest size costs more."""
    found = shapes(PUBLISHED)
    assert {f"{m} {e}": round(s.vcpu_ms) for (m, e), s in found.items()} == {
        "mobilenet openvino": 54, "mobilenet tf": 88, "mobilenet caffe": 90, "ssd openvino": 120, "ssd tf": 238,
        "ssd caffe": 175,
    }  # fmt: skip
    assert max(shape.spread for shape in found.values()) < 0.03
    assert found["mobilenet", "openvino"].below[768] == pytest.approx(0.10, abs=0.01)


def test_two_labels_of_the_paper_are_exchanged() -> None:
    """SSD at 768 MB, TensorFlow and Caffe; no other pair is striking, and none where the labels are put right."""
    [found] = exchanges(PUBLISHED)
    assert (found.model, found.memory_mib, set(found.engines)) == ("ssd", 768, {"tf", "caffe"})
    assert found.exchanged < found.deviation / 3
    other = {"tf": "caffe", "caffe": "tf"}
    right = [
        replace(bar, engine=other.get(bar.engine, bar.engine)) if (bar.model, bar.memory_mib) == ("ssd", 768) else bar
        for bar in PUBLISHED
    ]
    assert exchanges(right) == []


def test_published_rates_are_not_the_functions() -> None:
    """They do not fall with the latency; where a function limits them they do."""
    assert rate_correlation(PUBLISHED) == pytest.approx(0.45, abs=0.01)
    limited = rate_correlation([*exact("ssd", "openvino", 120), *exact("mobilenet", "openvino", 54)])
    assert limited is not None
    assert limited < -0.5
    assert rate_correlation(PUBLISHED[:2]) is None


def test_engines_are_compared_by_cpu_time() -> None:
    """Against OpenVINO of the same model; without it there is no ratio."""
    bars = [*exact("ssd", "openvino", 100), *exact("ssd", "tf", 150), *exact("mobilenet", "tf", 80)]
    assert ratios(shapes(bars)) == {("ssd", "tf"): pytest.approx(1.5)}


def test_page_fits_and_shows_what_is_missing() -> None:
    """80 columns; a cell that was not measured is a dash."""
    printed = list(lines(PUBLISHED, exact("ssd", "openvino", 12)[:3]))
    assert max(map(len, printed)) <= 80
    [row] = [line for line in printed if line.startswith(" " * 20 + "ours") and "-" not in line[20:50]]
    assert row.split() == ["ours", "27.6", "13.8", "9.5", "-", "12.0", "0%"]


def test_command_reads_a_results_file(tmp_path: Path) -> None:
    """As text and as JSON; without one the paper alone; a file that is none is refused in one line."""
    (tmp_path / "results.csv").write_text("model_name,latency,qps,memory\nssd_openvino,10,5,3008\n")
    alone, both, document = (
        CliRunner().invoke(app, ["reproduce", *arguments])
        for arguments in ([], [str(tmp_path)], [str(tmp_path / "results.csv"), "--json"])
    )
    assert "ours" not in alone.output
    assert " ours " in both.output
    assert json.loads(document.output)["ours"]["vcpu_ms"] == {"ssd openvino": pytest.approx(10 * 3008 / 1769)}
    missing = CliRunner().invoke(app, ["reproduce", str(tmp_path / "none.csv")])
    assert "cannot be read as CSV" in str(missing.exception)
