"""kill -9 of a server's processes: all of its environments ends, what is left is removed, one line says why."""

from collections.abc import Iterator
from contextlib import contextmanager
import io
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any
import zipfile

import pytest

from local_server import client, raw

MODULE = "serverless_mlperf.platforms.local.service"
DEADLINE_S = 5
SOURCE = """
import os, subprocess, time
def lambda_handler(event, context):
    child = subprocess.Popen(["sleep", "600"])
    if event.get("busy"):
        while True: pass
    return [os.getpid(), child.pid]
"""


def descendants(pid: int) -> set[int]:
    """Processes below one."""
    below = {
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    }
    return below.union(*(descendants(child) for child in below))


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Any, what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait until something holds."""
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, what
        signal.sigtimedwait([], 0.01)


@contextmanager
def server(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server whose temporary files are in a folder; killed at the end if it still runs."""
    folder.chmod(0o755)
    for each in folder.parents[:3]:
        each.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", MODULE, "--parent-stdin", "--isolation", "plain"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip
    with process:
        try:
            assert process.stdout is not None
            yield process, f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        finally:
            process.kill()


def deploy(url: str) -> Any:
    """A client with the function `family`, one environment of it frozen and one busy, each with a child."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("app.py", SOURCE)
    functions = client("lambda", url)
    functions.create_function(
        FunctionName="family", Runtime=f"python{sys.version_info.major}.{sys.version_info.minor}", Timeout=60,
        Role="arn:aws:iam::000000000000:role/r", Handler="app.lambda_handler", MemorySize=512,
        Code={"ZipFile": package.getvalue()},
    )  # fmt: skip
    functions.get_waiter("function_active_v2").wait(FunctionName="family")
    functions.invoke(FunctionName="family", InvocationType="Event", Payload=b'{"busy": true}')
    wait_until(lambda: "busy" in states(url), "one is busy", 20)
    functions.invoke(FunctionName="family", Payload=b"{}")
    wait_until(lambda: states(url) == ["busy", "frozen"], "the other is frozen", 20)
    return functions


def status(url: str) -> Any:
    """The executor's part of the status page."""
    return json.loads(raw(url, "GET", "/_platform/status").body)["executor"]


def states(url: str) -> list[str]:
    """What the environments are at."""
    return sorted(environment["state"] for environment in status(url)["environments"])


@pytest.mark.parametrize("victim", ["server", "controller"])
def test_nothing_outlives_a_killed_server(tmp_path: Path, victim: str) -> None:
    """Controller, frozen and busy environments and their children end; the server's folder goes with the next start.

    Without its controller the server ends by itself, and says so in one line.
    """
    with server(tmp_path) as (process, url):
        deploy(url).close()
        controller = status(url)["controller"]["pid"]
        # Two environments with a child each, and their controller; the server asks now and then for something brief.
        wait_until(lambda: len(descendants(process.pid)) == 5, "the family is complete")
        family = descendants(process.pid)
        os.kill(process.pid if victim == "server" else controller, signal.SIGKILL)
        wait_until(lambda: not any(alive(pid) for pid in family), "the family has ended")
        wait_until(lambda: process.poll() is not None, "the server has ended")
        _, said = process.communicate()
    if victim == "controller":
        assert process.returncode == 1
        assert said.decode().count("\n") == 1
        assert said.startswith(b"error: local platform: controller process ")
    with server(tmp_path) as (process, url):
        assert len(list(tmp_path.iterdir())) == 1  # its own
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert list(tmp_path.iterdir()) == []


def test_killed_environment_is_replaced(tmp_path: Path) -> None:
    """A frozen environment that is killed from outside serves no more: the next call finds a new one."""
    with server(tmp_path) as (_, url):
        functions = deploy(url)
        victim = next(e["pid"] for e in status(url)["environments"] if e["state"] == "frozen")
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: states(url) == ["busy"], "its end is noticed")
        answer = functions.invoke(FunctionName="family", Payload=b"{}")
        assert "FunctionError" not in answer
        assert json.loads(answer["Payload"].read())[0] != victim
        functions.close()
