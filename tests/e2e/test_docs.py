"""Every command in the documentation works as it is written, and the reference is what the commands say.

The reader's photographs are a few of each data set, so that a page takes no minutes. Three things are other than
written: what a reader puts in place of WEIGHTS and the like, that a busy host is neither waited for nor measured again,
and that MLPerf's own durations (--full, ten minutes a run) are quick ones.
"""

from collections.abc import Iterator
import os
from pathlib import Path
import re
import shutil
import signal
import socket
import subprocess
import sys
from threading import Timer

import pytest

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
BIN = Path(sys.executable).parent
DATA = {
    "WEIGHTS": SHARED / "weights",
    "RESULTS.csv": SHARED.parent / "seed" / "results.csv",
}
"""What a reader has to put in place of these words."""
PHOTOGRAPHS = {"IMAGENET": (SHARED / "imagenet", "images"), "COCO": (SHARED / "coco", "val2017")}
"""The same: a data set, and where in it the images are."""
PHOTOGRAPHS_COUNT = 24
NOT_HERE = {
    "make bench": "the main job: what it runs is what the pages' smaller runs do",
    "make test": "what runs this test",
}
PAGES = [
    "README.md",
    "docs/tutorial.md",
    *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs/guides").glob("*.md")),
]
LONG = (
    "docs/tutorial.md", "docs/guides/one-cell.md", "docs/guides/own-photographs.md", "docs/guides/submission.md",
)  # fmt: skip
"""Minutes of runs whose options other tests try one by one."""
DEADLINE_S = 300


def commands(page: str) -> list[str]:
    """The lines of a page's console blocks, comments left out."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / page).read_text(), re.S)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and line not in NOT_HERE]


def as_run_here(command: str, port: int, home: Path) -> str:
    """The command with this environment's programs, a free port, and data in place of the words for it."""
    command = re.sub(r'^make bench ARGS="(.*)"$', r".venv/bin/serverless-mlperf run \1", command)
    if re.search(r"serverless-mlperf run\b", command):
        command += " --retry-invalid 0 --wait-for-host 0"  # a busy host is not what is looked at here
    if "--full" in command:
        command = command.replace("--full", "--quick").replace("--samples 1024", "--samples 16")
    if "serverless-mlperf submission" in command:
        command += " --allow-invalid --force"  # quick runs are too short for MLPerf
    for word, folder in {**DATA, **{word: home / word for word in PHOTOGRAPHS}}.items():
        command = re.sub(rf"\b{word}\b", str(folder), command)
    return command.replace(".venv/bin/", f"{BIN}/").replace("4566", str(port))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's, with photographs; the pages share what is kept in it."""
    folder = tmp_path_factory.mktemp("home")
    if SHARED.is_dir():
        for word, (source, images) in PHOTOGRAPHS.items():
            (folder / word / images).mkdir(parents=True)
            listed = [path for path in source.iterdir() if path.is_file()]
            chosen = [(source / images / path.name) for path in sorted((source / images).iterdir())[:PHOTOGRAPHS_COUNT]]
            for path in (*listed, *chosen):
                shutil.copy(path, folder / word / path.relative_to(source))
    return folder


@pytest.fixture
def shell(tmp_path: Path, home: Path) -> Iterator[subprocess.Popen[str]]:
    """A shell in an empty folder, which ends with the processes it has put into the background."""
    environment = {**os.environ, "HOME": str(home)}
    process = subprocess.Popen(
        ["bash", "--norc"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        env=environment,
        start_new_session=True,
    )
    yield process
    assert process.stdin is not None
    if process.poll() is None:
        process.stdin.write("kill -INT $(jobs -p) 2>/dev/null; wait\nexit\n")
    process.communicate(timeout=DEADLINE_S)


def run(shell: subprocess.Popen[str], command: str) -> tuple[int, str]:
    """Run one command in the shell; its exit status and what it printed."""
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(f"{command}\necho '=== '$?\n")
    shell.stdin.flush()
    printed = ""
    watchdog = Timer(DEADLINE_S, os.killpg, (shell.pid, signal.SIGKILL))
    watchdog.start()
    try:
        for line in shell.stdout:
            if line.startswith("=== "):
                return int(line.split()[1]), printed
            printed += line
    finally:
        watchdog.cancel()
    raise AssertionError(f"the shell ended in {command}, or it took more than {DEADLINE_S} s: {printed}")


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.long] if page in LONG else []) for page in PAGES]
)
def test_commands_of_a_page(page: str, shell: subprocess.Popen[str], home: Path) -> None:
    """In the order in which they stand, in one folder, each ends with status 0 and no traceback."""
    wanted = commands(page)
    if (
        any(re.search(rf"\b{word}\b", command) for command in wanted for word in (*DATA, *PHOTOGRAPHS))
        and not SHARED.is_dir()
    ):
        pytest.skip("needs the weights and photographs in ../shared/data")
    port = free_port()
    for command in wanted:
        here = as_run_here(command, port, home)
        status, printed = run(shell, here)
        assert status == 0, f"{command}\n{printed}"
        assert "Traceback" not in printed
        if here.endswith("&"):
            listens = f"until (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.1; done"
            status, printed = run(shell, f"timeout 60 bash -c '{listens}'")  # what it prints may come meanwhile
            assert status == 0, f"{command}: nobody listens\n{printed}"


def test_reference_is_what_the_commands_say() -> None:
    """docs/commands.md is generated, and up to date."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "command_reference.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_links_between_pages_lead_somewhere() -> None:
    """Every relative link of every page names a file that is there, and a heading of it."""
    for page in [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", page.read_text()):
            name, _, anchor = target.partition("#")
            path = (page.parent / name).resolve()
            assert path.exists(), f"{page.name} -> {target}"
            headings = (
                [line.lstrip("# ") for line in path.read_text().splitlines() if line.startswith("#")] if anchor else []
            )
            known = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert not anchor or anchor in known, f"{page.name} -> {target}"
