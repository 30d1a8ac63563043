"""The front of the local platform: invocations, cold starts, objects and events by HTTP, and moto beside it.

Every figure is the median of interleaved rounds; a round counts when a spin test before and after it says that the host
delivered its CPU. Client, server, controller, functions and moto share the host's cores: a rate is that of the whole.
The client writes requests that botocore signed beforehand to raw sockets. Exit status 1 when a gate is missed.

    python bench/front.py [--rounds 5] [--window 0.35]
"""

import argparse
from contextlib import ExitStack
from dataclasses import dataclass, field
import json
import os
import signal
from statistics import median
import sys
import time
from typing import Final

from front_servers import KEYS, MOTO, PLATFORM, SIZES, Platform, invocation, objects, serving
from raw_client import Answers, Line, burst, message, window

from serverless_mlperf.calibration import calibrate

LONGEST_S: Final = 85
"""No round begins later: all of it is over within two minutes."""
CONNECTIONS: Final = (1, 4, 16)
COLD_STARTS: Final = 3
PUTS: Final = 60
PUT_EVERY_S: Final = 0.01
EVENTS: Final = 1_500


@dataclass(frozen=True)
class Gate:
    """What a figure is held against."""

    limit: float
    unit: str
    at_most: bool = False

    def line(self, name: str, values: list[float]) -> tuple[str, bool]:
        """The median beside its limit, and whether it holds; without values nothing does."""
        found = median(values) if values else float("nan")
        holds = found <= self.limit if self.at_most else found >= self.limit
        sign, verdict = "<=" if self.at_most else ">=", "holds" if holds else "misses"
        return f"{name:45s} {found:9.2f} {self.unit:5s} {sign} {self.limit:6g}   {verdict}", holds


RATES: Final = {"1 KB": Gate(2_500, "/s"), "100 KB": Gate(1_500, "/s")}
RATIO: Final = Gate(5, "times")
GATES: Final = {
    "cold start of a process, to its first request": Gate(60, "ms", at_most=True),
    "warm no-op Invoke x1, p50": Gate(1, "ms", at_most=True),
    "warm no-op Invoke x4": Gate(1_500, "/s"),
    "S3 PUT sent -> handler starts, p50": Gate(2, "ms", at_most=True),
    "events by Invoke, no-op handler": Gate(1_000, "/s"),
    "events by S3 PUT, no-op handler": Gate(1_000, "/s"),
    **{f"{m} {size} x{n}": RATES[size] for size in SIZES for m in ("PUT", "GET") for n in CONNECTIONS},
    **{f"{m} {size} x{n} over moto": RATIO for size in SIZES for m in ("PUT", "GET") for n in CONNECTIONS},
}


@dataclass
class Sheet:
    """Values by name, one a round; and those of the round under way, which counts only when it is over."""

    kept: dict[str, list[float]] = field(default_factory=dict)
    now: dict[str, float] = field(default_factory=dict)

    def keep(self) -> None:
        """The round counts."""
        for name, value in self.now.items():
            self.kept.setdefault(name, []).append(value)

    def text(self, name: str, unit: str) -> str:
        """The median of what has no gate."""
        return f"{name:45s} {median(self.kept[name]):9.2f} {unit}"


def cold_starts(platform: Platform, sheet: Sheet) -> None:
    """First calls of new functions: to the process's first request for work, and as the caller sees them."""
    inits_ms, walls_ms = [], []
    line = Line(platform.port)
    for number in range(COLD_STARTS):
        name = f"cold-{time.time_ns()}-{number}"
        platform.create(name, "noop")
        sent_ns, _ = line.ask(invocation(platform.port, name))
        walls_ms.append((time.time_ns() - sent_ns) / 1e6)
        inits_ms.append(platform.page(f"reports?function={name}")[0]["init_ms"])
        platform.delete(name)
    line.close()
    sheet.now["cold start of a process, to its first request"] = median(inits_ms)
    sheet.now["cold start, first Invoke as its caller sees it"] = median(walls_ms)


def calls(platform: Platform, sheet: Sheet, seconds: float) -> None:
    """Warm calls of an empty handler."""
    request = [invocation(platform.port, "noop")]
    for connections in (1, 4):
        name = f"warm no-op Invoke x{connections}"
        answers, cpu_us, lag_ms = platform.observed(lambda n=connections: window(platform.port, [request] * n, seconds))  # type: ignore[misc]
        sheet.now[name] = answers.per_s
        sheet.now[f"{name}, p50"] = median(answers.latencies_ns) / 1e6
        sheet.now[f"{name}: CPU"], sheet.now[f"{name}: lag"] = cpu_us, lag_ms


def put_to_start(platform: Platform, sheet: Sheet) -> None:
    """From the sending of a PUT to the first line of the handler that its event starts, at a steady pace."""
    line, sent, before = Line(platform.port), {}, platform.delivered()
    for number in range(PUTS):
        key = f"started/{time.time_ns()}-{number}"
        request = message(platform.port, "PUT", f"/bench/{key}", b"{}")
        sent[key], _ = line.ask(request)
        time.sleep(max(0, PUT_EVERY_S - (time.time_ns() - sent[key]) / 1e9))
    platform.await_delivered(before + PUTS)
    starts = json.loads(line.ask(invocation(platform.port, "started"))[1])
    line.close()
    sheet.now["S3 PUT sent -> handler starts, p50"] = median(starts[key] - sent[key] for key in sent) / 1e6


