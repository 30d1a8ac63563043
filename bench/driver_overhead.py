"""What our driver costs per query: raw LoadGen with a null SUT against the driver with a transport in memory.

Rounds are interleaved, each in a fresh process (LoadGen runs once per process); medians of microseconds per query.

    python bench/driver_overhead.py [--queries 20000] [--rounds 5]
"""

import argparse
import asyncio
from collections.abc import Callable
from itertools import count
import json
from pathlib import Path
from statistics import median
import subprocess
import sys
import tempfile
import time
from typing import Final

import mlperf_loadgen as lg

from serverless_mlperf.mlperf.driver import NO_AUDIT, Driver
from serverless_mlperf.mlperf.responses import ENCODERS
from serverless_mlperf.mlperf.settings import LoadGenSettings, log_settings, test_settings
from serverless_mlperf.transports.base import Reply
from serverless_mlperf.transports.fake import FakeTransport

SAMPLES = 1024


BODY: Final = {
    "result": [[1, 1.0]],
    "sut": {"environment_id": "e", "invocation": 2, "cold": False, "start_ns": 1, "finish_ns": 2},
}


class NullTransport(FakeTransport):
    """Answers every query at once with one ready-made body: no JSON, no random numbers."""

    async def send(self, key: str, sample_index: int) -> None:  # noqa: ARG002 - the protocol's
        """Answer before returning."""
        if self._on_reply is not None:
            self._on_reply(Reply(key, True, BODY))


def settings(queries: int) -> LoadGenSettings:
    """Offline, exactly so many."""
    return LoadGenSettings("mobilenet", "Offline", "performance", queries, SAMPLES, SAMPLES)


def raw(queries: int, folder: Path) -> None:
    """LoadGen alone: complete inside the issue callback."""

    def issue(ids: list[int], _indices: list[int]) -> None:
        lg.QuerySamplesComplete([lg.QuerySampleResponse(each, 0, 0) for each in ids])

    sut = lg.ConstructFastSUT(issue, lambda: None)
    library = lg.ConstructQSL(SAMPLES, SAMPLES, lambda _: None, lambda _: None)
    lg.StartTestWithLogSettings(sut, library, test_settings(settings(queries)), log_settings(str(folder)), NO_AUDIT)


def driven(queries: int, folder: Path) -> None:
    """Our driver over a transport that costs nothing."""

    async def run() -> None:
        transport = NullTransport()
        driver = Driver(transport, ENCODERS["classification"], (f"r-{n:08d}" for n in count()), deadline_s=600)
        await transport.open(driver.receive)
        await driver.run(settings(queries), folder, drain_s=0)
        assert driver.done == queries

    asyncio.run(run())


WAYS: dict[str, Callable[[int, Path], None]] = {"raw": raw, "driver": driven}


def one_round(way: str, queries: int) -> None:
    """Child process: print wall and CPU time per query in microseconds."""
    with tempfile.TemporaryDirectory() as folder:
        wall_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        WAYS[way](queries, Path(folder))
        wall_ns, cpu_ns = time.perf_counter_ns() - wall_ns, time.process_time_ns() - cpu_ns
    print(json.dumps([wall_ns / queries / 1000, cpu_ns / queries / 1000]))


def main() -> None:
    """Interleave the rounds and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--way", choices=WAYS)
    arguments = parser.parse_args()
    if arguments.way:
        one_round(arguments.way, arguments.queries)
        return
    results: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for _ in range(arguments.rounds):
        for way, rounds in results.items():
            command = [sys.executable, __file__, "--way", way, "--queries", str(arguments.queries)]
            rounds.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    medians = {way: [median(column) for column in zip(*rounds, strict=True)] for way, rounds in results.items()}
    for way, (wall_us, cpu_us) in medians.items():
        print(f"{way:8} {wall_us:8.2f} us/query wall {cpu_us:8.2f} us/query CPU")
    wall, cpu = (medians["driver"][n] / medians["raw"][n] for n in (0, 1))
    print(f"ratio    {wall:8.1f}               {cpu:8.1f}")


if __name__ == "__main__":
    main()
