"""AWS as it is chosen: an account and a region, and packages for its runtime."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from serverless_mlperf.packages import BuildTarget, Package, cached_packages
from serverless_mlperf.platforms.aws.packaging import PYTHON, is_host, packages_for
from serverless_mlperf.platforms.aws.platform import AwsPlatform
from serverless_mlperf.platforms.aws.request import ENVIRONMENTS, Options
from serverless_mlperf.platforms.aws.session import Aws, open_session
from serverless_mlperf.platforms.aws.spec import PROJECT
from serverless_mlperf.platforms.base import FunctionConfig, Platform
from serverless_mlperf.platforms.provider import Wishes
from serverless_mlperf.workloads import Architecture, EngineAndFormat


class AwsProvider:
    """Implements platforms.provider.Provider."""

    def __init__(self, aws: Aws, wishes: Wishes) -> None:
        self._aws = aws
        self._python = wishes.python or PYTHON
        self._project = wishes.project or PROJECT
        self._ephemeral = wishes.ephemeral

    @property
    def region(self) -> str | None:
        """The session's."""
        return self._aws.region

    def check(self, concurrency: int | None, memory_mib: Iterable[int], architectures: Iterable[Architecture]) -> None:
        """Refuse a Python that no packages can be built for; what the account allows is read when the stack is made.

        A test server on this host runs functions in this host's Python.
        """
        del concurrency, memory_mib
        for architecture in architectures:
            if not self._runs_here(architecture):
                BuildTarget(self._python, architecture)

    def environments(self, memory_mib: int) -> int:
        """As many for every size: what a function's CPU share is does not depend on others."""
        del memory_mib
        return ENVIRONMENTS

    def packages(self, engine_and_format: EngineAndFormat, architecture: Architecture) -> tuple[Package, Package]:
        """Of the wheels that are pinned for the target; for a test server on this host, of what is installed here."""
        if self._runs_here(architecture):
            return cached_packages(engine_and_format)
        return packages_for(self._python, engine_and_format, architecture)

    def describe(self) -> Mapping[str, Any]:
        """Region, Python and project; never the account."""
        return {"name": "aws", "region": self._aws.region, "python": self._python, "project": self._project}

    def open(self, functions: Sequence[FunctionConfig], say: Callable[[str], None]) -> AbstractContextManager[Platform]:
        """The stack of all these functions."""
        options = Options(project=self._project, runtime=f"python{self._python}", reserve=True)
        return AwsPlatform(self._aws, options, functions, say, ephemeral=self._ephemeral)

    def _runs_here(self, architecture: Architecture) -> bool:
        return self._aws.is_local and is_host(self._python, architecture)


def make(wishes: Wishes) -> AwsProvider:
    """Ask AWS who we are; raises InputError without usable credentials or region."""
    return AwsProvider(open_session(wishes.profile, wishes.region), wishes)
