"""The seam before anything stands: what a platform can, what is built for it, and how it is opened."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from serverless_mlperf.packages.archive import Package
from serverless_mlperf.platforms.base import FunctionConfig, Platform
from serverless_mlperf.workloads import Architecture, EngineAndFormat


@dataclass(frozen=True, slots=True)
class Traits:
    """What of a platform decides how runs are judged and priced."""

    shares_host: bool
    """Functions run on the client's own cores: memory and threads are the host's, and what a quota predicts of the
    measured CPU time must come true."""
    bills: bool
    """The durations it reports are what is paid for; elsewhere a price is modelled."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a user may say of a platform; each takes what is its own."""

    bucket: str
    faults: str | None = None
    controller: str = "sigstop"
    """What holds environments of this host to their CPU share."""
    project: str | None = None
    region: str | None = None
    profile: str | None = None
    python: str | None = None
    """`3.13`: of the functions."""
    ephemeral: bool = False
    """Leave nothing behind, not even between two experiments."""


class Provider(Protocol):
    """A platform as it is chosen: nothing stands and nothing costs before `open`."""

    @property
    def region(self) -> str | None:
        """Where functions will live, which is whose prices count; None where nobody charges for it."""

    def check(self, concurrency: int | None, memory_mib: Iterable[int], architectures: Iterable[Architecture]) -> None:
        """Raise InputError for what is asked and cannot be; `concurrency` None: the default of every size."""

    def environments(self, memory_mib: int) -> int:
        """Environments that a cell gets when nobody says how many."""

    def packages(self, engine_and_format: EngineAndFormat, architecture: Architecture) -> tuple[Package, Package]:
        """The function's zip and the engine's layer for the functions' Python; raises PackageError, HostError."""

    def describe(self) -> Mapping[str, Any]:
        """What a result names of it, and what an experiment that goes on must find unchanged."""

    def open(self, functions: Sequence[FunctionConfig], say: Callable[[str], None]) -> AbstractContextManager[Platform]:
        """The platform with room for all these functions, which `say` tells of what it does in lines.

        Entering the context makes it, leaving it ends it.
        """
