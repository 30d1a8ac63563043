"""AWS as it is chosen: an account and a region, and packages for its runtime."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from serverless_mlperf.packages import Package
from serverless_mlperf.platforms.aws.deployment import standing_spec
from serverless_mlperf.platforms.aws.packaging import PYTHON, check_target, packages_for
from serverless_mlperf.platforms.aws.platform import AwsPlatform
from serverless_mlperf.platforms.aws.request import ENVIRONMENTS, Options
from serverless_mlperf.platforms.aws.session import Aws, open_session
from serverless_mlperf.platforms.aws.spec import PROJECT, check_project
from serverless_mlperf.platforms.aws.stack import Stack
from serverless_mlperf.platforms.base import FunctionConfig, Platform
from serverless_mlperf.platforms.provider import Wishes
from serverless_mlperf.workloads import Architecture, EngineAndFormat


class AwsProvider:
    """Implements platforms.provider.Provider."""

    def __init__(self, aws: Aws, wishes: Wishes, standing_python: str | None = None) -> None:
        """`standing_python`: of the functions that stand already, unless another one is wished."""
        self._aws = aws
        self._python = wishes.python or standing_python or PYTHON
        self._project = wishes.project or PROJECT
        self._ephemeral = wishes.ephemeral

    @property
    def region(self) -> str | None:
        """The session's."""
        return self._aws.region

    def check(self, concurrency: int | None, memory_mib: Iterable[int], architectures: Iterable[Architecture]) -> None:
        """Refuse a Python that no packages can be built for; what the account allows is read when the stack is made."""
        del concurrency, memory_mib
        for architecture in architectures:
            check_target(self._python, architecture, local=self._aws.is_local)

    def environments(self, memory_mib: int) -> int:
        """As many for every size: what a function's CPU share is does not depend on others."""
        del memory_mib
        return ENVIRONMENTS

    def packages(self, engine_and_format: EngineAndFormat, architecture: Architecture) -> tuple[Package, Package]:
        """Of the wheels that are pinned for the target; for a test server on this host, of what is installed here."""
        return packages_for(self._python, engine_and_format, architecture, local=self._aws.is_local)

    def describe(self) -> Mapping[str, Any]:
        """Region, Python and project; never the account."""
        return {"name": "aws", "region": self._aws.region, "python": self._python, "project": self._project}

    def open(self, functions: Sequence[FunctionConfig], say: Callable[[str], None]) -> AbstractContextManager[Platform]:
        """The stack of all these functions."""
        options = Options(project=self._project, runtime=f"python{self._python}", reserve=True)
        return AwsPlatform(self._aws, options, functions, say, ephemeral=self._ephemeral)


def make(wishes: Wishes) -> AwsProvider:
    """Ask AWS who we are, and what stands; raises InputError without usable credentials or region."""
    aws = open_session(wishes.profile, wishes.region)
    standing = None
    if wishes.python is None:
        standing = standing_spec(Stack(aws, check_project(wishes.project or PROJECT), lambda _: None))
    return AwsProvider(aws, wishes, standing.runtime.removeprefix("python") if standing else None)
