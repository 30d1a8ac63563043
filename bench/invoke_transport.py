"""What a query through the `invoke` transport costs beside the function: an empty one on the local platform, by HTTP.

One query at a time, so that the latency is the overhead of client, server and runtime together; the CPU time is the
client's own (the server and the function are other processes).

    python bench/invoke_transport.py [--calls 1000]
"""

import argparse
import asyncio
import os
from pathlib import Path
from statistics import median, quantiles
import tempfile
import time
import zipfile

from serverless_mlperf.platforms.base import Credentials, FunctionConfig, Target
from serverless_mlperf.platforms.local.platform import LocalPlatform
from serverless_mlperf.transports.base import Reply, RunContext
from serverless_mlperf.transports.invoke import InvokeSettings, InvokeTransport
from serverless_mlperf.transports.sigv4 import Identity

IMAGE_BYTES = 100_000
MEMORY_MIB = 1769
"""One whole core: nothing is throttled."""
HANDLER = "def lambda_handler(event, context): return {}\n"
KEYS = ("imagenet/a.JPEG",)


def packages(folder: Path) -> tuple[Path, Path]:
    """An empty function under the name that the platform deploys, and a layer with nothing in it."""
    files = {"function": ("serverless_mlperf_sut/handler.py", HANDLER), "layer": ("python/nothing.py", "")}
    for name, (member, text) in files.items():
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as package:
            package.writestr(zipfile.ZipInfo(member), text)
    return folder / "function.zip", folder / "layer.zip"


async def measure(context: RunContext, settings: InvokeSettings, calls: int) -> tuple[list[float], list[float], float]:
    """Round trips and what the platform says of them (ms), and the client's CPU time per query (ms)."""
    replies: list[Reply] = []
    transport = InvokeTransport(context, settings)
    await transport.open(replies.append)
    try:
        for number in range(20):
            await transport.send(f"r-{number:08d}", 0)
        replies.clear()
        cpu_ns = time.process_time_ns()
        for number in range(calls):
            await transport.send(f"r-{number:08d}", 0)
        cpu_ns = time.process_time_ns() - cpu_ns
    finally:
        await transport.close()
    assert all(reply.ok for reply in replies)
    assert not transport.counts()
    walls = [(reply.noticed_ns - reply.asked_ns) / 1e6 for reply in replies]
    durations = [reply.report.duration_ms for reply in replies if reply.report is not None]
    return walls, durations, cpu_ns / calls / 1e6


async def main(target: Target, image: Path, calls: int) -> None:
    """Print a line per payload and identity."""
    cases = {
        "s3ref": (InvokeSettings(payload="s3ref"), None),
        "inline": (InvokeSettings(), None),
        "inline, signed": (InvokeSettings(), Identity(Credentials("AKID", "secret", "token"))),
    }
    for name, (settings, identity) in cases.items():
        context = RunContext(target, KEYS, "r", identity, [image])
        walls, durations, cpu_ms = await measure(context, settings, calls)
        print(
            f"{name:16s} round trip p50 {median(walls):7.3f} ms  p99 {quantiles(walls, n=100)[98]:7.3f} ms   "
            f"platform's Duration p50 {median(durations):6.2f} ms   client CPU {cpu_ms:6.3f} ms/query"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, LocalPlatform("bench") as platform:
        code, layer = packages(Path(scratch))
        picture = Path(scratch) / "a.JPEG"
        picture.write_bytes(os.urandom(IMAGE_BYTES))
        made = platform.deploy(FunctionConfig("noop", "noop", MEMORY_MIB, 30, 1, {}, code, layer))
        asyncio.run(main(made, picture, arguments.calls))
