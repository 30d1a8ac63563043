"""The process that unpacks and verifies: `python -m serverless_mlperf.platforms.local.unpacking ZIP FOLDER`."""

from collections.abc import Sequence
from pathlib import Path
import sys

from serverless_mlperf.errors import PackageError
from serverless_mlperf.packages.archive import digest, unpack
from serverless_mlperf.platforms.local.errand import end_with_server
from serverless_mlperf.platforms.local.storehouse import made_once


def main(arguments: Sequence[str]) -> int:
    """Unpack the first argument into the folder named by the second, whose name is the zip's digest."""
    end_with_server()
    archive, folder = Path(arguments[0]), Path(arguments[1])
    try:
        made_once(folder, lambda scratch: _unpack(archive, folder.name, scratch))
    except (PackageError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _unpack(archive: Path, sha256: str, folder: Path) -> None:
    if digest(archive) != sha256:
        raise PackageError(f"{archive}: is not the package of digest {sha256}; deploy it again")
    unpack(archive, folder)
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode & 0o777
            # Readable for the sandbox's user whatever the zip says, as Lambda demands of a package.
            path.chmod(mode | (0o555 if path.is_dir() else 0o444))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
