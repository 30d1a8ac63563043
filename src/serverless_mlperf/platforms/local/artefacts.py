"""Function code and layers, unpacked once per content."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import sys
from typing import Final

from serverless_mlperf.cache import cache_dir
from serverless_mlperf.errors import PackageError, PlatformError
from serverless_mlperf.packages.archive import unpack
from serverless_mlperf.platforms.local.errand import end_with_server, run_errand
from serverless_mlperf.platforms.local.model import FunctionSpec
from serverless_mlperf.platforms.local.storehouse import MARKER, made_once

UNPACK_DEADLINE_S: Final = 120
_MODULE: Final = "serverless_mlperf.platforms.local.artefacts"


@dataclass(frozen=True, slots=True)
class Code:
    """Where a function's files lie."""

    task_root: Path
    layers: tuple[Path, ...]
    """In merge order: a later one overwrites."""


class Artefacts:
    """Unpacks in processes of their own: the server's event loop must not wait for zlib."""

    def __init__(self) -> None:
        self._folder = cache_dir() / "unpacked"
        self._running: dict[Path, asyncio.Future[Path]] = {}
        self._closed = False

    async def close(self) -> None:
        """End what is still being unpacked; nothing is any more."""
        self._closed = True
        for running in self._running.values():
            running.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def code(self, spec: FunctionSpec) -> Code:
        """Unpack what is not there yet; raises PackageError."""
        wanted = [(spec.code_sha256, spec.code_zip), *spec.layer_zips]
        task_root, *layers = await asyncio.gather(*(self._unpacked(sha256, path) for sha256, path in wanted))
        return Code(task_root, tuple(layers))

    async def _unpacked(self, sha256: str, archive: Path) -> Path:
        folder = self._folder / _folder_name(sha256)
        if folder not in self._running:
            if (folder / MARKER).is_file():
                return folder
            if self._closed:
                raise PlatformError("local platform: it is shutting down; start the server again")
            self._running[folder] = asyncio.ensure_future(_unpack_in_process(archive, folder))
            self._running[folder].add_done_callback(lambda _: self._running.pop(folder, None))
        return await asyncio.shield(self._running[folder])


def _folder_name(sha256: str) -> str:
    """Digests come in hexadecimal or in base64, whose `/` is no name."""
    name = sha256.replace("/", "_").replace("+", "-").rstrip("=")
    if not name.replace("_", "").replace("-", "").isalnum():
        raise PackageError(f"{sha256!r} is not a digest of a package")
    return name


async def _unpack_in_process(archive: Path, folder: Path) -> Path:
    try:
        done = await run_errand(_MODULE, str(archive), str(folder), deadline_s=UNPACK_DEADLINE_S)
    except TimeoutError:
        raise PackageError(f"{archive}: not unpacked within {UNPACK_DEADLINE_S} s") from None
    if done.status:
        raise PackageError(done.reason or f"{archive}: unpacking ended with status {done.status}")
    return folder


def main(arguments: Sequence[str]) -> int:
    """Unpack the first argument into the folder named by the second."""
    end_with_server()
    archive, folder = Path(arguments[0]), Path(arguments[1])
    try:
        made_once(folder, lambda scratch: _unpack(archive, scratch))
    except (PackageError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _unpack(archive: Path, folder: Path) -> None:
    unpack(archive, folder)
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode & 0o777
            # Readable for the sandbox's user whatever the zip says, as Lambda demands of a package.
            path.chmod(mode | (0o555 if path.is_dir() else 0o444))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
