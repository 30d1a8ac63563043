"""The process that unpacks and verifies: `python -m ...unpacking FOLDER (SHA256 ZIP)...`.

Several zips go over each other into one folder, as Lambda extracts layers into /opt.
"""

from collections.abc import Sequence
from pathlib import Path
import sys

from serverless_mlperf.errors import PackageError
from serverless_mlperf.packages.archive import LIMIT_BYTES, digest, unpack
from serverless_mlperf.platforms.local.errand import end_with_server
from serverless_mlperf.platforms.local.storehouse import made_once


def main(arguments: Sequence[str]) -> int:
    """Make the folder named first out of the zips that follow, each after its digest."""
    end_with_server()
    zips = [(sha256, Path(archive)) for sha256, archive in zip(arguments[1::2], arguments[2::2], strict=True)]
    try:
        made_once(Path(arguments[0]), lambda scratch: _unpack_all(zips, scratch))
    except (PackageError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _unpack_all(zips: Sequence[tuple[str, Path]], folder: Path) -> None:
    left_bytes = LIMIT_BYTES
    for sha256, archive in zips:
        if digest(archive) != sha256:
            raise PackageError(f"{archive}: is not the package of digest {sha256}; deploy it again")
        left_bytes -= unpack(archive, folder, left_bytes)
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode & 0o777
            # Readable for the sandbox's user whatever the zip says, as Lambda demands of a package.
            path.chmod(mode | (0o555 if path.is_dir() else 0o444))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
