"""A small function package with a handler for every way to behave, and an executor to run it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
import hashlib
import json
from pathlib import Path
import sys
import time
from typing import Any
import zipfile

import pytest

from serverless_mlperf.platforms.local.executor import LocalExecutor
from serverless_mlperf.platforms.local.model import FunctionSpec

APP = """
import hashlib, json, os, sys, threading, time

behaviour = os.environ.get("INIT")
if behaviour == "fail":
    raise ValueError("cannot load")
if behaviour == "exit":
    os._exit(5)
if behaviour == "slow":
    time.sleep(float(os.environ["INIT_S"]))
calls = 0

def spin(seconds):
    end, block = time.perf_counter() + seconds, bytes(1 << 18)
    while time.perf_counter() < end:
        hashlib.sha256(block)  # releases the GIL

def lambda_handler(event, context):
    global calls
    calls += 1
    act = event.get("act")
    if act == "spin":
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        threads = [threading.Thread(target=spin, args=(event["s"],)) for _ in range(event.get("threads", 1))]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        return {"cpu_ns": time.process_time_ns() - cpu, "wall_ns": time.perf_counter_ns() - wall}
    if act == "spin_in_child":
        import subprocess
        source = f"import time\\nwhile time.process_time() < {event['s']}: pass\\nprint(1, flush=True)\\n"
        source += "" if event["wait"] else "time.sleep(60)\\n"
        for _ in range(event.get("depth", 1) - 1):
            source = f"import subprocess, sys\\nsubprocess.run([sys.executable, '-S', '-c', {source!r}])\\n"
        child = subprocess.Popen([sys.executable, "-S", "-c", source], stdout=subprocess.PIPE)
        child.stdout.readline()
        if event["wait"]: child.wait()
    if act == "sleep":
        time.sleep(event["s"])
    if act == "fail":
        raise ValueError("no good")
    if act == "exit":
        os._exit(3)
    if act == "allocate":
        block = bytearray(event["mib"] << 20); time.sleep(30)
    if act == "large":
        return "x" * (7 << 20)
    if act == "log":
        for line in event["lines"]: print(line)
    if act == "fail_until":
        with open(event["path"], "a") as file: file.write("x")
        if os.path.getsize(event["path"]) < event["times"]: raise ValueError("not yet")
    if act == "environment":
        return {"variables": dict(os.environ), "uid": os.getuid(), "cwd": os.getcwd(), "path": sys.path,
                "cores": len(os.sched_getaffinity(0)), "nice": os.getpriority(os.PRIO_PROCESS, 0)}
    return {"pid": os.getpid(), "calls": calls, "event": event, "remaining_ms": context.get_remaining_time_in_millis(),
            "request_id": context.aws_request_id, "stream": context.log_stream_name}
"""


@asynccontextmanager
async def executor(tmp_path: Path, **options: Any) -> AsyncIterator[LocalExecutor]:
    """An executor on the running loop, closed afterwards."""
    running = LocalExecutor("http://127.0.0.1:9", tmp_path, **options)
    try:
        yield running
    finally:
        await running.close()


def function(
    tmp_path: Path, name: str = "probe", source: str = APP, modules: Mapping[str, str] | None = None, **fields: Any
) -> FunctionSpec:
    """A function whose package, `app.py` and what else is given, is made here."""
    path = tmp_path / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as package:
        for member, text in {"app.py": source, **(modules or {})}.items():
            package.writestr(zipfile.ZipInfo(member), text)
    values: dict[str, Any] = {
        "arn": f"arn:aws:lambda:us-east-1:000000000000:function:{name}",
        "handler": "app.lambda_handler",
        "runtime": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "memory_mib": 1536,
        "timeout_s": 20,
        "revision_id": "1",
        **fields,
    }
    return FunctionSpec(name=name, code_zip=path, code_sha256=hashlib.sha256(path.read_bytes()).hexdigest(), **values)


async def ask(running: LocalExecutor, spec: FunctionSpec, **event: Any) -> Any:
    """Invoke and return the handler's answer; an error of the function fails the test."""
    answer = await running.invoke(spec, json.dumps(event).encode())
    assert answer.function_error is None, answer.payload
    return json.loads(answer.payload)


async def fault(running: LocalExecutor, spec: FunctionSpec, **event: Any) -> tuple[dict[str, Any], str]:
    """Invoke a function that is expected to fail; returns the error document and the log tail."""
    answer = await running.invoke(spec, json.dumps(event).encode(), log_tail=True)
    assert answer.function_error == "Unhandled"
    return json.loads(answer.payload), answer.log_tail.decode()


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition: Callable[[], bool], what: str, deadline_s: float = 10) -> None:
    """Wait until something holds."""
    give_up = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > give_up:
            pytest.fail(f"{what}: not within {deadline_s} s")
        time.sleep(0.01)  # of conditions of any kind: looked at again


async def until(condition: Callable[[], bool], deadline_s: float = 120) -> None:
    """The same on the running loop; a first test waits for the runtime, too."""
    async with asyncio.timeout(deadline_s):
        while not condition():
            await asyncio.sleep(0.01)
