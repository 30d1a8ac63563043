"""A thin HTTP client for one AWS service: a warm pool of connections, signatures where there are credentials."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
import io
from typing import Any, Final

import aiohttp
from yarl import URL

from serverless_mlperf.transports.sigv4 import Digested, Identity, Signer

KEEP_ALIVE_S: Final = 60
CONNECT_S: Final = 10
"""A connection that is not made by then will not be; nothing has been sent."""
_NO_HEADERS: Final[Mapping[str, str]] = {}
_UNWANTED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
"""Headers aiohttp would add; nobody reads them, and each costs client CPU in the timed region."""
_LARGE_BYTES: Final = 1 << 20
"""From here on aiohttp wants a file, which it sends piece by piece, letting the loop run in between."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, as far as it came."""

    status: int
    headers: Mapping[str, str]
    """Looked up without regard to case."""
    body: bytes = field(repr=False)
    cut: str | None = None
    """Why the body ends before its end; None when it is whole."""


class ServiceClient:
    """Requests to one endpoint; opened and closed on the event loop that uses it."""

    def __init__(
        self, endpoint_url: str, service: str, region: str, identity: Identity | None, connections: int
    ) -> None:
        self._base = URL(endpoint_url.rstrip("/"))
        host = self._base.host or ""
        self._host = host if self._base.is_default_port() else f"{host}:{self._base.port}"
        self._signer = Signer(identity, region, service) if identity else None
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the pool; connections are made by the first requests."""
        connector = aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=KEEP_ALIVE_S)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_UNWANTED,
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Release all connections; idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def warm(self, path: str, method: str = "HEAD", headers: Mapping[str, str] = _NO_HEADERS) -> list[Answer]:
        """Fill the pool: as many requests at once as there are connections; returns the answers."""
        requests = (self.exchange(method, path, b"", headers) for _ in range(self._connections))
        return await asyncio.gather(*requests)

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = _NO_HEADERS, timeout_s: float = 30
    ) -> tuple[int, bytes]:
        """Send one request and read its answer; raises aiohttp.ClientError, OSError or TimeoutError."""
        answer = await self.exchange(method, path, body, headers, timeout_s)
        if answer.cut is not None:
            raise aiohttp.ClientPayloadError(answer.cut)
        return answer.status, answer.body

    async def exchange(
        self,
        method: str,
        path: str,
        body: bytes | Digested = b"",
        headers: Mapping[str, str] = _NO_HEADERS,
        timeout_s: float = 30,
    ) -> Answer:
        """Send one request; returns what was answered, also when it broke off, with its headers.

        Raises aiohttp.ClientError, OSError or TimeoutError: aiohttp.ClientConnectorError and
        aiohttp.ConnectionTimeoutError when nothing was sent, any other when the request may have arrived.
        """
        if self._session is None:
            raise aiohttp.ClientConnectionError(f"client for {self._base} is closed")
        if self._signer is not None:
            headers = self._signer.sign(method, self._host, path, headers, body)
        data = body.body if isinstance(body, Digested) else body
        options: dict[str, Any] = {"data": data if len(data) < _LARGE_BYTES else io.BytesIO(data)} if data else {}
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(timeout_s, CONNECT_S))
        url = self._base.with_path(path, encoded=True)
        async with self._session.request(
            method, url, headers=headers, allow_redirects=False, timeout=timeout, **options
        ) as response:
            try:
                return Answer(response.status, response.headers, await response.read())
            except aiohttp.ClientPayloadError as error:
                return Answer(response.status, response.headers, b"", str(error))
