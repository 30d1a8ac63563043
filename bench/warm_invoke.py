"""What a memory size's throttle costs an empty call, back to back and paced, in the executor alone: no HTTP.

Calls, cold starts and events through the whole front are bench/front.py's.

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

CALLS = 2000
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


def line(name: str, values: Sequence[float]) -> str:
    """Median and p99."""
    return f"{name:42s} p50 {median(values):8.3f} ms   p99 {quantiles(values, n=100)[98]:8.3f} ms"


async def main() -> None:
    """Print all figures."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        executor = LocalExecutor("http://127.0.0.1:9", folder)
        try:
            for memory_mib in MEMORY_MIB:
                spec = function(folder, memory_mib, f"warm{memory_mib}")
                await executor.invoke(spec, b"{}")
                print(line(f"warm no-op, {memory_mib} MB, back to back", await warm_calls(executor, spec)))
                print(line(f"warm no-op, {memory_mib} MB, 50 per s", await warm_calls(executor, spec, 0.02)))
            print(json.dumps({"controller": executor.status()["controller"], "uid": executor.status()["uid"]}))
        finally:
            await executor.close()


if __name__ == "__main__":
    asyncio.run(main())
