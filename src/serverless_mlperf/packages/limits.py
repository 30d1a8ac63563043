"""What Lambda takes together: size and number of a function's packages, checked before anything is uploaded."""

from typing import Final

from serverless_mlperf.errors import PackageError
from serverless_mlperf.packages.archive import LIMIT_BYTES, Package

MAX_LAYERS: Final = 5
_NAMED: Final = 3
"""Largest members that a message names."""


def check_limits(*packages: Package) -> None:
    """Raise PackageError if the packages of one function, its own and those of its layers, are not taken together.

    Limits: AWS, lambda/latest/dg/gettingstarted-limits.
    """
    layers = [package.name for package in packages if package.name != "function"]
    if len(layers) > MAX_LAYERS:
        raise PackageError(f"{' + '.join(layers)}: {len(layers)} layers, Lambda takes {MAX_LAYERS}; put some into one")
    total = sum(package.unzipped_bytes for package in packages)
    if total > LIMIT_BYTES:
        names = " + ".join(package.name for package in packages)
        raise PackageError(
            f"{names}: {total / 2**20:.1f} MiB unzipped, Lambda takes {LIMIT_BYTES // 2**20}; "
            f"leave something out, the largest (MiB) are {_largest(packages)}"
        )


def _largest(packages: tuple[Package, ...]) -> str:
    """Largest members of all packages; each notes enough of its own for that."""
    found = sorted((item for package in packages for item in package.largest), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {size / 2**20:.1f}" for name, size in found[:_NAMED])
