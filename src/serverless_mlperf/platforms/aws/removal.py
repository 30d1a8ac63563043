"""Removing everything of a project: in the order in which nothing runs, writes or holds on to anything any more.

Stop traffic, wait for what is in flight, empty the bucket, delete the stack, then look for what is left by every way
there is to find it. Each step may find nothing to do: what a cut-off deployment has made is removed the same way.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from botocore.exceptions import ClientError

from serverless_mlperf.errors import BenchmarkError
from serverless_mlperf.platforms.aws.buckets import Bucket, remove_bucket
from serverless_mlperf.platforms.aws.failures import is_missing, told
from serverless_mlperf.platforms.aws.leftovers import Leftovers, Stray, stray_of_stack
from serverless_mlperf.platforms.aws.session import Aws
from serverless_mlperf.platforms.aws.spec import ALIAS, artefacts_bucket, bucket_name
from serverless_mlperf.platforms.aws.stack import Stack
from serverless_mlperf.platforms.aws.waiting import Patience

DELETIONS: Final = 2
"""Tries before CloudFormation is told to give up what it cannot delete."""
INPUT: Final = "input/"
FUNCTION: Final = "AWS::Lambda::Function"


@dataclass(frozen=True, slots=True)
class Removal:
    """What `destroy` came to."""

    found: bool
    """Whether there was anything at all."""
    left: tuple[str, ...]
    """What is still there, or could not be looked for; empty: nothing of the project is."""


class Remover:
    """Removes one project's stack, buckets and strays; blocking. Done twice, the second time finds nothing."""

    def __init__(self, aws: Aws, project: str, say: Callable[[str], None], patience: Patience | None = None) -> None:
        self._project = project
        self._say = say
        self._patience = patience or Patience()
        self._stack = Stack(aws, project, say, self._patience)
        self._lambda = aws.client("lambda")
        self._data = Bucket(aws, bucket_name(project, aws.account, aws.region))
        self._artefacts = Bucket(aws, artefacts_bucket(project, aws.account, aws.region))
        self._leftovers = Leftovers(aws, project)
        self._left: list[str] = []
        self._given_up: list[Stray] = []
        self._found = False

    def destroy(self) -> Removal:
        """Remove all of it. Raises BenchmarkError when not even the stack can be looked at; else what fails is told."""
        self._left, self._given_up, self._found = [], [], False
        status = self._stack.settle()
        if status is not None:
            self._found = True
            self._say(f"stack {self._project} is {status}: it is removed")
            self._attempt("stopping traffic", self._stop_traffic)
            self._attempt("waiting for what is in flight", self._wait_for_flight)
            self._attempt(f"removing stack {self._project}", self._remove_stack)
        for bucket in (self._data, self._artefacts):
            self._attempt(f"removing bucket {bucket.shown}", partial(self._remove_bucket, bucket))
        self._attempt("looking for what is left", self._sweep)
        return Removal(self._found, tuple(dict.fromkeys(self._left)))

    def _attempt(self, what: str, step: Callable[[], None]) -> None:
        """Do a step; when it fails, that is told in the end, and the other steps are done nevertheless."""
        try:
            step()
        except BenchmarkError as error:
            self._say(f"{what} failed: {error}")
            self._left.append(f"{what}: {error}")

    def _stop_traffic(self) -> None:
        """Nothing triggers a function any more, and none may begin to run."""
        if self._data.is_there():
            self._data.silence()
        for name in self._functions():
            with told(f"stopping function {name}"):
                # What is provisioned must go first: no function may be given less than that.
                self._unless_gone(self._lambda.delete_provisioned_concurrency_config, name, Qualifier=ALIAS)
                self._unless_gone(self._lambda.put_function_concurrency, name, ReservedConcurrentExecutions=0)

    def _wait_for_flight(self) -> None:
        """What runs removes its input when it is done, or is ended by its timeout."""
        if not self._data.is_there() or not self._data.has_any(INPUT):
            return
        longest_s = max(self._timeouts(), default=0)
        self._say(f"waiting for queries in flight, {longest_s} s at most")
        self._patience.until(lambda: None if self._data.has_any(INPUT) else True, longest_s)

    def _remove_stack(self) -> None:
        stack_id = self._stack.identifier()
        if stack_id is None:
            return
        why: str | None = None
        for _ in range(DELETIONS):
            if self._data.is_there():
                self._data.empty()
            why = self._stack.delete()
            if why is None:
                return
            self._say(f"stack {self._project} was not deleted: {why}")
        why = self._stack.delete(force=True)
        given_up = [stray_of_stack(*each) for each in self._stack.given_up(stack_id)]
        self._given_up += [stray for stray in given_up if stray is not None]
        if why is not None:
            self._left.append(f"stack {self._project}: {why}")

    def _remove_bucket(self, bucket: Bucket) -> None:
        self._found |= remove_bucket(bucket, self._project, self._say)

    def _sweep(self) -> None:
        """Remove strays, and look again: what is still there is left."""
        for stray in self._leftovers.find(self._given_up):
            self._found = True
            self._attempt(f"removing {stray}", partial(self._remove_stray, stray))
        self._left += [str(stray) for stray in self._leftovers.find(self._given_up)]

    def _remove_stray(self, stray: Stray) -> None:
        self._leftovers.remove(stray)
        self._say(f"{stray}: removed, no stack held it")

    def _functions(self) -> list[str]:
        resources = self._stack.resources()
        return [r["PhysicalResourceId"] for r in resources if r["ResourceType"] == FUNCTION and _is_made(r)]

    def _timeouts(self) -> Iterator[int]:
        for name in self._functions():
            with told(f"looking at function {name}"):
                found = self._unless_gone(self._lambda.get_function_configuration, name)
            if found is not None:
                yield int(found["Timeout"])

    def _unless_gone(self, call: Callable[..., Any], name: str, **parameters: Any) -> Any:
        try:
            return call(FunctionName=name, **parameters)
        except ClientError as error:
            if is_missing(error):
                return None
            raise


def _is_made(resource: Any) -> bool:
    return bool(resource.get("PhysicalResourceId")) and resource["ResourceStatus"] != "DELETE_COMPLETE"
