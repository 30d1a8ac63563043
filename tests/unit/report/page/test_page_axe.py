"""The page under axe-core and through a real browser's media: light and dark, phone and print, keyboard alone."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from browser import BROWSER, needs_browser
from page_results import make_results
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
import pytest

from serverless_mlperf.report.page.build import read_page, write_page

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
PHONE = {"width": 390, "height": 844}
SERIOUS = ("serious", "critical")

pytestmark = needs_browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the paper's matrix, one cell of which is not VALID."""
    folder = tmp_path_factory.mktemp("page")
    write_page(read_page([make_results(folder / "results").path]), folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


def opened(context: BrowserContext, report: Path) -> Page:
    """The page once it is drawn; whatever the console says fails the test."""
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(report.as_uri())
    page.wait_for_function("document.body.dataset.ready === 'true'")
    assert said == []
    return page


def violations(page: Page) -> list[str]:
    """What axe-core finds that is serious or worse, and where."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert found["passes"], "axe-core looked at nothing"
    return [
        f"{each['id']}: {node['target']}"
        for each in found["violations"]
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


@pytest.mark.parametrize(("scheme", "size"), [("light", {"width": 1200, "height": 900}), ("dark", PHONE)])
def test_axe_finds_nothing_serious(browser: Browser, report: Path, scheme: str, size: dict[str, int]) -> None:
    """With every table open, in both colour schemes and sizes, and nothing is wider than the screen."""
    with browser.new_context(offline=True, color_scheme=scheme, viewport=size) as context:  # type: ignore[arg-type]
        page = opened(context, report)
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        page.wait_for_function("document.querySelectorAll('.figure details tbody tr').length > 0")
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_axe_finds_what_is_wrong(browser: Browser, report: Path) -> None:
    """The check can fail: a button without a name is found."""
    with browser.new_context(offline=True) as context:
        page = opened(context, report)
        page.evaluate("document.querySelector('main').prepend(document.createElement('button'))")
        assert [each.partition(":")[0] for each in violations(page)] == ["button-name"]


def test_keyboard_reaches_everything_that_can_be_used(browser: Browser, report: Path) -> None:
    """Tab goes from the skip link through every filter and heading; space filters, enter sorts."""
    with browser.new_context(offline=True) as context:
        page = opened(context, report)
        reached = []
        for _ in range(25):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.textContent.trim() || document.activeElement.value"))
            if reached[-1] == "768":
                page.keyboard.press("Space")
            if reached[-1] == "p50 ms":
                page.keyboard.press("Enter")
        assert reached[0] == "Skip to the verdicts"
        assert {"classification", "ie-ir", "768", "verdict", "p50 ms"} <= set(reached)
        assert page.text_content("#shown") == "18 of 24 cells are shown."
        assert page.get_attribute('th:has([data-column="p50_ms"])', "aria-sort") == "ascending"


def test_figures_are_saved_as_they_are_seen(browser: Browser, report: Path) -> None:
    """SVG, PNG and CSV, under the figure's name."""
    with browser.new_context(offline=True) as context:
        page = opened(context, report)
        page.click("#qps summary")
        for label, name in (("Save as SVG", "qps.svg"), ("Save as PNG", "qps.png"), ("Save as CSV", "qps.csv")):
            with page.expect_download() as download:
                page.click(f'#qps button:has-text("{label}")')
            assert download.value.suggested_filename == name
            assert download.value.path().stat().st_size > 200


def test_print_shows_all_rows_and_no_controls(browser: Browser, report: Path) -> None:
    """On paper nothing scrolls and nothing can be clicked; figures are not wider than the sheet."""
    with browser.new_context(offline=True, viewport={"width": 794, "height": 1123}) as context:
        page = opened(context, report)
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.getElementById('filters')).display") == "none"
        assert page.evaluate("[...document.querySelectorAll('.save')].every((each) => !each.offsetParent)")
        scroll = "document.querySelector('#verdicts .scroll')"
        assert page.evaluate(f"{scroll}.scrollHeight <= {scroll}.clientHeight")
        assert page.evaluate("document.documentElement.scrollWidth") <= 794
