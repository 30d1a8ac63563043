"""The seam between the front (S3, SQS, Lambda control) and what runs functions."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from serverless_mlperf.platforms.local.destinations import Letter
from serverless_mlperf.platforms.local.journal.base import Entry
from serverless_mlperf.platforms.local.model import FunctionSpec, Invocation

Send = Callable[[Letter], Awaitable[str | None]]
"""Hand a letter to its target; the reason why it could not be, in one line."""
Resolve = Callable[[str], FunctionSpec | None]
"""What an invocation of that ARN runs now; None when there is nothing that can run."""


class Executor(Protocol):
    """Runs functions; used from one event loop, closed by who made it.

    All but `prepare`, `invoke`, `retire` and `close` return at once.
    """

    @property
    def lost(self) -> "asyncio.Future[str]":
        """Done, with the reason, when nothing can be run any more."""

    async def prepare(self, spec: FunctionSpec | None = None) -> None:
        """Have the runtime and a function's code in place, for which its first environment would wait else.

        Raises BenchmarkError when that cannot be done.
        """

    async def invoke(
        self, spec: FunctionSpec, payload: bytes, *, log_tail: bool = False, client_context: str = ""
    ) -> Invocation:
        """Invoke and wait for the answer; raises ThrottledError at a limit of Lambda's.

        The client's context is one line of JSON in ASCII: the runtime gets it as a header.
        """

    def submit_event(self, spec: FunctionSpec, payload: bytes, *, from_s3: bool = False) -> str:
        """Accept an asynchronous invocation, retried as the spec says; returns its request id.

        What comes from S3 may be held back by a modelled delay.
        """

    def resume(self, kept: Sequence[Entry]) -> None:
        """Go on with events that an earlier process accepted; once, when it is connected."""

    async def retire(self, function_name: str, version: str | None = None) -> None:
        """End all environments of a function, or of one version, and drop its waiting events."""

    def renew(self, spec: FunctionSpec) -> None:
        """A version has a new revision: environments of the former serve what they are at and end."""

    def bound(self, function_name: str, environments: int) -> None:
        """Run at most so many environments of a function at once: who meets this bound waits, as for the host."""

    def connect(self, send: Send, resolve: Resolve) -> None:
        """Where records of events and dead letters go, and who knows what a function's ARN stands for."""

    @property
    def account_concurrency(self) -> int:
        """Invocations of all functions at once."""

    def set_clock(self, speed: float | None = None, advance_s: float | None = None) -> dict[str, Any]:
        """Change the speed of the service's clock, or put it forward; how it stands. Raises ValueError."""

    def reports(self, function_name: str) -> list[dict[str, Any]]:
        """REPORT lines of a function as values, in order."""

    def means(self) -> dict[str, str]:
        """Names of the `isolation` of environments and of the `controller` of their share."""

    def status(self) -> dict[str, Any]:
        """Environments and counters."""

    async def close(self) -> None:
        """End everything that was started; idempotent."""
