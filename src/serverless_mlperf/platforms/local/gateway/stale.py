"""Requests that begin and never end: given up after a while, so that they hold no descriptor and no memory for ever."""

import asyncio
from collections.abc import Collection
from typing import Final

from serverless_mlperf.platforms.local.gateway.http import HttpConnection

PATIENCE_S: Final = 60.0
"""For a whole head, and for the next bytes of a body. Between requests a connection may rest as long as it likes: it
may be a frozen environment's."""


async def give_up_stale(connections: Collection[HttpConnection], patience_s: float = PATIENCE_S) -> None:
    """Look again and again, until cancelled; nothing of this is done where requests are served."""
    seen: dict[HttpConnection, tuple[tuple[int, int], float]] = {}
    while True:
        await asyncio.sleep(patience_s / 4)
        now_s = asyncio.get_running_loop().time()
        found = {connection: state for connection in connections if (state := connection.incomplete) is not None}
        seen = {c: seen[c] if c in seen and seen[c][0] == state else (state, now_s) for c, state in found.items()}
        for connection, (_, since_s) in seen.items():
            if now_s - since_s >= patience_s:
                connection.give_up(f"nothing more of this request has come for {patience_s:g} s")
