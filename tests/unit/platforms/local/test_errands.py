"""Errands of the server: they answer, and end when they are not wanted any more."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import signal
import subprocess
import sys

from executor_functions import alive, executor, function, wait_for
import pytest

from serverless_mlperf.errors import PlatformError
from serverless_mlperf.platforms.local.errand import run_errand
from serverless_mlperf.platforms.local.isolation import sandbox_uid
from serverless_mlperf.platforms.local.runtime import make_runtime, prepare_runtime

WORK = """
import os, sys, time
from pathlib import Path
from serverless_mlperf.platforms.local.errand import end_with_server
from serverless_mlperf.owner import own_folder
end_with_server()
with own_folder("work-", Path(sys.argv[1])) as folder:
    (folder / "pid").write_text(str(os.getpid()))
    time.sleep(float(sys.argv[2]))
print("made")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An errand that works for a while, with something half made."""
    (tmp_path / "errand_of_a_test.py").write_text(WORK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "errand_of_a_test"


def started(folder: Path) -> int:
    """Wait until the errand is at work; its process id."""
    wait_for(lambda: any(path.read_text() for path in folder.glob("work-*/pid")), "errand is at work", 30)
    (path,) = folder.glob("work-*/pid")
    return int(path.read_text())


def test_errand_answers(tmp_path: Path, module: str) -> None:
    """Status, output and the last line of its complaint come back."""
    done = asyncio.run(run_errand(module, str(tmp_path), "0", deadline_s=60))
    assert (done.status, done.stdout, done.reason) == (0, b"made\n", "")
    failed = asyncio.run(run_errand(module, str(tmp_path / "none"), "0", deadline_s=60))
    assert failed.status == 1
    assert failed.reason.startswith("FileNotFoundError")


@pytest.mark.parametrize("how", ["cancelled", "late"])
def test_unwanted_errand_ends_and_cleans_up(tmp_path: Path, module: str, how: str) -> None:
    """Cancelled or too late, its process ends through its clean-up, and the caller is told."""

    async def scenario() -> int:
        task = asyncio.ensure_future(run_errand(module, str(tmp_path), "60", deadline_s=5 if how == "late" else 60))
        pid = await asyncio.to_thread(started, tmp_path)
        if how == "cancelled":
            task.cancel()
        with pytest.raises(PlatformError if how == "cancelled" else TimeoutError):
            await task
        return pid

    pid = asyncio.run(scenario())
    assert not alive(pid)
    assert not list(tmp_path.glob("work-*"))


@contextmanager
def owner(module: str, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has sent an errand."""
    code = (
        "import asyncio, sys; from serverless_mlperf.platforms.local.errand import run_errand;"
        "asyncio.run(run_errand(*sys.argv[1:], deadline_s=60))"
    )
    with subprocess.Popen([sys.executable, "-c", code, module, str(folder), "60"]) as process:
        try:
            yield process
        finally:
            process.kill()


def test_errand_of_a_killed_server_ends_and_cleans_up(tmp_path: Path, module: str) -> None:
    """SIGKILL of the one who sent it ends the errand too; nothing half made is left."""
    with owner(module, tmp_path) as process:
        pid = started(tmp_path)
        os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid), "errand is gone", 5)
    assert not list(tmp_path.glob("work-*"))


def test_runtime_made_by_an_errand_is_the_one_made_here() -> None:
    """What the errand prints names the same interpreter and folders."""
    assert asyncio.run(prepare_runtime(sandbox_uid())) == make_runtime(sandbox_uid())


def test_executor_closes_while_everything_is_being_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed before its runtime is there, it ends at once, tells the caller, and leaves nothing half made."""
    cache = tmp_path / "cache"
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    monkeypatch.setenv("SERVERLESS_MLPERF_CACHE", str(cache))

    async def scenario() -> None:
        async with executor(tmp_path) as running:
            call = asyncio.ensure_future(running.invoke(function(tmp_path), b"{}"))
            await asyncio.to_thread(
                wait_for, lambda: any(cache.glob("runtimes/.making-*")), "the runtime is being made", 30
            )
        with pytest.raises(PlatformError, match=r"shutting down|deleted|retired"):
            await call

    asyncio.run(scenario())
    assert not list(cache.rglob(".making-*"))
    assert not [path for path in cache.glob("runtimes/*") if path.is_dir()]
