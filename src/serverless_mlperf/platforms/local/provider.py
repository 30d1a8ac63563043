"""The embedded platform as it is chosen: this host's cores, Python and architecture."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
import platform
from typing import Any, Final

from serverless_mlperf.errors import InputError
from serverless_mlperf.host import host_cores
from serverless_mlperf.packages import Package, cached_packages
from serverless_mlperf.platforms.base import FunctionConfig, Platform
from serverless_mlperf.platforms.local.faults import FaultSettings
from serverless_mlperf.platforms.local.host import undisturbed_at_once
from serverless_mlperf.platforms.local.platform import LocalPlatform, check_concurrency
from serverless_mlperf.platforms.local.restraint import usable
from serverless_mlperf.platforms.provider import Wishes
from serverless_mlperf.workloads import Architecture, EngineAndFormat

_NAMES: Final = {"aarch64": "arm64"}
"""The kernel's names of architectures that AWS calls otherwise."""


def host_architecture() -> str:
    """The host's, under AWS's name."""
    machine = platform.machine()
    return _NAMES.get(machine, machine)


class LocalProvider:
    """Implements platforms.provider.Provider."""

    region = None

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes

    def check(self, concurrency: int | None, memory_mib: Iterable[int], architectures: Iterable[Architecture]) -> None:
        """Refuse environments that would wait for the host, a controller that it lacks, and another architecture."""
        check_concurrency(concurrency, memory_mib)
        usable(self._wishes.controller)
        here = host_architecture()
        for architecture in architectures:
            if architecture != here:
                raise InputError(
                    f"--architecture {architecture}: the local platform runs functions on this host, which is {here}; "
                    f"give --architecture {here}, or --platform aws"
                )

    def environments(self, memory_mib: int) -> int:
        """As many as the host runs undisturbed."""
        return undisturbed_at_once(memory_mib, host_cores())

    def packages(self, engine_and_format: EngineAndFormat, architecture: Architecture) -> tuple[Package, Package]:
        """From what is installed here: `check` has seen that the architecture is the host's."""
        del architecture
        return cached_packages(engine_and_format)

    def describe(self) -> Mapping[str, Any]:
        """Nothing: a result names its host."""
        return {}

    def open(self, functions: Sequence[FunctionConfig], say: Callable[[str], None]) -> AbstractContextManager[Platform]:
        """A server, which takes functions one by one."""
        del functions, say
        faults = self._wishes.faults
        settings = None if faults is None else FaultSettings.from_text(faults)
        return LocalPlatform(self._wishes.bucket, settings, self._wishes.controller)


def make(wishes: Wishes) -> LocalProvider:
    """The provider; what of the wishes is another platform's is not looked at."""
    return LocalProvider(wishes)
