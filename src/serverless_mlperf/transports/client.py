"""A thin HTTP client for one AWS service: a warm pool of connections, signatures where there are credentials."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from yarl import URL

from serverless_mlperf.transports.sigv4 import Credentials, Signer

KEEP_ALIVE_S: Final = 60
_NO_HEADERS: Final[Mapping[str, str]] = {}
_UNWANTED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
"""Headers aiohttp would add; nobody reads them, and each costs client CPU in the timed region."""


class ServiceClient:
    """Requests to one endpoint; opened and closed on the event loop that uses it."""

    def __init__(
        self, endpoint_url: str, service: str, region: str, credentials: Credentials | None, connections: int
    ) -> None:
        self._base = URL(endpoint_url.rstrip("/"))
        host = self._base.host or ""
        self._host = host if self._base.is_default_port() else f"{host}:{self._base.port}"
        self._signer = Signer(credentials, region, service) if credentials else None
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

    async def warm(self, path: str) -> None:
        """Fill the pool: as many requests at once as there are connections. Any answer will do."""
        await asyncio.gather(*(self.request("HEAD", path, timeout_s=30) for _ in range(self._connections)))

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = _NO_HEADERS, timeout_s: float = 30
    ) -> tuple[int, bytes]:
        """Send one request and read its answer; raises aiohttp.ClientError, OSError or TimeoutError."""
        if self._session is None:
            raise aiohttp.ClientConnectionError(f"client for {self._base} is closed")
        if self._signer is not None:
            headers = self._signer.sign(method, self._host, path, headers, body)
        options: dict[str, Any] = {"data": body} if body else {}
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        url = self._base.with_path(path, encoded=True)
        async with self._session.request(
            method, url, headers=headers, allow_redirects=False, timeout=timeout, **options
        ) as response:
            return response.status, await response.read()
