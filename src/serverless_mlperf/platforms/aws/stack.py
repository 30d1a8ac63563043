"""One CloudFormation stack: what is to change is planned as a change set, then executed, and waited for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final
import uuid

from botocore.exceptions import ClientError

from serverless_mlperf.errors import InputError, PlatformError
from serverless_mlperf.platforms.aws.changes import Plan, described
from serverless_mlperf.platforms.aws.failures import code_of, explained, in_progress, is_missing, message_of, told
from serverless_mlperf.platforms.aws.session import Aws
from serverless_mlperf.platforms.aws.spec import TAG
from serverless_mlperf.platforms.aws.waiting import Patience

INLINE_BYTES: Final = 51_200
"""Of a template in the request itself; a larger one is read from a bucket, up to 1 MB (CloudFormation quotas)."""
CAPABILITIES: Final = ("CAPABILITY_IAM",)
"""The functions' role has no name of its own."""
ANEW: Final = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "REVIEW_IN_PROGRESS"})
"""Holds nothing of use and cannot be updated: deleted first."""
STUCK: Final = frozenset({"DELETE_FAILED", "UPDATE_ROLLBACK_FAILED", "UPDATE_FAILED"})
DONE: Final = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})
_UNCHANGED: Final = ("didn't contain changes", "No updates are to be performed")
"""AWS makes a change set that has FAILED for this reason; a test server refuses to make it."""


@dataclass(frozen=True, slots=True)
class TemplateText:
    """A template as CloudFormation takes it."""

    body: str
    url: str | None = None
    """Where it lies, if it is too large for a request."""

    def argument(self) -> dict[str, str]:
        """How a request names it."""
        return {"TemplateURL": self.url} if self.url else {"TemplateBody": self.body}

    @property
    def is_large(self) -> bool:
        """Whether it must be read from a bucket."""
        return len(self.body.encode()) > INLINE_BYTES


