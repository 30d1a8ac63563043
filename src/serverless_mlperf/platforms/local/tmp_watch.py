"""Keeps what environments have in /tmp within their EphemeralStorage, by looking: a disk folder has no limit itself."""

import asyncio
from collections.abc import Callable, Iterable
import os
from pathlib import Path
from typing import Final, Protocol

from serverless_mlperf.platforms.local.model import FunctionSpec

WATCH_S: Final = 1.0
_BLOCK_BYTES: Final = 512
"""The unit of st_blocks (stat(2))."""


class Watched(Protocol):
    """An environment, as far as it is watched."""

    spec: FunctionSpec

    @property
    def tmp(self) -> Path | None:
        """Its private folder; None while it may not be looked at, or cannot have changed."""

    def kill(self, reason: str) -> None:
        """End its process."""


async def watch_tmp(environments: Callable[[], Iterable[Watched]]) -> None:
    """Kill whatever holds too much, again and again, until cancelled; the looking is done in a thread."""
    while True:
        await asyncio.sleep(WATCH_S)
        for environment in list(environments()):
            folder = environment.tmp
            if folder is not None:
                held = await asyncio.to_thread(allocated_bytes, folder)
                if held > environment.spec.ephemeral_mib * 2**20:
                    environment.kill("storage")


def allocated_bytes(folder: Path) -> int:
    """Bytes on disk below a folder; what vanishes meanwhile counts nothing."""
    total = 0
    for where, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            try:
                total += os.lstat(os.path.join(where, name)).st_blocks * _BLOCK_BYTES  # noqa: PTH118 - in a hurry
            except FileNotFoundError:
                continue
    return total
