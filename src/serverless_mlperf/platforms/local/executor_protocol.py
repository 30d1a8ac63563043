"""The seam between the front (S3, SQS, Lambda control) and what runs functions."""

import asyncio
from typing import Any, Protocol

from serverless_mlperf.platforms.local.model import FunctionSpec, Invocation


class Executor(Protocol):
    """Runs functions; used from one event loop, closed by who made it.

    `submit_event`, `renew`, `reports` and `status` return at once.
    """

    @property
    def lost(self) -> "asyncio.Future[str]":
        """Done, with the reason, when nothing can be run any more."""

    async def prepare(self, spec: FunctionSpec | None = None) -> None:
        """Have the runtime and a function's code in place, for which its first environment would wait else.

        Raises BenchmarkError when that cannot be done.
        """

    async def invoke(self, spec: FunctionSpec, payload: bytes, *, log_tail: bool = False) -> Invocation:
        """Invoke and wait for the answer; raises ThrottledError at the reserved concurrency."""

    def submit_event(self, spec: FunctionSpec, payload: bytes) -> str:
        """Accept an asynchronous invocation, retried as the spec says; returns its request id."""

    async def retire(self, function_name: str, version: str | None = None) -> None:
        """End all environments of a function, or of one version, and drop its waiting events."""

    def renew(self, spec: FunctionSpec) -> None:
        """A version has a new revision: environments of the former serve what they are at and end."""

    def reports(self, function_name: str) -> list[dict[str, Any]]:
        """REPORT lines of a function as values, in order."""

    def status(self) -> dict[str, Any]:
        """Environments and counters."""

    async def close(self) -> None:
        """End everything that was started; idempotent."""
