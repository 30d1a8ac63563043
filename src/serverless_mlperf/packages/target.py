"""For which of Lambda's machines packages are built: a Python and an architecture, whatever this host is."""

from dataclasses import dataclass
from importlib.resources import files as package_files
from typing import Final, get_args

from serverless_mlperf.errors import InputError
from serverless_mlperf.workloads import Architecture

"""As Lambda calls them."""
ARCHITECTURES: Final[tuple[Architecture, ...]] = get_args(Architecture)
GLIBC_MINOR: Final = {"3.12": 34, "3.13": 34}
"""Python -> minor version of the glibc 2 below its runtime: Amazon Linux 2023 has 2.34. The runtime python3.11 is on
Amazon Linux 2, whose 2.26 is older than what the engines' wheels are built for (AWS: lambda/latest/dg/lambda-runtimes,
docs.aws.amazon.com/linux/al2023/ug/compare-with-al2)."""
_MACHINE: Final[dict[str, str]] = {"x86_64": "x86_64", "arm64": "aarch64"}
_OLDEST_GLIBC_MINOR: Final = 17
"""What `manylinux2014` means (PEP 600)."""


@dataclass(frozen=True, slots=True)
class BuildTarget:
    """A runtime of Lambda that packages are built for; raises InputError for one that they cannot be built for."""

    python: str = "3.13"
    architecture: str = "x86_64"

    def __post_init__(self) -> None:
        if self.python not in GLIBC_MINOR:
            raise InputError(
                f"--python {self.python}: packages for Lambda are built for {' and '.join(GLIBC_MINOR)} "
                "(older ones run on a glibc that the engines do not); leave it out for this host's Python"
            )
        if self.architecture not in ARCHITECTURES:
            raise InputError(f"--architecture {self.architecture}: one of {', '.join(ARCHITECTURES)}")

    @property
    def name(self) -> str:
        """E.g. `python3.13-arm64`."""
        return f"{self.runtime}-{self.architecture}"

    @property
    def runtime(self) -> str:
        """Lambda's name of the Python, which is also that of its folder."""
        return f"python{self.python}"

    @property
    def site_packages(self) -> str:
        """Where a layer has its distributions."""
        return f"python/lib/{self.runtime}/site-packages/"

    @property
    def machine(self) -> str:
        """The architecture as wheels call it."""
        return _MACHINE[self.architecture]

    @property
    def glibc_minor(self) -> int:
        """The newest glibc that a wheel may demand: 2.<this>."""
        return GLIBC_MINOR[self.python]

    @property
    def platforms(self) -> tuple[str, ...]:
        """Platform tags of the wheels that run there, the newest first (PEP 600)."""
        minors = range(self.glibc_minor, _OLDEST_GLIBC_MINOR - 1, -1)
        return (*(f"manylinux_2_{minor}_{self.machine}" for minor in minors), f"manylinux2014_{self.machine}")


def pins_name(layer: str, architecture: str) -> str:
    """Name of the file with a layer's pins, in `packages/wheels`."""
    return f"{layer}-{architecture}.txt"


def pins(layer: str, target: BuildTarget) -> str:
    """The layer's wheels for the target as a requirements file for `pip install --require-hashes`."""
    folder = package_files("serverless_mlperf.packages") / "wheels"
    return (folder / pins_name(layer, target.architecture)).read_text()
