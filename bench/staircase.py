"""The staircase of a fixed 17.4 ms job over eleven memory sizes, held against the medians measured on Lambda.

    python bench/staircase.py [rounds] [controller ...]

Each controller in turn, sigstop unless named; 70 rounds of one take about a minute.

The job spins until its own CPU clock has advanced by 17.4 ms. A round invokes it once at every size; only rounds count
in which the job at 1,769 MB, which is never held, took 17.4 ms within 3 %: this host gave its CPU.

When an invocation begins, by the clock of the quota, decides how long it takes, and on Lambda that was no accident: one
client waited 100 ms after each answer, and the way there and back took 58.5 +- 1.5 ms (recomputed from the raw data of
the EuroSys'26 over-allocation artefact), so that each invocation began 158.5 ms after the end of the one before. The
same is done here; the time that the other sizes take is filled up to whole periods of 20 ms.
"""

import asyncio
from dataclasses import replace
import json
from pathlib import Path
import random
from statistics import fmean, median
import sys
import tempfile
import time

from warm_invoke import function

from serverless_mlperf.calibration import calibrate
from serverless_mlperf.cpu_model import PERIOD_NS
from serverless_mlperf.platforms.local.executor import LocalExecutor
from serverless_mlperf.platforms.local.model import FunctionSpec
from serverless_mlperf.platforms.local.restraint import DEFAULT, usable

HANDLER = """
import time

def lambda_handler(event, context):
    wall, end = time.monotonic_ns(), time.process_time_ns() + event["cpu_ns"]
    while time.process_time_ns() < end: pass
    return [wall, time.monotonic_ns()]
"""
JOB_NS = 17_400_000
LAMBDA_MS = {
    128: 221.1,
    257: 102.1,
    354: 80.5,
    443: 61.7,
    514: 41.7,
    708: 39.4,
    770: 21.7,
    1000: 21.5,
    1274: 21.6,
    1416: 17.4,
    1769: 17.4,
}
"""Median Duration of 5,000 requests per size."""
CONTROL_MIB, TOLERANCE = 1769, 0.03
GAP_NS, GAP_SPREAD_NS = 158_500_000, 1_500_000
MOST_LEAD_NS = 3_000_000
DEADLINE_S = 100
LEAST_ROUNDS = 60


class Client:
    """Invokes one function again and again, in step with its own answers."""

    def __init__(self, executor: LocalExecutor, spec: FunctionSpec, generator: random.Random) -> None:
        self._executor, self._spec, self._generator = executor, spec, generator
        self._next_ns = time.monotonic_ns()
        self._lead_ns = 0
        """From asking for an invocation until its job begins."""

    async def invoke(self) -> float:
        """Wall time of the job in milliseconds."""
        ask_ns = self._begin_ns() - self._lead_ns
        await asyncio.sleep(max(0, ask_ns - time.monotonic_ns()) / 1e9)
        answer = await self._executor.invoke(self._spec, json.dumps({"cpu_ns": JOB_NS}).encode())
        begun_ns, ended_ns = json.loads(answer.payload)
        if begun_ns - ask_ns < MOST_LEAD_NS:  # else it was held before it began
            self._lead_ns += (begun_ns - ask_ns - self._lead_ns) // 4
        self._next_ns = ended_ns + GAP_NS + int(self._generator.gauss(0, GAP_SPREAD_NS))
        return float(ended_ns - begun_ns) / 1e6

    def _begin_ns(self) -> int:
        late_ns = time.monotonic_ns() + self._lead_ns - self._next_ns
        return self._next_ns + max(0, -(-late_ns // PERIOD_NS)) * PERIOD_NS


async def measure(controller: str, rounds: int) -> tuple[list[dict[int, float]], int, float]:
    """Rounds that count, how many did not, and the controller's share of a core."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, generator = Path(scratch), random.Random(1)  # noqa: S311 - reproducible, not secret
        executor = LocalExecutor("http://127.0.0.1:9", folder, controller=controller)
        try:
            specs = {size: replace(function(folder, size, f"job{size}", HANDLER), timeout_s=30) for size in LAMBDA_MS}
            clients = {size: Client(executor, spec, generator) for size, spec in specs.items()}
            return await collect(executor, clients, rounds, generator)
        finally:
            await executor.close()


async def collect(
    executor: LocalExecutor, clients: dict[int, Client], rounds: int, generator: random.Random
) -> tuple[list[dict[int, float]], int, float]:
    """Run rounds until enough count or the time is up."""
    good: list[dict[int, float]] = []
    rejected, order = 0, list(clients)
    for client in clients.values():
        await client.invoke()  # the cold one
    begun, cpu_ns = time.monotonic(), executor.status()["controller"]["cpu_ns"]
    while len(good) < rounds and time.monotonic() < begun + DEADLINE_S:
        generator.shuffle(order)
        found = {size: await clients[size].invoke() for size in order}
        if abs(found[CONTROL_MIB] * 1e6 / JOB_NS - 1) <= TOLERANCE:
            good.append(found)
        else:
            rejected += 1
    used_ns = executor.status()["controller"]["cpu_ns"] - cpu_ns
    return good, rejected, used_ns / 1e9 / (time.monotonic() - begun)


def report(
    controller: str, good: list[dict[int, float]], rejected: int, controller_share: float, delivered: str
) -> None:
    """Print the table of one controller."""
    cost = f"controller {controller_share:.2%} of a core"
    print(f"{controller}: {len(good)} rounds, {rejected} rejected; {delivered}; {cost}")
    errors = []
    for size, lambda_ms in LAMBDA_MS.items():
        times = sorted(found[size] for found in good)
        errors.append(abs(median(times) / lambda_ms - 1))
        quarters = f"{times[len(times) // 4]:6.1f} {times[3 * len(times) // 4]:6.1f}"
        print(
            f"{size:5d} MB  p50 {median(times):6.1f} ms [{quarters}]  Lambda {lambda_ms:6.1f}  error {errors[-1]:6.1%}"
        )
    print(f"error of p50: mean {fmean(errors):.1%}, median {median(errors):.1%}", flush=True)
    if len(good) < LEAST_ROUNDS:
        print(f"too few rounds: {LEAST_ROUNDS} are needed for a median to rely on; try again when it is quiet")


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 70
    for controller in sys.argv[2:] or [DEFAULT]:
        before = calibrate()
        good, rejected, controller_share = asyncio.run(measure(usable(controller), rounds))
        after = calibrate()
        delivered = f"host {min(before.delivered_vcpu, after.delivered_vcpu):.2f} of {before.cores} cores"
        if good:
            report(controller, good, rejected, controller_share, delivered)
        else:
            print(f"{controller}: no round counts, {rejected} rejected: {delivered}; try again when it is quiet")


if __name__ == "__main__":
    main()
