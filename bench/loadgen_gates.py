"""What our LoadGen driver adds: latency in SingleStream, lateness in Server over HTTP, memory in a large burst.

    python bench/loadgen_gates.py [--rounds 5]

Every test runs in a fresh process (LoadGen runs once per process); rounds of raw LoadGen and the driver are
interleaved. Latencies are LoadGen's own, from its log.
"""

import argparse
import asyncio
from collections.abc import Callable
from itertools import count
import json
from pathlib import Path
import resource
from statistics import median
import subprocess
import sys
import tempfile
from typing import Any, Final

from aiohttp import web
from driver_overhead import BODY, SAMPLES, NullTransport
import mlperf_loadgen as lg

from serverless_mlperf.mlperf.driver import NO_AUDIT, Driver
from serverless_mlperf.mlperf.logs import read_detail
from serverless_mlperf.mlperf.responses import ENCODERS
from serverless_mlperf.mlperf.settings import LoadGenSettings, log_settings, test_settings
from serverless_mlperf.platforms.base import Target
from serverless_mlperf.transports.base import RunContext, Transport
from serverless_mlperf.transports.invoke import InvokeSettings, InvokeTransport

SERVICE_S: Final = 0.02
"""Of the no-op endpoint: it answers so long after a request has come."""
RATE: Final = 1000
SERVER_QUERIES: Final = 10_000
STREAM_QUERIES: Final = 5_000
BURST: Final = 100_000
SENDERS: Final = 256
TEST_DEADLINE_S: Final = 300
P50, P99 = "result_50.00_percentile_latency_ns", "result_99.00_percentile_latency_ns"


def raw_stream(folder: Path) -> dict[str, float]:
    """SingleStream, completed in the issue callback: LoadGen's Python binding alone."""

    def issue(ids: list[int], _indices: list[int]) -> None:
        lg.QuerySamplesComplete([lg.QuerySampleResponse(each, 0, 0) for each in ids])

    made = test_settings(LoadGenSettings("mobilenet", "SingleStream", "performance", STREAM_QUERIES, SAMPLES, SAMPLES))
    library = lg.ConstructQSL(SAMPLES, SAMPLES, lambda _: None, lambda _: None)
    lg.StartTestWithLogSettings(
        lg.ConstructFastSUT(issue, lambda: None), library, made, log_settings(str(folder)), NO_AUDIT
    )
    return {"p50_us": read_detail(folder).values[P50] / 1000}


def driven_stream(folder: Path) -> dict[str, float]:
    """SingleStream through the driver with a transport that costs nothing."""
    settings = LoadGenSettings("mobilenet", "SingleStream", "performance", STREAM_QUERIES, SAMPLES, SAMPLES)
    asyncio.run(drive(NullTransport(), settings, folder))
    return {"p50_us": read_detail(folder).values[P50] / 1000}


def server(folder: Path) -> dict[str, float]:
    """Poisson arrivals over loopback HTTP against a process that only waits."""
    command = [sys.executable, __file__, "--test", "endpoint"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as endpoint:
        assert endpoint.stdout is not None
        port = int(endpoint.stdout.readline())
        url = f"http://127.0.0.1:{port}"
        target = Target(
            "bench", "us-east-1", url, url, url, "b", "f", "input/c/", "output/c/", "completed/c/", "q", SENDERS
        )
        transport = InvokeTransport(
            RunContext(target, ["imagenet/a.JPEG"] * SAMPLES, "r"), InvokeSettings(payload="s3ref")
        )
        settings = LoadGenSettings(
            "mobilenet",
            "Server",
            "performance",
            SERVER_QUERIES,
            SAMPLES,
            SAMPLES,
            target_qps=RATE,
            latency_bound_ms=1000,
        )
        try:
            asyncio.run(drive(transport, settings, folder))
        finally:
            endpoint.terminate()
    values = read_detail(folder).values
    return {"p50_above_ms": values[P50] / 1e6 - SERVICE_S * 1e3, "p99_above_ms": values[P99] / 1e6 - SERVICE_S * 1e3}


def burst(folder: Path) -> dict[str, float]:
    """100,000 samples at once."""
    settings = LoadGenSettings("mobilenet", "Offline", "performance", BURST, SAMPLES, SAMPLES)
    asyncio.run(drive(NullTransport(), settings, folder))
    return {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


async def drive(transport: Transport, settings: LoadGenSettings, folder: Path) -> None:
    """One LoadGen test; every query must be answered well."""
    keys = (f"r-{number:08d}" for number in count())
    driver = Driver(transport, ENCODERS["classification"], keys, deadline_s=600, senders=SENDERS)
    await transport.open(driver.receive)
    try:
        await driver.run(settings, folder, drain_s=0)
    finally:
        await transport.close()
    assert driver.failed == 0, driver.counts


async def endpoint() -> None:
    """Answer invocations after SERVICE_S, until terminated."""
    answer = json.dumps(BODY).encode()

    async def invoke(request: web.Request) -> web.Response:
        if request.headers.get("X-Amz-Invocation-Type") == "DryRun":
            return web.Response(status=204)
        await asyncio.sleep(SERVICE_S)
        return web.Response(body=answer)

    app = web.Application()
    app.router.add_post("/2015-03-31/functions/{name}/invocations", invoke)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


TESTS: Final[dict[str, Callable[[Path], dict[str, float]]]] = {
    "raw_stream": raw_stream,
    "driven_stream": driven_stream,
    "server": server,
    "burst": burst,
}


def in_process(name: str) -> dict[str, float]:
    """One test in a fresh process."""
    command = [sys.executable, __file__, "--test", name]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=TEST_DEADLINE_S)
    made: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return made


def main() -> None:
    """Interleave the rounds; print medians and what they are held against."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--test", choices=[*TESTS, "endpoint"])
    options = parser.parse_args()
    if options.test == "endpoint":
        asyncio.run(endpoint())
        return
    if options.test:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(TESTS[options.test](Path(folder))))
        return
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in TESTS}
    for _ in range(options.rounds):
        for name, found in rounds.items():
            found.append(in_process(name))
    medians = {name: {key: median(r[key] for r in found) for key in found[0]} for name, found in rounds.items()}
    raw, driven = medians["raw_stream"]["p50_us"], medians["driven_stream"]["p50_us"]
    print(f"SingleStream, null transport: p50 {driven:.1f} us, raw LoadGen {raw:.1f} us: {driven - raw:.1f} us (<= 50)")
    above = medians["server"]
    print(
        f"Server, {RATE} queries/s over loopback HTTP, service {SERVICE_S * 1e3:.0f} ms: "
        f"p50 {above['p50_above_ms']:.2f} ms and p99 {above['p99_above_ms']:.2f} ms above it (p99 <= 25)"
    )
    print(f"Offline, {BURST} samples: peak {medians['burst']['peak_mib']:.0f} MiB in the driver's process (< 500)")


if __name__ == "__main__":
    main()
