"""The seam between LoadGen's driver and the way a query travels to a function."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from serverless_mlperf.errors import PlatformError
from serverless_mlperf.lambda_log import tail_report
from serverless_mlperf.platforms.base import Report, Target
from serverless_mlperf.transports.sigv4 import Identity


class TransportError(PlatformError):
    """The platform has not accepted a query."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a run gives to whatever transport it uses."""

    target: Target
    samples: Sequence[str]
    """Object keys of the images, by sample index."""
    run: str
    """Keys of queries begin with `<run>-`."""
    identity: Identity | None = None
    """Who signs them. None: requests are not signed (the local platform does not check signatures)."""
    sample_paths: Sequence[Path] | None = None
    """Files of the same images; None where the client does not have them."""
    deadline_s: float = 60.0
    """How long a query is waited for: what was refused is not tried again after it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one query; several may arrive for one key (at-least-once delivery)."""

    key: str
    """`<run>-<sequence>`: the base name of the input object without `.json`."""
    ok: bool
    """False: an error record, or a body that could not be fetched or read."""
    body: dict[str, Any] = field(default_factory=dict)
    """The output JSON decoded, or the error record."""
    raw: bytes = b""
    """The same as delivered, to be kept byte for byte."""
    error: str | None = None
    sent_ns: int = 0
    """Wall clock (`time.time_ns`) when the request had been handed to the platform (PUT answered); 0 if unknown."""
    noticed_ns: int = 0
    """Wall clock when the client was told that a result exists."""
    fetched_ns: int = 0
    """Wall clock when the result was in the client's hands and read."""
    asked_ns: int = 0
    """Wall clock when the request began whose response is the result; 0 where results travel on their own."""
    log_result: str = field(default="", repr=False)
    """X-Amz-Log-Result of a synchronous invocation: the tail of its log in base64, read after the run."""

    @property
    def report(self) -> Report | None:
        """What the platform said of the invocation together with its result; None if it said nothing."""
        return tail_report(self.log_result)


class Transport(Protocol):
    """How queries travel; asyncio, used from one event loop, closed by who opened it.

    `send` returns when the platform has accepted the query (s3), or when it has answered it (invoke: the reply is
    given before `send` returns), and raises OSError, aiohttp.ClientError or TransportError when it has not. How many
    run at once is the caller's to bound: a transport whose `send` lasts until the answer must not be given more than
    the target has environments. Replies come through the callback given to `open`, in any order, zero to
    many times per key; the receiver drops duplicates.
    """

    async def open(self, on_reply: Callable[[Reply], None]) -> None:
        """Connect, warm the connection pool and start to listen."""

    async def send(self, key: str, sample_index: int) -> None:
        """Send one query; must not block the loop."""

    async def close(self) -> None:
        """Stop listening and release connections; idempotent."""

    def counts(self) -> Mapping[str, int]:
        """What the transport had to deal with so far, e.g. `stale`, `redelivered`, `queue_errors`, `retries`."""


def error_text(body: Mapping[str, Any]) -> str:
    """`type: message` of an error record."""
    error = body.get("error")
    return f"{error.get('type')}: {error.get('message')}" if isinstance(error, dict) else "error record without error"
