"""Function code and layers, unpacked once per content and verified once per server."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
import re
import sys
from typing import Final

from serverless_mlperf.cache import cache_section
from serverless_mlperf.errors import PackageError, PlatformError
from serverless_mlperf.platforms.local.errand import run_errand
from serverless_mlperf.platforms.local.model import FunctionSpec

UNPACK_DEADLINE_S: Final = 120
_MODULE: Final = "serverless_mlperf.platforms.local.unpacking"


@dataclass(frozen=True, slots=True)
class Code:
    """Where a function's files lie."""

    task_root: Path
    layers: tuple[Path, ...]
    """In merge order: a later one overwrites."""


class Artefacts:
    """Unpacks and verifies in processes of their own: the server's event loop must not wait for zlib or a digest.

    What a former server left in the cache is compared with its manifest before it is first used, which is when the
    first environment of a function starts: before any measured window.
    """

    def __init__(self) -> None:
        self._folder = cache_section("unpacked")
        self._verified: set[Path] = set()
        self._running: dict[Path, asyncio.Future[Path]] = {}
        self._closed = False

    async def close(self) -> None:
        """End what is still being unpacked; nothing is any more."""
        self._closed = True
        for running in self._running.values():
            running.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def code(self, spec: FunctionSpec) -> Code:
        """Unpack what is not there yet, verify what is; raises PackageError."""
        wanted = [(spec.code_sha256, spec.code_zip), *spec.layer_zips]
        task_root, *layers = await asyncio.gather(*(self._unpacked(sha256, path) for sha256, path in wanted))
        return Code(task_root, tuple(layers))

    async def _unpacked(self, sha256: str, archive: Path) -> Path:
        folder = self._folder / _folder_name(sha256)
        if folder in self._verified:
            return folder
        if self._closed:
            raise PlatformError("local platform: it is shutting down; start the server again")
        if folder not in self._running:
            self._running[folder] = asyncio.ensure_future(_unpack_in_process(archive, folder))
            self._running[folder].add_done_callback(lambda _: self._running.pop(folder, None))
        await asyncio.shield(self._running[folder])
        self._verified.add(folder)
        return folder


def _folder_name(sha256: str) -> str:
    """The digest itself; it becomes a path, so it must be one."""
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise PackageError(f"{sha256!r} is not the SHA-256 of a package")
    return sha256


async def _unpack_in_process(archive: Path, folder: Path) -> Path:
    try:
        done = await run_errand(_MODULE, str(archive), str(folder), deadline_s=UNPACK_DEADLINE_S)
    except TimeoutError:
        raise PackageError(f"{archive}: not unpacked within {UNPACK_DEADLINE_S} s") from None
    if done.status:
        raise PackageError(done.reason or f"{archive}: unpacking ended with status {done.status}")
    sys.stderr.write(done.stderr)
    return folder
