"""Nothing outlives what it belongs to: functions, executors, servers that are killed."""

import asyncio
import json
import os
from pathlib import Path
import signal
import subprocess
import sys

from executor_functions import alive, ask, executor, function, wait_for
import pytest

from serverless_mlperf.errors import PlatformError
from serverless_mlperf.platforms.local.executor import LocalExecutor

SERVER = """
import asyncio, json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from executor_functions import ask, executor, function

async def serve():
    folder = Path(sys.argv[2])
    async with executor(folder) as running:
        spec = function(folder, memory_mib=768)
        frozen = await ask(running, spec)
        busy = function(folder, "busy", memory_mib=768)
        pid = (await ask(running, busy))["pid"]
        asyncio.ensure_future(ask(running, busy, act="spin", s=60))
        print(json.dumps([frozen["pid"], pid, running.status()["controller"]["pid"]]), flush=True)
        await asyncio.sleep(60)

asyncio.run(serve())
"""


def test_retire_leaves_no_process(tmp_path: Path) -> None:
    """After retire the idle, the busy and the starting environments of a function are gone, others are not."""

    async def scenario() -> None:
        async with executor(tmp_path) as running:
            spec, other = function(tmp_path, memory_mib=768), function(tmp_path, "other", memory_mib=768)
            pids = {(await ask(running, spec))["pid"]}
            survivor = (await ask(running, other))["pid"]
            calls = [asyncio.ensure_future(running.invoke(spec, b'{"act": "sleep", "s": 30}')) for _ in range(3)]
            await asyncio.sleep(0)
            pids |= {e["pid"] for e in running.status()["environments"] if e["function"] == "probe" and e["pid"]}
            await running.retire("probe")
            assert not any(alive(pid) for pid in pids)
            assert [e["function"] for e in running.status()["environments"]] == ["other"]
            assert alive(survivor)
            for ended in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(ended, PlatformError) or getattr(ended, "function_error", None) == "Unhandled"
            # Only the other function's environment may still be on its way from an answer to the next request.
            await asyncio.wait_for(_nothing_runs(running), 10)

    asyncio.run(scenario())


def test_close_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    """After close neither environments nor the controller exist, and the private folders are removed."""

    async def scenario() -> list[int]:
        async with executor(tmp_path) as running:
            answer = await ask(running, function(tmp_path), act="environment")
            private = Path(answer["variables"]["TMPDIR"])
            assert private.is_dir()
            status = running.status()
            pids = [status["controller"]["pid"], *(e["pid"] for e in status["environments"])]
        assert not private.parent.parent.exists()
        return pids

    assert not any(alive(pid) for pid in asyncio.run(scenario()))


def test_function_children_end_with_their_environment(tmp_path: Path) -> None:
    """A process that a function has started and left behind is killed with its environment."""
    source = "import subprocess\ndef lambda_handler(event, context): return subprocess.Popen(['sleep', '60']).pid\n"

    async def scenario() -> None:
        async with executor(tmp_path) as running:
            pid = await ask(running, function(tmp_path, source=source))
            assert alive(pid)
            await running.retire("probe")
            await asyncio.to_thread(wait_for, lambda: not alive(pid), "child of the function is gone")

    asyncio.run(scenario())


@pytest.mark.parametrize("victim", ["server", "controller"])
def test_nothing_outlives_a_kill(tmp_path: Path, victim: str) -> None:
    """When the server or the controller is killed with SIGKILL, frozen and running environments die at once."""
    folders = [str(Path(__file__).parent), str(tmp_path)]
    command = [sys.executable, "-c", SERVER, *folders]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as server:
        try:
            assert server.stdout is not None
            frozen, busy, controller = json.loads(server.stdout.readline())
            os.kill(server.pid if victim == "server" else controller, signal.SIGKILL)
            for pid in (frozen, busy, controller):
                wait_for(lambda pid=pid: not alive(pid), f"process {pid} is gone", 5)  # type: ignore[misc]
        finally:
            server.kill()


def test_dead_controller_is_an_error_not_a_hang(tmp_path: Path) -> None:
    """Without its controller the executor answers with an error, also the call that was under way."""

    async def scenario() -> None:
        async with executor(tmp_path) as running:
            spec = function(tmp_path)
            await ask(running, spec)
            await asyncio.to_thread(wait_for, lambda: running.status()["environments"][0]["state"] == "frozen", "idle")
            call = asyncio.ensure_future(running.invoke(spec, b'{"act": "sleep", "s": 30}'))
            await asyncio.sleep(0)
            os.kill(running.status()["controller"]["pid"], signal.SIGKILL)
            assert (await call).function_error == "Unhandled"
            with pytest.raises(PlatformError, match="controller"):
                await running.invoke(spec, b"{}")

    asyncio.run(scenario())


async def _nothing_runs(running: LocalExecutor) -> None:
    while running.status()["running"]:
        await asyncio.sleep(0.01)
