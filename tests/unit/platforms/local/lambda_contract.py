"""One executor per kind of isolation, shared by the tests of Lambda's contract: each brings a function of its own."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
import json
from pathlib import Path
from typing import Any, TypeVar

from executor_functions import function
import pytest

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.local.executor import LocalExecutor
from serverless_mlperf.platforms.local.isolation import Isolation, choose_isolation
from serverless_mlperf.platforms.local.model import FunctionSpec, Invocation
from serverless_mlperf.platforms.local.service_model import ServiceModel

T = TypeVar("T")
APP = """
import json, os, signal, subprocess, sys, tempfile, threading, time
at_init = dict(os.environ)
count = 0

def crash(event, context):
    if event == "memory":
        block = bytearray(300 << 20); time.sleep(30)
    if event == "sleep": time.sleep(30)
    if isinstance(event, int): os._exit(event)
    os.kill(os.getpid(), getattr(signal, event))
    time.sleep(30)

def seen(event, context):
    return {
        "variables": dict(os.environ), "at_init": at_init, "cwd": os.getcwd(), "path": sys.path, "uid": os.getuid(),
        "argv": sys.orig_argv, "cores": len(os.sched_getaffinity(0)), "nproc": int(subprocess.check_output("nproc")),
        "file": __file__, "root": os.listdir("/"), "left_ms": context.get_remaining_time_in_millis(),
        "context": {name: getattr(context, name) for name in (
            "function_name", "function_version", "invoked_function_arn", "memory_limit_in_mb", "aws_request_id",
            "log_group_name", "log_stream_name")},
    }

def write(path):
    try:
        with open(path + "/probe", "w"): return True
    except OSError: return False

def probe(event, context):
    return {"written": [path for path in event["write"] if write(path)],
            "seen": [path for path in event["see"] if os.path.exists(path)],
            "pids": [int(name) for name in os.listdir("/proc") if name.isdecimal()]}

def keep(event, context):
    folder = tempfile.gettempdir()
    before = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    open(folder + "/" + event, "w").close()
    return before

def work():
    global count
    while True: count += 1

def background(event, context):
    if event: threading.Thread(target=work, daemon=True).start()
    return count

def children(event, context):
    for session in (False, True): subprocess.Popen(["sleep", event], start_new_session=session)

def echo(event, context):
    if "give" in event: return "x" * (event["give"] - 2)
    for _ in range(event["lines"]): print("x" * 999)
    return len(json.dumps(event["data"]))

def fill(event, context):
    with open(tempfile.gettempdir() + "/" + event["name"], "wb") as file:
        for _ in range(event["mib"]): file.write(bytes(1 << 20))
    time.sleep(event["s"])
"""
MODULES = {
    "damaged.py": "def handler(:\n",
    "slow.py": "import time; time.sleep(30)\n",
    "second.py": """
import os, tempfile
mark = tempfile.gettempdir() + "/mark"
if not os.path.exists(mark):
    open(mark, "w").close()
    os._exit(7)
def handler(event, context): return "served"
""",
}
"""One package for all: each test has a handler of its own, none waits for zlib."""


class Platform:
    """An executor on an event loop of its own, driven from outside."""

    def __init__(self, runner: asyncio.Runner, executor: LocalExecutor, folder: Path, isolation: Isolation) -> None:
        self._runner, self.executor, self.folder, self.isolation = runner, executor, folder, isolation
        self.sandboxed = isolation.bwrap is not None
        self._made = 0

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What a coroutine returns, within a minute."""
        return self._runner.run(asyncio.wait_for(coroutine, 60))

    def function(self, handler: str, **fields: Any) -> FunctionSpec:
        """A function with a name of its own."""
        self._made += 1
        return function(self.folder, f"contract-{self._made}", APP, MODULES, handler=handler, **fields)

    def invoke(self, spec: FunctionSpec, event: object = None) -> Invocation:
        """One invocation with its log."""
        return self.run(self.executor.invoke(spec, json.dumps(event).encode(), log_tail=True))

    def answer(self, spec: FunctionSpec, event: object = None) -> Any:
        """What the handler returns."""
        done = self.invoke(spec, event)
        assert done.function_error is None, done.payload
        return json.loads(done.payload)

    def failure(self, spec: FunctionSpec, event: object = None) -> tuple[dict[str, Any], list[str]]:
        """The error document and the lines of the log."""
        done = self.invoke(spec, event)
        assert done.function_error == "Unhandled", done.payload
        return json.loads(done.payload), done.log_tail.decode().splitlines()

    def environment(self, spec: FunctionSpec) -> dict[str, Any]:
        """The status of its one environment."""
        described: list[dict[str, Any]] = self.executor.status()["environments"]
        (found,) = [e for e in described if e["function"] == spec.name]
        return found

    def retire(self, spec: FunctionSpec) -> None:
        """End its environments."""
        self.run(self.executor.retire(spec.name))


@contextmanager
def platform_of(kind: str, folder: Path, model: ServiceModel | None = None) -> Iterator[Platform]:
    """The platform with one kind of isolation; skips where this host has it not."""
    try:
        isolation = choose_isolation(kind)
    except InputError as error:
        pytest.skip(str(error))
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)  # functions run as another user when the tests run as root
    with asyncio.Runner() as runner:

        async def made() -> LocalExecutor:
            return LocalExecutor("http://127.0.0.1:9", folder, model, isolation=isolation)

        executor = runner.run(made())
        try:
            yield Platform(runner, executor, folder, isolation)
        finally:
            runner.run(executor.close())
