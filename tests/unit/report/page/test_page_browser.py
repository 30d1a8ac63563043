"""The page in a real browser, from a file, with the network off."""

import json
from pathlib import Path
import re
import subprocess

from browser import BROWSER, needs_browser
from page_results import make_results

from serverless_mlperf.report.page.build import read_page, write_page

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1200,900",
    "--virtual-time-budget=20000",
)  # fmt: skip
WATCH = """<script>
window.faults = [];
addEventListener("error", (event) => faults.push(event.message || String(event.target.src)), true);
</script>"""
PROBE = """<script>
const tell = {};
const rows = () => [...document.querySelectorAll("#runs tbody tr")].filter((row) => !row.hidden);
const column = (name) => rows().map((row) => row.children[[...document.querySelectorAll("#runs th")].findIndex(
  (th) => th.textContent.trim() === name)].textContent);
tell.ready = document.body.dataset.ready;
tell.title = document.title;
tell.drawn = Object.fromEntries([...document.querySelectorAll(".figure")].map(
  (f) => [f.id, f.querySelectorAll(".plot .trace, .plot .points path, .plot .point").length]));
document.querySelector('[data-column="p50_ms"]').click();
tell.ascending = column("p50 ms").map(Number);
document.querySelector('[data-column="p50_ms"]').click();
tell.descending = column("p50 ms").map(Number);
for (const value of ["ocv-cf", "ocv-tf", "768"]) document.querySelector(`#filters input[value="${value}"]`).click();
tell.engines = [...new Set(column("engine"))];
tell.memory = [...new Set(column("memory mib"))];
tell.shown = document.getElementById("shown").textContent;
tell.series = document.querySelector("#qps .plot").data.map((trace) => trace.name);
document.querySelector("#qps details").open = true;
setTimeout(() => {
  tell.table = document.querySelectorAll("#qps details tbody tr").length;
  tell.unlabelled = [...document.querySelectorAll("input, button")].filter(
    (e) => !(e.closest("label") || e.textContent.trim() || e.getAttribute("aria-label"))).length;
  tell.faults = faults;
  const out = document.createElement("pre");
  out.id = "told";
  out.textContent = JSON.stringify(tell);
  document.body.append(out);
}, 500);
</script>"""


@needs_browser
def test_page_works_from_a_file_with_the_network_off(tmp_path: Path) -> None:
    """Every figure draws, the table sorts, filters hold for table and figures; no error, and nothing is injected."""
    page = tmp_path / "report.html"
    write_page(read_page([make_results(tmp_path / "results", hostile=HOSTILE).path]), page)
    html = page.read_text()
    assert not re.search(r'(?:src|href)="(?:https?:)?//', html.partition("<script>")[0])
    page.write_text(html.replace("<head>", f"<head>{WATCH}").replace("</body>", f"{PROBE}</body>"))
    command = [str(BROWSER), *OPTIONS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    told = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.S)
    assert told, done.stderr[-2000:]
    found = json.loads(told.group(1).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert (found["ready"], found["faults"]) == ("true", [])
    assert "owned" not in found["title"]
    assert len(found["drawn"]) == 10
    assert all(found["drawn"].values()), found["drawn"]
    assert found["ascending"] == sorted(found["ascending"]) == found["descending"][::-1]
    assert (found["engines"], sorted(found["memory"])) == (["ie-ir"], ["1536", "2240", "3008"])
    assert found["shown"] == "6 of 24 cells are shown."
    assert sorted(found["series"]) == ["mobilenet openvino", "ssd openvino"]
    assert (found["table"], found["unlabelled"]) == (6, 0)


def test_page_of_the_papers_matrix_is_small(tmp_path: Path) -> None:
    """Below 6 MB, the library included."""
    write_page(read_page([make_results(tmp_path / "results", queries=128).path]), tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 6_000_000
