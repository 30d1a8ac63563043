"""Functions that crash: the platform reports them as Lambda does, lives on, and its reports say why."""

import asyncio
from pathlib import Path
from typing import Any

from executor_functions import ask, executor, fault, function
import pytest

from full_disk import file_limit
from serverless_mlperf.errors import BenchmarkError
from serverless_mlperf.platforms.local.executor import LocalExecutor

SEGFAULT = "import ctypes\nctypes.string_at(0)\n"
"""What a native library does with a model it trusts: reads through a null pointer."""
AT_INIT = SEGFAULT + "def lambda_handler(event, context): pass\n"
AT_CALL = f"""
def lambda_handler(event, context):
    if event.get("act") == "crash":
        {SEGFAULT.replace(chr(10), "; ").rstrip("; ")}
    return {{"served": True}}
"""


RUNTIME = """
import http.client, os, socket, threading, time
address = os.environ["AWS_LAMBDA_RUNTIME_API"]
path = "/2018-06-01/runtime/invocation/"

def ask(method, name, body=None):
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request(method, path + name, body)
    return connection.getresponse()

def lambda_handler(event, context):
    return {"status": ask("GET", "next").status}
"""
LEAVES = """
connection = socket.create_connection(address.split(":"))
connection.sendall(f"GET {path}next HTTP/1.1\\r\\n\\r\\n".encode())
connection.shutdown(socket.SHUT_RDWR)
time.sleep(60)
"""
NESTS = """
given = ask("GET", "next")
name = given.headers["Lambda-Runtime-Aws-Request-Id"]
ask("POST", name + "/error", "[" * 100_000)
time.sleep(60)
"""


def test_handler_cannot_ask_for_a_second_invocation(tmp_path: Path) -> None:
    """A handler that asks the Runtime API for more work while it has some is refused, and served as before."""

    async def scenario() -> None:
        async with executor(tmp_path) as running:
            spec = function(tmp_path, source=RUNTIME)
            for _ in range(2):
                assert await ask(running, spec) == {"status": 403}
            assert running.status()["cold_starts"] == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(("act", "error_type"), [(LEAVES, "Sandbox.Timedout"), (NESTS, "Unhandled")])
def test_runtime_of_its_own_does_not_hang_its_caller(tmp_path: Path, act: str, error_type: str) -> None:
    """Code that asks for work and goes away, or answers with what no parser reads, fails its invocation alone."""

    async def scenario() -> None:
        async with executor(tmp_path) as running:
            spec = function(tmp_path, source=RUNTIME + act, timeout_s=1)
            answer = await asyncio.wait_for(running.invoke(spec, b"{}"), 15)
            assert answer.function_error == "Unhandled"
            # One that goes away may be found gone before it is handed its work.
            assert running.reports("probe")[-1]["error_type"] in {error_type, "Runtime.ExitError"}
            assert (await ask(running, function(tmp_path, "good", AT_CALL)))["served"]

    asyncio.run(scenario())


@pytest.mark.parametrize("source", [AT_INIT, AT_CALL])
def test_segmentation_fault_ends_one_environment_only(tmp_path: Path, source: str) -> None:
    """A native crash, in the init phase or in a call, is Runtime.ExitError; another function is served after it."""

    async def scenario() -> None:
        async with executor(tmp_path) as running:
            crashing = function(tmp_path, "crashing", source)
            document, log = await fault(running, crashing, act="crash")
            assert document["errorType"] == "Runtime.ExitError"
            assert document["errorMessage"].endswith("Error: Runtime exited with error: signal: segmentation fault")
            assert "Error Type: Runtime.ExitError" in log
            assert running.reports("crashing")[-1]["error_message"] == document["errorMessage"]
            assert (await ask(running, function(tmp_path, "good", AT_CALL)))["served"]

    asyncio.run(scenario())


def test_environment_that_crashed_is_replaced(tmp_path: Path) -> None:
    """The next call of the same function finds a new environment."""

    async def scenario() -> None:
        async with executor(tmp_path) as running:
            spec = function(tmp_path, source=AT_CALL)
            await fault(running, spec, act="crash")
            assert (await ask(running, spec))["served"]
            assert running.status()["cold_starts"] == 2

    asyncio.run(scenario())


def test_report_says_why_an_init_phase_failed(tmp_path: Path) -> None:
    """Of an event nobody gets the error document: its message is in the function's reports, in one line."""

    async def scenario() -> None:
        async with executor(tmp_path) as running:
            source = "raise ValueError('no model\\n  at all')\n"
            running.submit_event(function(tmp_path, source=source, max_retry_attempts=0), b"{}")
            (report,) = await _reports(running, 1)
            assert (report["status"], report["error_type"]) == ("error", "ValueError")
            assert report["error_message"] == "no model at all"

    asyncio.run(scenario())


def test_report_says_why_nothing_was_started(tmp_path: Path) -> None:
    """A package that cannot be unpacked never becomes a process, and its event is reported all the same."""

    async def scenario() -> None:
        async with executor(tmp_path) as running:
            spec = function(tmp_path, source="# damaged, by event\n", max_retry_attempts=0)
            spec.code_zip.write_bytes(b"PK\x03\x04 this is no zip")
            running.submit_event(spec, b"{}")
            (report,) = await _reports(running, 1)
            assert (report["status"], report["error_type"], report["billed_ms"]) == ("error", "PackageError", 0)
            assert "probe.zip: is not the package of digest" in report["error_message"]
            with pytest.raises(BenchmarkError, match=r"probe\.zip"):
                await running.invoke(spec, b"{}")

    asyncio.run(scenario())


async def _reports(running: LocalExecutor, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(20):
        while len(running.reports("probe")) < count:
            await asyncio.sleep(0.01)
    return running.reports("probe")


def test_full_cache_is_told_by_the_report(tmp_path: Path) -> None:
    """A package that finds no room in the cache fails its invocation with the reason; nothing is left half unpacked."""

    async def scenario() -> None:
        async with executor(tmp_path) as running:
            assert (await ask(running, function(tmp_path, "first", AT_CALL)))["served"]
            spec = function(tmp_path, source=AT_CALL + "#" * 5000, max_retry_attempts=0)
            with file_limit(1000):
                running.submit_event(spec, b"{}")
                (report,) = await _reports(running, 1)
            assert report["error_type"] == "PackageError"
            assert "File too large); free disk space, or build or upload it again" in report["error_message"]
            assert (await ask(running, spec))["served"]

    asyncio.run(scenario())
