"""The page's figures as files: every one in every format, drawn from the page's own rows."""

from dataclasses import replace
from pathlib import Path
import xml.etree.ElementTree as ET

from page_results import make_results
from PIL import Image
import pytest
from typer.testing import CliRunner

from serverless_mlperf.cli import app
from serverless_mlperf.errors import InputError
from serverless_mlperf.report.page.build import read_page
from serverless_mlperf.report.page.model import Figure, Page
from serverless_mlperf.report.page.plates import draw_plates


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Of two sizes, which is as good as four."""
    return read_page([make_results(tmp_path_factory.mktemp("results"), memory=(768, 3008)).path])


def texts(path: Path) -> set[str]:
    """What an SVG file says."""
    return {"".join(each.itertext()).strip() for each in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")}  # noqa: S314


def test_every_figure_is_drawn_in_every_format(page: Page, tmp_path: Path) -> None:
    """Ten figures, thirty files; each names its title and all its series, and is more than an empty sheet."""
    written = draw_plates(page.figures, tmp_path / "figures")
    assert len(written) == 3 * len(page.figures) == 30
    for figure in page.figures:
        stem = tmp_path / "figures" / figure.id
        said = texts(stem.with_suffix(".svg"))
        assert {figure.title, *(str(row[figure.series]) for row in figure.rows)} <= said
        assert stem.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        with Image.open(stem.with_suffix(".png")) as picture:
            assert len(set(picture.convert("L").tobytes())) > 10


def test_the_same_rows_give_the_same_files(page: Page, tmp_path: Path) -> None:
    """No dates, no random ids."""
    first, again = (draw_plates(page.figures[:2], tmp_path / name) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]


def test_what_is_not_known_is_not_drawn(page: Page, tmp_path: Path) -> None:
    """A value that is None, its interval with it, leaves a gap and no error."""
    bars = page.figures[0]
    gaps = [{**row, bars.y: None, "low_ms": None, "high_ms": None} for row in bars.rows[:1]]
    assert len(draw_plates([replace(bars, rows=[*gaps, *bars.rows[1:]])], tmp_path)) == 3


def test_command_writes_page_and_figures(tmp_path: Path) -> None:
    """`report --figures` names what it wrote; a folder that cannot be one is refused in one line."""
    folder = make_results(tmp_path / "results", memory=(768,))
    done = CliRunner().invoke(app, ["report", str(folder.path), "--figures", str(tmp_path / "plates")])
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "plates").iterdir())) == len(done.stdout.splitlines()) - 1 == 30
    refused = CliRunner().invoke(app, ["report", str(folder.path), "--figures", str(folder.path / "experiment.json")])
    assert isinstance(refused.exception, InputError)
    assert "cannot be written" in str(refused.exception)


def test_lying_bars_add_up(tmp_path: Path) -> None:
    """The series of a stack lie end to end: the last one ends at the sum."""
    rows = [{"label": "a", "phase": name, "ms": ms, "cell": "a"} for name, ms in (("x", 2.0), ("y", 3.0))]
    figure = Figure("sum", "Sum", "", "stack", "ms", "label", "phase", "ms", "", rows)
    svg, *_ = (path for path in draw_plates([figure], tmp_path) if path.suffix == ".svg")
    assert {"x", "y", "a", "5"} <= texts(svg)
