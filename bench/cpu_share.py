"""How exactly environments get their CPU share: spinning handlers, CPU clock over wall clock against memory / 1769.

Run: python bench/cpu_share.py [seconds per case]
"""

import asyncio
from dataclasses import replace
import json
from pathlib import Path
from statistics import median
import sys
import tempfile
import time

from warm_invoke import function

from serverless_mlperf.calibration import calibrate
from serverless_mlperf.platforms.local.executor import LocalExecutor
from serverless_mlperf.platforms.local.model import FunctionSpec, cpu_share

HANDLER = """
import hashlib, threading, time

def spin(end):
    block = bytes(1 << 18)
    while time.perf_counter() < end:
        hashlib.sha256(block)  # releases the GIL

def job(units):
    block = bytes(1 << 18)
    for _ in range(units):
        hashlib.sha256(block)

def run(target, argument, count):
    wall, cpu = time.perf_counter(), time.process_time()
    threads = [threading.Thread(target=target, args=(argument,)) for _ in range(count)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return [(time.process_time() - cpu) * 1e3, (time.perf_counter() - wall) * 1e3]

def lambda_handler(event, context):
    if "units" in event:
        return run(job, event["units"], event["threads"])
    return run(spin, time.perf_counter() + event["s"], event["threads"])
"""
CASES = ((768, 1, 1), (768, 2, 1), (768, 1, 4), (768, 2, 4), (1536, 1, 1), (1536, 2, 2), (2240, 2, 1), (3008, 2, 1))
"""Memory, threads, environments at once."""


async def call(executor: LocalExecutor, spec: FunctionSpec, **event: float) -> tuple[float, float]:
    """CPU ms and wall ms as the handler saw them."""
    answer = await executor.invoke(spec, json.dumps(event).encode())
    cpu_ms, wall_ms = json.loads(answer.payload)
    return cpu_ms, wall_ms


async def case(executor: LocalExecutor, spec: FunctionSpec, threads: int, environments: int, seconds: float) -> str:
    """One line: delivered against promised share, and what the controller cost."""
    await asyncio.gather(*(call(executor, spec, s=0.3, threads=1) for _ in range(environments)))
    before = await asyncio.to_thread(calibrate)
    begun, controller_ns = time.perf_counter(), executor.status()["controller"]["cpu_ns"]
    walls = await asyncio.gather(*(call(executor, spec, s=seconds, threads=threads) for _ in range(environments)))
    cost = (executor.status()["controller"]["cpu_ns"] - controller_ns) / (time.perf_counter() - begun) / 1e7
    after = await asyncio.to_thread(calibrate)
    promised = min(cpu_share(spec.memory_mib), threads)
    errors = [(cpu_ms / wall_ms / promised - 1) * 100 for cpu_ms, wall_ms in walls]
    await executor.retire(spec.name)
    return (
        f"{spec.memory_mib:5d} MB {promised:.3f} vCPU, {threads} thread(s), {environments} environment(s): "
        f"error {median(errors):+5.1f} % (worst {max(errors, key=abs):+5.1f} %), controller {cost:4.2f} % CPU, "
        f"host {min(before.delivered_vcpu, after.delivered_vcpu):.2f} of {before.cores}"
    )


async def main(seconds: float) -> None:
    """Print one line per case."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        executor = LocalExecutor("http://127.0.0.1:9", folder)
        try:
            for memory_mib, threads, environments in CASES:
                spec = function(folder, memory_mib, f"spin{memory_mib}-{threads}-{environments}", HANDLER)
                print(await case(executor, replace(spec, timeout_s=120), threads, environments, seconds), flush=True)
        finally:
            await executor.close()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 4.0))
