"""Function code and layers, unpacked once per content and verified once per server."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
import hashlib
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

Zips = Sequence[tuple[str, Path]]
"""(sha256, zip) of what goes into one folder, in order: a later one overwrites."""


@dataclass(frozen=True, slots=True)
class Code:
    """Where a function's files lie."""

    task_root: Path
    opt: Path | None
    """All layers together, a later one over an earlier one; None without any."""


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
        wanted = [((spec.code_sha256, spec.code_zip),), *((spec.layer_zips,) if spec.layer_zips else ())]
        task_root, *opt = await asyncio.gather(*(self._unpacked(zips) for zips in wanted))
        return Code(task_root, opt[0] if opt else None)

    async def _unpacked(self, zips: Zips) -> Path:
        folder = self._folder / _folder_name([sha256 for sha256, _ in zips])
        if folder in self._verified:
            return folder
        if self._closed:
            raise PlatformError("local platform: it is shutting down; start the server again")
        if folder not in self._running:
            self._running[folder] = asyncio.ensure_future(_unpack_in_process(zips, folder))
            self._running[folder].add_done_callback(lambda _: self._running.pop(folder, None))
        await asyncio.shield(self._running[folder])
        self._verified.add(folder)
        return folder


def _folder_name(digests: Sequence[str]) -> str:
    """The digest itself, of several together one of theirs; it becomes a path, so it must be one."""
    for sha256 in digests:
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise PackageError(f"{sha256!r} is not the SHA-256 of a package")
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


async def _unpack_in_process(zips: Zips, folder: Path) -> Path:
    names = ", ".join(str(archive) for _, archive in zips)
    words = (word for sha256, archive in zips for word in (sha256, str(archive)))
    try:
        done = await run_errand(_MODULE, str(folder), *words, deadline_s=UNPACK_DEADLINE_S)
    except TimeoutError:
        raise PackageError(f"{names}: not unpacked within {UNPACK_DEADLINE_S} s") from None
    if done.status:
        raise PackageError(done.reason or f"{names}: unpacking ended with status {done.status}")
    sys.stderr.write(done.stderr)
    return folder
