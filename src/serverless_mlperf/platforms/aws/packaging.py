"""Packages for the functions' Python and architecture, which need not be this host's."""

import platform
import sys
from typing import Final

from serverless_mlperf.packages import BuildTarget, Package, cached_packages, cached_target_packages
from serverless_mlperf.workloads import Architecture, EngineAndFormat

PYTHON: Final = "3.13"
"""The default of the functions' Python."""
_MACHINES: Final = {"x86_64": "x86_64", "aarch64": "arm64"}


def check_target(python: str, architecture: Architecture, *, local: bool) -> None:
    """Raise InputError for a Python that no packages can be built for.

    A test server on this host (`local`) runs functions in this host's Python, with what is installed here.
    """
    if not (local and is_host(python, architecture)):
        BuildTarget(python, architecture)


def packages_for(
    python: str, engine_and_format: EngineAndFormat, architecture: Architecture, *, local: bool
) -> tuple[Package, Package]:
    """The function's zip and the engine's layer, of wheels pinned for the target; raises BenchmarkError.

    Of what is installed here only for a test server on this host (`local`), and never for AWS.
    """
    if local and is_host(python, architecture):
        return cached_packages(engine_and_format)
    return cached_target_packages(engine_and_format, BuildTarget(python, architecture))


def is_host(python: str, architecture: Architecture) -> bool:
    """Whether the functions' Python and machine are this host's."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}", _MACHINES.get(platform.machine())
    return (python, architecture) == here
