"""What a CPU quota makes of a measured demand: predicted mean `forward`, to hold beside the measured one.

A function of m MB may use m / 1769 vCPU, handed out as a budget per 20 ms period and charged at ticks of 4 ms
(measured on Lambda and kept by the local platform: cpu_model). A job much longer than a period takes CPU time /
share; a short one takes a staircase, because it may find a whole budget or none. All values here are modelled from
measured CPU times.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
import math
import random
from statistics import fmean
from typing import Final

from serverless_mlperf.cpu_model import PERIOD_NS, Budget, VirtualCpu
from serverless_mlperf.records import Record

MIN_QUERIES: Final = 400
"""Predictions are means over at least so many queries."""
SESSION_QUERIES: Final = 40
"""Of one environment, back to back; the next session begins at another phase of the period."""
LEAST_CORES: Final = 2
"""Any function sees so many (platforms.local.model.visible_cores)."""
BEFORE: Final = ("fetch_input", "fetch", "unpack", "decode", "preprocess")
AFTER: Final = ("postprocess", "deliver")


@dataclass(frozen=True, slots=True)
class Segment:
    """One phase: single-threaded CPU work around an unthrottled wait (for the object store)."""

    cpu_ms: float
    idle_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Demand:
    """What one query asks of its environment."""

    forward_cpu_ms: float
    before: tuple[Segment, ...] = ()
    after: tuple[Segment, ...] = ()
    gap_ms: float = 0.0
    """Idle time until the next query of the same environment begins."""


def predict_share_ms(forward_cpu_ms: float, share: float, parallelism: float) -> float:
    """Mean forward if only the share counted: CPU time / min(share, parallelism)."""
    return forward_cpu_ms / min(share, parallelism)


def predict_forward_ms(queries: Sequence[Demand], share: float, parallelism: float, seed: int = 0) -> float:
    """Mean forward of one environment that serves `queries` one after the other under a quota.

    Simulated in sessions that begin at random phases of the period and serve the queries in shuffled order, until
    at least 400 have been counted; a session's first query finds a whole budget and is not.
    `parallelism` is how many cores `forward` keeps busy when nothing holds it back.
    """
    if not queries:
        raise ValueError("no demand to predict from; the run has no warm query with CPU times")
    generator = random.Random(seed)  # noqa: S311 - reproducible, not secret
    forwards: list[float] = []
    while len(forwards) < MIN_QUERIES:
        cpu = _virtual_cpu(share, parallelism, generator)
        order = generator.choices(queries, k=SESSION_QUERIES + 1)
        forwards.extend([_serve(cpu, demand, parallelism) for demand in order][1:])
    return fmean(forwards)


def forward_walls_ms(demand: Demand, share: float, parallelism: float, count: int, seed: int = 0) -> list[float]:
    """Wall times of `forward` of isolated queries: each finds a whole budget at a random phase of the period."""
    generator = random.Random(seed)  # noqa: S311 - reproducible, not secret
    return [_serve(_virtual_cpu(share, parallelism, generator), demand, parallelism) for _ in range(count)]


def demands_from_records(records: Sequence[Record]) -> list[Demand]:
    """Demands of the warm queries that carry CPU times.

    The wait inside a phase cannot be told from its throttling in one query; over all queries the least of
    (wall - CPU) is an estimate of the wait alone. The same holds between two queries of an environment, apart from the
    time in which the next one had not been sent yet: then it idled, and its budget grew back.
    """
    warm = [record for record in records if record.verdict == "ok" and not record.cold and _has_forward(record)]
    idle_ms = {name: _least_wait_ms(warm, name) for name in (*BEFORE, *AFTER)}
    pairs = _successions(warm)
    least_gap_ms = max(0, min((_gap_ns(first, second) for first, second in pairs), default=0)) / 1e6
    unsent_ms = {first.key: max(0, second.issued_ns - _end_ns(first)) / 1e6 for first, second in pairs}
    return [_demand(record, idle_ms, least_gap_ms + unsent_ms.get(record.key, 0)) for record in warm]


def _virtual_cpu(share: float, parallelism: float, generator: random.Random) -> VirtualCpu:
    """An environment's CPU at a random phase of its period."""
    budget = Budget(int(share * PERIOD_NS), max(LEAST_CORES, math.ceil(parallelism)))
    return VirtualCpu(budget, generator.randrange(PERIOD_NS))


def _serve(cpu: VirtualCpu, demand: Demand, parallelism: float) -> float:
    """Let one query pass; returns the wall time of its forward."""
    _pass(cpu, demand.before)
    took_ns = cpu.work(_ns(demand.forward_cpu_ms), parallelism)
    _pass(cpu, demand.after)
    cpu.idle(_ns(demand.gap_ms))
    return took_ns / 1e6


def _pass(cpu: VirtualCpu, segments: Sequence[Segment]) -> None:
    for segment in segments:
        # A request is made, waited for and taken in: the work lies on both sides of the wait.
        cpu.work(_ns(segment.cpu_ms / 2))
        cpu.idle(_ns(segment.idle_ms))
        cpu.work(_ns(segment.cpu_ms / 2))


def _ns(milliseconds: float) -> int:
    return round(milliseconds * 1e6)


def _demand(record: Record, idle_ms: dict[str, float], gap_ms: float) -> Demand:
    cpu_ns = record.cpu_ns or {}
    before, after = (
        tuple(Segment(cpu_ns.get(name, 0) / 1e6, idle_ms[name]) for name in names) for names in (BEFORE, AFTER)
    )
    return Demand(cpu_ns["forward"] / 1e6, before, after, gap_ms)


def _has_forward(record: Record) -> bool:
    return record.cpu_ns is not None and "forward" in record.cpu_ns


def _least_wait_ms(records: Sequence[Record], name: str) -> float:
    waits = [
        record.phases_ns[name] - record.cpu_ns[name]
        for record in records
        if record.phases_ns and record.cpu_ns and name in record.phases_ns and name in record.cpu_ns
    ]
    return max(0, min(waits, default=0)) / 1e6


def _successions(records: Sequence[Record]) -> list[tuple[Record, Record]]:
    """Each query with the next one of the same environment."""
    by_environment: defaultdict[str | None, list[Record]] = defaultdict(list)
    for record in records:
        if record.start_ns is not None and record.finish_ns is not None:
            by_environment[record.environment_id].append(record)
    in_order = (sorted(mine, key=lambda record: record.start_ns or 0) for mine in by_environment.values())
    return [pair for mine in in_order for pair in pairwise(mine)]


def _gap_ns(first: Record, second: Record) -> int:
    return (second.start_ns or 0) - _end_ns(first)


def _end_ns(record: Record) -> int:
    return (record.finish_ns or 0) + (record.phases_ns or {}).get("deliver", 0)
