"""An invocation on its way: what is asked, and how it ended."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
import json
import math
from typing import Literal

from serverless_mlperf.errors import BenchmarkError, PlatformError
from serverless_mlperf.platforms.local.controller_client import Exit
from serverless_mlperf.platforms.local.logs import Status
from serverless_mlperf.platforms.local.model import ThrottledError

JobKind = Literal["call", "event"]


class EventExpiredError(PlatformError):
    """An event waited for longer than its maximum age."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an invocation ended, before it is told to anyone."""

    payload: bytes
    status: Status = "ok"
    error_type: str | None = None
    log_tail: bytes = b""

    @property
    def function_error(self) -> str | None:
        """X-Amz-Function-Error: Lambda says `Unhandled` whatever the runtime reported."""
        return None if self.status == "ok" else "Unhandled"

    @property
    def error_message(self) -> str | None:
        """The error document's message in one line; None where there is none."""
        if self.status == "ok":
            return None
        try:
            return " ".join(str(json.loads(self.payload)["errorMessage"]).split())[:500]
        except (ValueError, KeyError, TypeError, RecursionError):
            return None


@dataclass(eq=False, slots=True)
class Job:
    """One invocation waiting or running; a retried event is the same job again."""

    request_id: str
    payload: bytes
    kind: JobKind
    queued_ns: int
    """Wall clock of acceptance."""
    finish: Callable[["Job", Outcome | BenchmarkError | ThrottledError], None]
    order: int = 0
    retries: int = 0
    needs_new: bool = False
    """It was decided that this job starts an environment: one that becomes free meanwhile is not taken, or the
    function would never get all its environments on a host where an init phase has to wait for room."""
    future: "asyncio.Future[Outcome] | None" = field(default=None)
    arn: str = ""
    """What was invoked, with the qualifier that the caller gave; empty: the function's own."""
    client_context: str = ""
    """What the caller says of itself, one line of JSON; empty: nothing."""
    expires_s: float = math.inf
    """When an event is too old to be run, on the scaled clock."""
    counted: bool = False
    """It counts against the function's concurrency: it runs, or will as soon as the host has room."""
    modelled_delay_ms: float = 0.0
    """How long modelled delays have held it back: never part of a measured duration."""


def exit_outcome(request_id: str, exit_: Exit, timeout_s: int) -> Outcome:
    """What Lambda says of an invocation whose process ended."""
    if exit_.reason == "timeout":
        return failure(request_id, "Sandbox.Timedout", f"Task timed out after {timeout_s}.00 seconds", "timeout")
    if exit_.reason == "memory":
        return failure(request_id, "Runtime.OutOfMemory", "Runtime exited with error: signal: killed")
    if exit_.reason == "storage":
        # Lambda's disk is full instead: ENOSPC. No error of Lambda's is borrowed for what Lambda does not do.
        return failure(request_id, "Sandbox.StorageExceeded", "the disk at /tmp holds more than EphemeralStorage")
    how = f"exit status {exit_.code}" if exit_.code >= 0 else f"signal: {_SIGNALS.get(-exit_.code, -exit_.code)}"
    text = f"Runtime exited with error: {how}" if exit_.code else "Runtime exited without providing a reason"
    return failure(request_id, "Runtime.ExitError", text)


_SIGNALS = {6: "aborted", 9: "killed", 11: "segmentation fault", 15: "terminated"}
"""Names as Go prints them, which is what Lambda's messages show."""


def failure(request_id: str, error_type: str, message: str, status: Status = "error") -> Outcome:
    """An error document of the platform's own."""
    document = {"errorType": error_type, "errorMessage": f"RequestId: {request_id} Error: {message}"}
    return Outcome(json.dumps(document).encode(), status, error_type)


def reported_failure(body: bytes, error_type: str | None) -> Outcome:
    """An error document of the runtime's; its own errorType is the more exact one."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    named = document.get("errorType") if isinstance(document, dict) else None
    return Outcome(body, "error", str(named or error_type or "Unhandled"))