def events(platform: Platform, sheet: Sheet, name: str, messages: list[list[bytes]]) -> None:
    """A burst of events; over when the last has been delivered."""
    before, begun_s = platform.delivered(), time.perf_counter()

    def work() -> Answers:
        answers = burst(platform.port, messages, EVENTS)
        platform.await_delivered(before + EVENTS)
        return answers

    _, cpu_us, lag_ms = platform.observed(work)
    sheet.now[name] = EVENTS / (time.perf_counter() - begun_s)
    sheet.now[f"{name}: CPU"], sheet.now[f"{name}: lag"] = cpu_us, lag_ms


def all_events(platform: Platform, sheet: Sheet) -> None:
    """Events from a caller and events from a bucket."""
    port = platform.port
    events(platform, sheet, "events by Invoke, no-op handler", [[invocation(port, "noop", "Event")]] * 4)
    body = bytes(1_000)
    puts = [[message(port, "PUT", f"/bench/noop/{c}-{n}", body) for n in range(KEYS)] for c in range(4)]
    events(platform, sheet, "events by S3 PUT, no-op handler", puts)


def loads(platform: Platform, moto_port: int, sheet: Sheet, seconds: float) -> None:
    """PUT and GET on the platform, and on moto right behind it."""
    for size in SIZES:
        for method in ("PUT", "GET"):
            for connections in CONNECTIONS:
                name = f"{method} {size} x{connections}"
                ours, theirs = (objects(port, method, size, connections) for port in (platform.port, moto_port))
                answers, cpu_us, lag_ms = platform.observed(lambda m=ours: window(platform.port, m, seconds))  # type: ignore[misc]
                sheet.now[name], sheet.now[f"{name}: CPU"], sheet.now[f"{name}: lag"] = answers.per_s, cpu_us, lag_ms
                sheet.now[f"{name}: moto"] = window(moto_port, theirs, seconds).per_s
                sheet.now[f"{name} over moto"] = answers.per_s / sheet.now[f"{name}: moto"]


def measure(platform: Platform, moto_port: int, rounds: int, seconds: float) -> tuple[Sheet, list[float]]:
    """Rounds until enough count or the time is over; the values, and the share of the host that each round had."""
    sheet, shares, begun_s = Sheet(), [], time.monotonic()
    before = calibrate()
    while rounds and time.monotonic() < begun_s + LONGEST_S:
        sheet.now = {}
        cold_starts(platform, sheet)
        calls(platform, sheet, seconds)
        put_to_start(platform, sheet)
        all_events(platform, sheet)
        loads(platform, moto_port, sheet, seconds)
        after = calibrate()
        shares.append(min(before.delivered_share, after.delivered_share))
        if before.ok and after.ok:
            sheet.keep()
            rounds -= 1
        before = after
    return sheet, shares


def report(sheet: Sheet, shares: list[float]) -> bool:
    """Print everything; whether all gates hold."""
    counted = len(next(iter(sheet.kept.values()), []))
    delivered = ", ".join(f"{share:.2f}" for share in shares)
    print(f"{counted} of {len(shares)} rounds count; share of its cores that the host delivered: {delivered}")
    print(
        f"uid {os.geteuid()}, {os.cpu_count()} cores, Python {sys.version.split()[0]}; raw sockets, signed beforehand"
    )
    if not counted:
        print("no round counts: free the host and measure again")
        return False
    lines = [gate.line(name, sheet.kept.get(name, [])) for name, gate in GATES.items()]
    print("\n".join(line for line, _ in lines))
    print(f"\n{'beside them':45s} {'server CPU':>12s} {'loop lag p99':>13s} {'moto':>8s}")
    for name in (name.removesuffix(": lag") for name in sheet.kept if name.endswith(": lag")):
        cpu_us, lag_ms = median(sheet.kept[f"{name}: CPU"]), median(sheet.kept[f"{name}: lag"])
        moto = f"{median(sheet.kept[f'{name}: moto']):6.0f}/s" if f"{name}: moto" in sheet.kept else ""
        print(f"{name:45s} {cpu_us:9.0f} us {lag_ms:10.2f} ms {moto:>8s}")
    print(sheet.text("cold start, first Invoke as its caller sees it", "ms"))
    return all(holds for _, holds in lines)


def main() -> None:
    """Start both servers, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--window", type=float, default=0.35, help="seconds of each load on each server")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))  # the servers end with us
    with ExitStack() as stack:
        port, moto_port = stack.enter_context(serving(*PLATFORM)), stack.enter_context(serving(*MOTO))
        platform = Platform(port)
        Line(moto_port).ask(message(moto_port, "PUT", "/bench"))
        sheet, shares = measure(platform, moto_port, options.rounds, options.window)
    sys.exit(not report(sheet, shares))


if __name__ == "__main__":
    main()
