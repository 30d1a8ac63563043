"""A transport to nowhere: answers itself, with faults by rate and seed."""

import asyncio
import base64
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
import json
import random
import time
from typing import Any, Final

from serverless_mlperf.transports.base import Reply, RunContext, TransportError


@dataclass(frozen=True, slots=True)
class FakeSettings:
    """What the imagined platform does to queries."""

    delay_s: float = 0.0
    """Service time; 0 answers within the same turn of the loop."""
    environments: int = 1
    loss: float = 0.0
    duplicate: float = 0.0
    duplicate_delay_s: float = 0.0
    """How much later than the first result a duplicate comes."""
    late: float = 0.0
    """Share of answers that come later than the others by `late_delay_s`."""
    late_delay_s: float = 0.0
    error: float = 0.0
    send_error: float = 0.0
    stuck: float = 0.0
    """Share of `send` calls that never return."""
    defect: float = 0.0
    """Share of `send` calls that fail as only a defect of a transport does."""
    cold_after: int | None = None
    """From this many answers on, a new environment begins (a cold start in the window)."""
    billed_ms: int | None = None
    """What the platform says beside each result that it billed; None: it says nothing."""
    faults_after: int = 0
    """So many queries are served before any fault (the warm-up)."""
    seed: int = 0


class FakeTransport:
    """Implements transports.base.Transport without a network; ships with the package for tests and benches."""

    def __init__(self, settings: FakeSettings | None = None) -> None:
        self._settings = settings or FakeSettings()
        self._random = random.Random(self._settings.seed)  # noqa: S311 - reproducible, not secret
        self._invocations: Counter[str] = Counter()
        self._sent = 0
        self._on_reply: Callable[[Reply], None] | None = None

    async def open(self, on_reply: Callable[[Reply], None]) -> None:
        """Remember whom to tell."""
        self._on_reply = on_reply

    async def send(self, key: str, sample_index: int) -> None:
        """Accept a query, unless a fault is due."""
        settings, self._sent = self._settings, self._sent + 1
        if self._due(settings.send_error):
            raise TransportError(f"fake: {key} refused")
        if self._due(settings.defect):
            raise ZeroDivisionError(f"fake: defect at {key}")
        if self._due(settings.stuck):
            await asyncio.get_running_loop().create_future()
        if self._due(settings.loss):
            return
        failed = self._due(settings.error)
        late_s = settings.late_delay_s if self._due(settings.late) else 0.0
        self._answer_later(key, sample_index, failed, settings.delay_s + late_s)
        if self._due(settings.duplicate):
            self._answer_later(key, sample_index, failed, settings.delay_s + settings.duplicate_delay_s)

    async def close(self) -> None:
        """Answer no more."""
        self._on_reply = None

    def counts(self) -> Mapping[str, int]:
        """Nothing goes wrong unseen here."""
        return {}

    def _due(self, rate: float) -> bool:
        return rate > 0 and self._sent > self._settings.faults_after and self._random.random() < rate

    def _answer_later(self, key: str, sample_index: int, failed: bool, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        if delay_s > 0:
            loop.call_later(delay_s, self._answer, key, sample_index, failed, time.time_ns())
        else:
            loop.call_soon(self._answer, key, sample_index, failed, time.time_ns())

    def _answer(self, key: str, sample_index: int, failed: bool, sent_ns: int) -> None:
        if self._on_reply is None:
            return
        now_ns = time.time_ns()
        body = self._body(key, sample_index, sent_ns, now_ns)
        if failed:
            body["error"] = {"type": "Fake", "message": "injected"}
        raw = json.dumps(body).encode()
        error = "Fake: injected" if failed else None
        log_result = self._log_result(str(body["sut"]["request_id"]))
        self._on_reply(Reply(key, not failed, body, raw, error, sent_ns, now_ns, now_ns, log_result=log_result))

    def _log_result(self, request_id: str) -> str:
        billed_ms = self._settings.billed_ms
        if billed_ms is None:
            return ""
        line = (
            f"REPORT RequestId: {request_id}\tDuration: {billed_ms}.00 ms\tBilled Duration: {billed_ms} ms\t"
            "Memory Size: 1024 MB\tMax Memory Used: 100 MB\t\n"
        )
        return base64.b64encode(line.encode()).decode()

    def _body(self, key: str, sample_index: int, start_ns: int, finish_ns: int) -> dict[str, Any]:
        environment = self._environment()
        self._invocations[environment] += 1
        invocation = self._invocations[environment]
        took_ns = finish_ns - start_ns
        sut = {
            "environment_id": environment,
            "request_id": f"{key}-{invocation}",
            "cold": invocation == 1,
            "invocation": invocation,
            "start_ns": start_ns,
            "finish_ns": finish_ns,
            "phases_ns": {"forward": took_ns},
            "cpu_ns": {"forward": took_ns},
            "init": {"phases_ns": {"imports": 1_000_000, "load_model": 2_000_000}, "cpu_ns": {}},
        }
        forward_ms = took_ns / 1e6
        inf_perf = [{"load_model": 2.0, "image_operations": 0.0, "forward": forward_ms}]
        result = [[sample_index % 1000, 1.0]]
        return {"ImageFilenames": [str(sample_index)], "inf_perf": inf_perf, "result": result, "sut": sut}

    def _environment(self) -> str:
        settings, served = self._settings, sum(self._invocations.values())
        if settings.cold_after is not None and served >= settings.cold_after:
            return "environment-late"
        return f"environment-{served % settings.environments}"


SETTINGS: Final = FakeSettings


def make(_context: RunContext, settings: FakeSettings) -> FakeTransport:
    """Make one for a run."""
    return FakeTransport(settings)
