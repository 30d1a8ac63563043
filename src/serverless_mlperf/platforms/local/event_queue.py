"""Asynchronous invocations: accepted at once, delivered at least once, tried again after one and two minutes."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from serverless_mlperf.errors import BenchmarkError
from serverless_mlperf.platforms.local.job import Job, Outcome
from serverless_mlperf.platforms.local.model import FunctionSpec

RETRY_DELAYS_S: Final = (60.0, 120.0)
"""AWS, lambda/latest/dg/invocation-async-error-handling."""


class EventQueue:
    """Follows events to their end; what becomes of each is counted."""

    def __init__(self, submit: Callable[[FunctionSpec, Job], None], delays_s: Sequence[float] = RETRY_DELAYS_S) -> None:
        self.counts: Counter[str] = Counter(accepted=0, delivered=0, retried=0, failed=0, dropped=0)
        self._submit = submit
        self._delays_s = delays_s
        self._specs: dict[str, FunctionSpec] = {}
        self._retries: dict[Job, tuple[str, asyncio.TimerHandle]] = {}

    def accept(self, spec: FunctionSpec, request_id: str, payload: bytes, now_ns: int) -> None:
        """Take one event; the function's queue keeps the order."""
        name = spec.pool_name
        self._specs[name] = spec
        self.counts["accepted"] += 1
        job = Job(request_id, payload, "event", now_ns, lambda j, outcome: self._finish(name, j, outcome), arn=spec.arn)
        self._submit(spec, job)

    def forget(self, name: str, version: str | None = None) -> None:
        """A function or one version of it is deleted: what waited to be tried again is dropped."""
        gone = {p for p, s in self._specs.items() if s.name == name and version in {None, s.version}}
        for pool_name in gone:
            del self._specs[pool_name]
        for job, (owner, timer) in list(self._retries.items()):
            if owner in gone:
                timer.cancel()
                del self._retries[job]
                self.counts["dropped"] += 1

    def close(self) -> None:
        """Drop all that waits to be tried again."""
        for name in {spec.name for spec in self._specs.values()}:
            self.forget(name)

    def _finish(self, name: str, job: Job, outcome: Outcome | BenchmarkError) -> None:
        if isinstance(outcome, Outcome) and outcome.function_error is None:
            self.counts["delivered"] += 1
            return
        self.counts["failed"] += 1
        spec = self._specs.get(name)
        if spec is None or job.retries >= min(spec.max_retry_attempts, len(self._delays_s)):
            self.counts["dropped"] += 1
            return
        timer = asyncio.get_running_loop().call_later(self._delays_s[job.retries], self._retry, name, job)
        self._retries[job] = name, timer

    def _retry(self, name: str, job: Job) -> None:
        del self._retries[job]
        job.retries += 1
        self.counts["retried"] += 1
        self._submit(self._specs[name], job)