class Stack:
    """The stack of one project; blocking, used from one thread. Raises BenchmarkError in one line."""

    def __init__(self, aws: Aws, project: str, say: Callable[[str], None], patience: Patience | None = None) -> None:
        self.name = project
        self._change_sets = f"{project}-"  # begins their names, which is what deploy_policy.json allows
        self._say = say
        self._patience = patience or Patience()
        self._client = aws.client("cloudformation")

    def describe(self) -> Mapping[str, Any] | None:
        """CloudFormation's description; None when there is no such stack."""
        return self._described(self.name)

    def status(self) -> str | None:
        """Its status, e.g. `CREATE_COMPLETE`; None when there is no such stack."""
        found = self.describe()
        return None if found is None else str(found["StackStatus"])

    def identifier(self) -> str | None:
        """Its ARN, by which it is known also when it is gone; None when there is no such stack."""
        found = self.describe()
        return None if found is None else str(found["StackId"])

    def outputs(self) -> dict[str, str]:
        """What the stack tells of itself; raises PlatformError when it is not there."""
        found = self.describe()
        if found is None:
            raise PlatformError(f"aws: there is no stack {self.name}; run `serverless-mlperf deploy --platform aws`")
        return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}

    def template(self) -> Mapping[str, Any] | None:
        """The template that it was last deployed with, as it was sent; None when there is no such stack."""
        with told(f"reading the template of stack {self.name}"):
            try:
                found = self._client.get_template(StackName=self.name, TemplateStage="Original")["TemplateBody"]
            except ClientError as error:
                if is_missing(error):
                    return None
                raise
        return found if isinstance(found, Mapping) else {}

    def resources(self) -> list[Mapping[str, Any]]:
        """Its resources, with logical and physical ids; none when there is no such stack."""
        with told(f"listing the resources of stack {self.name}"):
            pages = self._client.get_paginator("list_stack_resources").paginate(StackName=self.name)
            try:
                return [resource for page in pages for resource in page["StackResourceSummaries"]]
            except ClientError as error:
                if is_missing(error):
                    return []
                raise

    def must_be_created(self) -> bool:
        """Whether it is not there, or what is there holds nothing and `clear` removes it.

        Raises PlatformError when somebody else works on it, or when it is half removed.
        """
        status = self.status()
        if status is None or status in ANEW:
            return True
        if status.endswith("_IN_PROGRESS"):
            raise in_progress(f"deploying stack {self.name}", status)
        if status in STUCK:
            raise PlatformError(
                f"aws: stack {self.name} is {status}; run `serverless-mlperf destroy --platform aws`, then deploy again"
            )
        return False

    def clear(self) -> None:
        """Remove what a failed or interrupted first deployment has left, which nothing else can be done with."""
        status = self.status()
        if status not in ANEW:
            return
        if status != "REVIEW_IN_PROGRESS":
            self._say(f"stack {self.name} is {status}: it is deleted and created anew")
        if (left := self._remove_failed(self.name)) is not None:
            raise PlatformError(
                f"aws: stack {self.name} could not be deleted ({left}); run `serverless-mlperf destroy --platform aws`"
            )

    def plan(self, template: TemplateText, *, create: bool) -> Plan:
        """Have CloudFormation find out what a template changes; nothing is changed by that.

        Of a stack that is not there (`create`) it makes an empty one, which `discard` removes.
        """
        self._remove_unused()
        with told(f"planning stack {self.name}"):
            try:
                made = self._client.create_change_set(**self._change_set(template, create=create))
            except ClientError as error:
                if code_of(error) == "ValidationError" and _is_unchanged(message_of(error)):
                    return Plan("none", ())
                raise
            return self._planned(str(made["Id"]), create=create)

    def discard(self, plan: Plan) -> None:
        """Leave nothing of a plan that is not to be executed."""
        if plan.change_set is None:
            return
        with told(f"discarding the plan of stack {self.name}"):
            self._client.delete_change_set(ChangeSetName=plan.change_set, StackName=self.name)
        if plan.kind == "create":
            self._remove_failed(self.name)

    def execute(self, plan: Plan) -> dict[str, str]:
        """Do what was planned and wait for the end of it; the outputs of the stack.

        Raises PlatformError with the first reason of a failure; a stack that could not be created is removed, one
        that could not be updated is as before. When interrupted, CloudFormation goes on.
        """
        if plan.kind == "none" or plan.change_set is None:
            return self.outputs()
        stack_id = self.identifier()
        if stack_id is None:
            raise PlatformError(f"aws: stack {self.name} was removed meanwhile; deploy it again")
        with told(f"changing stack {self.name}"):
            self._client.execute_change_set(ChangeSetName=plan.change_set, StackName=self.name)
        status = self._ended(stack_id, _VERBS[plan.kind], len(plan.changes))
        if status not in DONE:
            self._fail(stack_id, plan, status)
        return self.outputs()

    def settle(self) -> str | None:
        """Wait until nobody works on the stack; its status, None when it is not there."""

        def look() -> tuple[str | None] | None:
            status = self.status()
            busy = status is not None and status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS"
            return None if busy else (status,)

        found = self._patience.until(look, self._patience.settle_s)
        if found is None:
            raise in_progress(f"waiting for stack {self.name}", self.status() or "gone")
        return found[0]

    def delete(self, *, force: bool = False) -> str | None:
        """Delete it and wait; None when it is gone, else why it is not.

        `force` gives up what cannot be deleted: CloudFormation forgets it, and it is left.
        """
        found = self.describe()
        if found is None:
            return None
        stack_id, mode = str(found["StackId"]), {"DeletionMode": "FORCE_DELETE_STACK"} if force else {}
        with told(f"deleting stack {self.name}"):
            self._client.delete_stack(StackName=stack_id, **mode)
        status = self._ended(stack_id, "DELETE")
        return None if status == "DELETE_COMPLETE" else f"{status}: {self._first_reason(stack_id, 'DELETE')}"

    def given_up(self, stack_id: str) -> list[tuple[str, str]]:
        """Type and physical id of what a deleted stack has left: kept, or given up by force."""
        with told(f"looking for what stack {self.name} has left"):
            pages = self._client.get_paginator("list_stack_resources").paginate(StackName=stack_id)
            summaries = [resource for page in pages for resource in page["StackResourceSummaries"]]
        kept = [r for r in summaries if r["ResourceStatus"] in ("DELETE_SKIPPED", "DELETE_FAILED")]
        return [(r["ResourceType"], r.get("PhysicalResourceId", r["LogicalResourceId"])) for r in kept]

    def _change_set(self, template: TemplateText, *, create: bool) -> dict[str, Any]:
        # A stack that fails at its first deployment is of no use; events stay readable by its id.
        on_failure = {"OnStackFailure": "DELETE"} if create else {}
        return {
            "StackName": self.name,
            "ChangeSetName": f"{self._change_sets}{uuid.uuid4().hex[:12]}",
            "ChangeSetType": "CREATE" if create else "UPDATE",
            "Capabilities": list(CAPABILITIES),
            "Tags": [{"Key": TAG, "Value": self.name}],
            **template.argument(),
            **on_failure,
        }

    def _planned(self, change_set: str, *, create: bool) -> Plan:
        """Wait for a change set, and read it."""
        found = self._patience.until(lambda: self._ready(change_set), self._patience.settle_s)
        if found is None:
            raise PlatformError(f"aws: planning stack {self.name} takes too long; try again")
        if found["Status"] == "CREATE_COMPLETE":
            pages = self._client.get_paginator("describe_change_set").paginate(
                ChangeSetName=change_set, StackName=self.name
            )
            changes = [change for page in pages for change in page["Changes"]]
            return Plan("create" if create else "update", described(changes), change_set)
        why = str(found.get("StatusReason", ""))
        self.discard(Plan("create" if create else "update", (), change_set))
        if _is_unchanged(why):
            return Plan("none", ())
        raise InputError(f"aws: stack {self.name} cannot be planned: {explained(why)}")

    def _ready(self, change_set: str) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] = self._client.describe_change_set(ChangeSetName=change_set, StackName=self.name)
        return found if found["Status"] in ("CREATE_COMPLETE", "FAILED") else None

    def _remove_unused(self) -> None:
        """Delete change sets of ours that were never executed: those of commands that were cut off."""
        with told(f"looking for old plans of stack {self.name}"):
            try:
                pages = self._client.get_paginator("list_change_sets").paginate(StackName=self.name)
                summaries = [summary for page in pages for summary in page["Summaries"]]
            except ClientError as error:
                if is_missing(error):
                    return
                raise
            for summary in summaries:
                if (
                    summary["ChangeSetName"].startswith(self._change_sets)
                    and summary["ExecutionStatus"] in _NEVER_EXECUTED
                ):
                    self._client.delete_change_set(ChangeSetName=summary["ChangeSetId"], StackName=self.name)

    def _described(self, name: str) -> Mapping[str, Any] | None:
        with told(f"looking at stack {self.name}"):
            try:
                stacks = self._client.describe_stacks(StackName=name)["Stacks"]
            except ClientError as error:
                if is_missing(error):
                    return None
                raise
        return stacks[0] if stacks else None

    def _ended(self, stack_id: str, verb: str, resources: int = 0) -> str:
        """Wait for the end of what CloudFormation does, telling how far it is; the status then.

        CloudFormation changes the status before it answers the request that begins it: an old one is never seen here.
        """
        progress = _Progress(resources, self._say)

        def look() -> str | None:
            found = self._described(stack_id)
            status = "DELETE_COMPLETE" if found is None else str(found["StackStatus"])
            if not status.endswith("_IN_PROGRESS"):
                return status
            progress.tell(self._events(stack_id, verb))
            return None

        status = self._patience.until(look, self._patience.stack_s)
        if status is None:
            raise PlatformError(
                f"aws: stack {self.name} is not done after {self._patience.stack_s:.0f} s; AWS goes on with it: "
                "see `serverless-mlperf status --platform aws`"
            )
        return status

    def _fail(self, stack_id: str, plan: Plan, status: str) -> None:
        reason = self._first_reason(stack_id, _VERBS[plan.kind])
        after = "the stack is as before"
        if plan.kind == "create":
            after = "nothing of it is left"
            if status != "DELETE_COMPLETE" and self._remove_failed(stack_id) is not None:
                after = "run `serverless-mlperf destroy --platform aws`"
        raise PlatformError(f"aws: stack {self.name} was not {plan.kind}d: {reason}; {after}")

    def _remove_failed(self, name: str) -> str | None:
        """Delete what a deployment has left half made; why it cannot be, if so."""
        found = self._described(name)
        if found is None:
            return None
        stack_id = str(found["StackId"])
        with told(f"deleting stack {self.name}"):
            self._client.delete_stack(StackName=stack_id)
        status = self._ended(stack_id, "DELETE")
        return None if status == "DELETE_COMPLETE" else status

    def _first_reason(self, stack_id: str, verb: str) -> str:
        """The first failure of the last thing done: what came after it is its consequence."""
        failed = [e for e in self._events(stack_id, verb) if e["ResourceStatus"].endswith("_FAILED") and _is_cause(e)]
        if not failed:
            return "CloudFormation tells no reason; see the stack's events in the console"
        first = failed[-1]
        where = f"{first['LogicalResourceId']} ({first['ResourceType']})"
        return f"{where}: {explained(first.get('ResourceStatusReason', first['ResourceStatus']))}"

    def _events(self, stack_id: str, verb: str) -> Iterator[Mapping[str, Any]]:
        """Events since the last `verb` of the stack began, newest first, read page by page as they are wanted."""
        pages = self._client.get_paginator("describe_stack_events").paginate(StackName=stack_id)
        with told(f"reading the events of stack {self.name}"):
            yield from _until_begun((event for page in pages for event in page["StackEvents"]), f"{verb}_IN_PROGRESS")


