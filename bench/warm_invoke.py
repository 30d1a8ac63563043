"""Overhead of the local platform: cold start, warm no-op call and event throughput of an empty handler.

Run: python bench/warm_invoke.py
"""

import asyncio
from collections.abc import Sequence
import hashlib
import json
from pathlib import Path
from statistics import median, quantiles
import sys
import tempfile
import time
import zipfile

from serverless_mlperf.platforms.local.executor import LocalExecutor
from serverless_mlperf.platforms.local.model import FunctionSpec
from serverless_mlperf.workloads import MEMORY_MIB

COLD_STARTS = 8
CALLS = 2000
EVENTS = 2000
HANDLER = "def lambda_handler(event, context): return event\n"


def function(folder: Path, memory_mib: int, name: str, source: str = HANDLER) -> FunctionSpec:
    """A function, empty unless given."""
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as package:
        package.writestr(zipfile.ZipInfo("app.py"), source)
    return FunctionSpec(
        name=name,
        arn=f"arn:aws:lambda:us-east-1:000000000000:function:{name}",
        handler="app.lambda_handler",
        runtime=f"python{sys.version_info.major}.{sys.version_info.minor}",
        memory_mib=memory_mib,
        timeout_s=30,
        revision_id="1",
        code_zip=path,
        code_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


async def cold_starts(executor: LocalExecutor, folder: Path) -> tuple[list[float], list[float]]:
    """Client-side ms of first calls, and their init phases."""
    walls, inits = [], []
    for number in range(COLD_STARTS):
        spec = function(folder, 1536, f"cold{number}")
        begun = time.perf_counter()
        await executor.invoke(spec, b"{}")
        walls.append((time.perf_counter() - begun) * 1e3)
        inits.append(executor.reports(spec.name)[0]["init_ms"])
        await executor.retire(spec.name)
    return walls, inits


async def warm_calls(executor: LocalExecutor, spec: FunctionSpec, pause_s: float = 0) -> list[float]:
    """Client-side ms of calls one after the other."""
    walls = []
    for _ in range(CALLS if not pause_s else CALLS // 20):
        if pause_s:
            await asyncio.sleep(pause_s)
        begun = time.perf_counter()
        await executor.invoke(spec, b"{}")
        walls.append((time.perf_counter() - begun) * 1e3)
    return walls


async def events_per_s(executor: LocalExecutor, spec: FunctionSpec) -> tuple[float, float]:
    """Throughput of a backlog of events, and the server's CPU ms per event."""
    before = executor.status()["events"]["delivered"]
    begun, cpu = time.perf_counter(), time.process_time()
    for _ in range(EVENTS):
        executor.submit_event(spec, b"{}")
    while executor.status()["events"]["delivered"] < before + EVENTS:
        await asyncio.sleep(0.005)
    return EVENTS / (time.perf_counter() - begun), (time.process_time() - cpu) / EVENTS * 1e3


def line(name: str, values: Sequence[float]) -> str:
    """Median and p99."""
    return f"{name:42s} p50 {median(values):8.3f} ms   p99 {quantiles(values, n=100)[98]:8.3f} ms"


async def main() -> None:
    """Print all figures."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        executor = LocalExecutor("http://127.0.0.1:9", folder)
        try:
            await executor.invoke(function(folder, 1536, "first"), b"{}")
            walls, inits = await cold_starts(executor, folder)
            print(line("cold start, first call", walls))
            print(line("cold start, init phase", inits))
            for memory_mib in MEMORY_MIB:
                spec = function(folder, memory_mib, f"warm{memory_mib}")
                await executor.invoke(spec, b"{}")
                print(line(f"warm no-op, {memory_mib} MB, back to back", await warm_calls(executor, spec)))
                print(line(f"warm no-op, {memory_mib} MB, 50 per s", await warm_calls(executor, spec, 0.02)))
            rate, cpu_ms = await events_per_s(executor, function(folder, 1536, "warm1536"))
            print(
                f"{'events, backlog of ' + str(EVENTS) + ', 1536 MB':42s} {rate:.0f}/s, {cpu_ms:.3f} ms server CPU each"
            )
            print(json.dumps({"controller": executor.status()["controller"], "uid": executor.status()["uid"]}))
        finally:
            await executor.close()


if __name__ == "__main__":
    asyncio.run(main())
