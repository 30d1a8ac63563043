"""The seam between LoadGen's driver and the way a query travels to a function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from serverless_mlperf.errors import PlatformError


class TransportError(PlatformError):
    """The platform has not accepted a query."""


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
    """Wall clock when the result was in the client's hands."""


class Transport(Protocol):
    """How queries travel; asyncio, used from one event loop, closed by who opened it.

    `send` returns when the platform has accepted the query, and raises OSError, aiohttp.ClientError or
    TransportError when it has not. Replies come through the callback given to `open`, in any order, zero to
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