_VERBS: Final = {"create": "CREATE", "update": "UPDATE"}
_NEVER_EXECUTED: Final = frozenset({"UNAVAILABLE", "AVAILABLE", "OBSOLETE"})


class _Progress:
    """Tells, while CloudFormation works, how many resources are done; each number once."""

    def __init__(self, resources: int, say: Callable[[str], None]) -> None:
        self._resources = resources
        self._say = say
        self._seen: set[str] = set()
        self._done: set[str] = set()

    def tell(self, events: Iterator[Mapping[str, Any]]) -> None:
        """Look at the events that are new; older ones are not even read."""
        before = len(self._done)
        new = list(takewhile(lambda event: event["EventId"] not in self._seen, events))
        self._seen.update(event["EventId"] for event in new)
        self._done.update(e["LogicalResourceId"] for e in new if e["ResourceStatus"].endswith("_COMPLETE"))
        if len(self._done) > before:
            of = f" of {self._resources}" if self._resources else ""
            self._say(f"  {len(self._done)}{of} resources done")


def _until_begun(events: Iterator[Mapping[str, Any]], begun: str) -> Iterator[Mapping[str, Any]]:
    """Newest first, up to the one with which it began; a creation that failed may have ended in a deletion since."""
    for event in events:
        yield event
        if event["ResourceType"] == "AWS::CloudFormation::Stack" and event["ResourceStatus"] == begun:
            return


def _is_cause(event: Mapping[str, Any]) -> bool:
    """Not a resource that was given up because of another, nor the stack itself, which only sums up."""
    reason = event.get("ResourceStatusReason", "")
    return event["ResourceType"] != "AWS::CloudFormation::Stack" and "cancelled" not in reason


def _is_unchanged(reason: str) -> bool:
    return any(words in reason for words in _UNCHANGED)
