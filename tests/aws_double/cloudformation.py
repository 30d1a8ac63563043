"""CloudFormation's requests, as far as this project makes them, in place of moto's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
import json
from threading import Thread
from typing import Any
import uuid

from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult, EmptyResult

from aws_double.stacks import StackState, World

_WITH_OUTPUTS = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")


@dataclass
class ChangeSetState:
    """A change set: not more than a template and what it would change."""

    arn: str
    name: str
    stack: StackState
    kind: str
    template: Mapping[str, Any]
    changes: list[dict[str, Any]]
    status: str
    reason: str
    execution: str
    on_failure: str
    capabilities: list[str]


class CloudFormationDouble:
    """All stacks and change sets of one account and region."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stacks: list[StackState] = []
        self.change_sets: dict[str, ChangeSetState] = {}
        self._threads: list[Thread] = []

    def stack(self, name: str) -> StackState:
        """A stack by its name, if it is alive, or by its id; raises what CloudFormation answers."""
        for each in reversed(self.stacks):
            if each.stack_id == name or (each.name == name and each.status != "DELETE_COMPLETE"):
                return each
        raise ValidationError(name, message=f"Stack with id {name} does not exist")

    def start(self, work: Callable[[], None]) -> None:
        """Do something while requests go on."""
        thread = Thread(target=work)
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        """Wait for the end of all that was started."""
        self.world.go_on.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def create_change_set(
        self, name: str, set_name: str, kind: str, body: str, more: Mapping[str, Any]
    ) -> ChangeSetState:
        """Compare a template with what stands."""
        if kind == "CREATE":
            stack = self._new_stack(name)
        else:
            stack = self.stack(name)
            _refuse_while_busy(stack)
        stack.tags = more["Tags"]
        template = json.loads(body)
        _check_capabilities(template, more["Capabilities"])
        changes = _changes(stack.template["Resources"], template["Resources"])
        unchanged = not changes and template == stack.template
        made = ChangeSetState(
            arn=f"arn:aws:cloudformation:{self.world.region}:{self.world.account}:changeSet/{set_name}/{uuid.uuid4()}",
            name=set_name,
            stack=stack,
            kind=kind,
            template=template,
            changes=changes,
            status="FAILED" if unchanged else "CREATE_COMPLETE",
            reason="The submitted information didn't contain changes. Submit different information."
            if unchanged
            else "",
            execution="UNAVAILABLE" if unchanged else "AVAILABLE",
            on_failure=more["OnStackFailure"] or "ROLLBACK",
            capabilities=more["Capabilities"],
        )
        self.change_sets[made.arn] = made
        return made

    def execute(self, arn: str) -> None:
        """Begin to do what a change set says."""
        found = self.change_sets[arn]
        stack, verb = found.stack, found.kind
        _refuse_while_busy(stack)
        stack.on_failure = found.on_failure
        stack.become(f"{verb}_IN_PROGRESS", "User Initiated")
        found.execution = "EXECUTE_COMPLETE"
        self.start(lambda: stack.create(found.template) if verb == "CREATE" else stack.update(found.template))

    def delete(self, name: str, mode: str | None) -> None:
        """Begin to delete a stack; one that is not there is no error."""
        try:
            stack = self.stack(name)
        except ValidationError:
            return
        if stack.status == "DELETE_COMPLETE":
            return
        if mode == "FORCE_DELETE_STACK" and stack.status != "DELETE_FAILED":
            raise ValidationError(name, message="FORCE_DELETE_STACK is for stacks that are DELETE_FAILED")
        stack.become("DELETE_IN_PROGRESS", "User Initiated")
        self.start(lambda: stack.delete(force=mode == "FORCE_DELETE_STACK"))

    def _new_stack(self, name: str) -> StackState:
        alive = [each for each in self.stacks if each.name == name and each.status != "DELETE_COMPLETE"]
        if alive and alive[0].status != "REVIEW_IN_PROGRESS":
            raise ValidationError(name, message=f"Stack [{name}] already exists and cannot be created again")
        if alive:
            return alive[0]
        stack = StackState(name, self.world)
        stack.become("REVIEW_IN_PROGRESS", "User Initiated")
        self.stacks.append(stack)
        return stack


def _check_capabilities(template: Mapping[str, Any], capabilities: list[str]) -> None:
    """As CloudFormation: a role must be agreed to, one with a name of its own more than that."""
    roles = [r for r in template["Resources"].values() if r["Type"] == "AWS::IAM::Role"]
    named = any("RoleName" in role["Properties"] for role in roles)
    needed = "CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"
    if roles and not {needed, "CAPABILITY_NAMED_IAM"} & set(capabilities):
        raise ValidationError(message=f"Requires capabilities : [{needed}]")


def _refuse_while_busy(stack: StackState) -> None:
    if stack.status.endswith("_IN_PROGRESS") and stack.status != "REVIEW_IN_PROGRESS":
        message = f"Stack:{stack.stack_id} is in {stack.status} state and can not be updated."
        raise ValidationError(stack.name, message=message)


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    actions = {name: "Add" for name in new if name not in old}
    actions |= {name: "Modify" for name in new if name in old and new[name] != old[name]}
    actions |= {name: "Remove" for name in old if name not in new}
    return [
        {
            "Type": "Resource",
            "ResourceChange": {
                "Action": action,
                "LogicalResourceId": name,
                "ResourceType": (new.get(name) or old[name])["Type"],
                **({"Replacement": "False"} if action == "Modify" else {}),
            },
        }
        for name, action in actions.items()
    ]


def requests(double: CloudFormationDouble) -> dict[str, Callable[[CloudFormationResponse], ActionResult]]:
    """Name of a method of moto's -> what is done instead."""

    def create_change_set(self: CloudFormationResponse) -> ActionResult:
        url, body = self._get_param("TemplateURL"), self._get_param("TemplateBody")
        if url:
            body = self._get_stack_from_s3_url(url)
        elif len(body.encode()) > 51_200:
            raise ValidationError(message="'templateBody' failed to satisfy constraint: length at most 51200")
        more = {"Tags": self._get_param("Tags", []), "OnStackFailure": self._get_param("OnStackFailure")}
        more["Capabilities"] = self._get_param("Capabilities", [])
        name, kind = self._get_param("StackName"), self._get_param("ChangeSetType", "CREATE")
        made = double.create_change_set(name, self._get_param("ChangeSetName"), kind, body, more)
        return ActionResult({"Id": made.arn, "StackId": made.stack.stack_id})

    def describe_change_set(self: CloudFormationResponse) -> ActionResult:
        found = double.change_sets[self._get_param("ChangeSetName")]
        return ActionResult(_described(found) | {"Changes": found.changes})

    def list_change_sets(self: CloudFormationResponse) -> ActionResult:
        stack = double.stack(self._get_param("StackName"))
        found = [_described(each) for each in double.change_sets.values() if each.stack is stack]
        return ActionResult({"Summaries": found})

    def delete_change_set(self: CloudFormationResponse) -> ActionResult:
        double.change_sets.pop(self._get_param("ChangeSetName"), None)
        return EmptyResult()

    def execute_change_set(self: CloudFormationResponse) -> ActionResult:
        double.execute(self._get_param("ChangeSetName"))
        return EmptyResult()

    def delete_stack(self: CloudFormationResponse) -> ActionResult:
        double.delete(self._get_param("StackName"), self._get_param("DeletionMode"))
        return EmptyResult()

    def describe_stacks(self: CloudFormationResponse) -> ActionResult:
        stack = double.stack(self._get_param("StackName"))
        return ActionResult({"Stacks": [_stack(stack)]})

    def get_template(self: CloudFormationResponse) -> ActionResult:
        stack = double.stack(self._get_param("StackName"))
        return ActionResult({"TemplateBody": json.dumps(stack.template), "StagesAvailable": ["Original", "Processed"]})

    def describe_stack_events(self: CloudFormationResponse) -> ActionResult:
        return ActionResult({"StackEvents": double.stack(self._get_param("StackName")).events[::-1]})

    def list_stack_resources(self: CloudFormationResponse) -> ActionResult:
        stack = double.stack(self._get_param("StackName"))
        return ActionResult({"StackResourceSummaries": _summaries(stack)})

    return {name: call for name, call in locals().items() if callable(call)}


def _described(found: ChangeSetState) -> dict[str, Any]:
    return {
        "ChangeSetId": found.arn,
        "ChangeSetName": found.name,
        "StackId": found.stack.stack_id,
        "StackName": found.stack.name,
        "Status": found.status,
        "StatusReason": found.reason,
        "ExecutionStatus": found.execution,
    }


def _stack(stack: StackState) -> dict[str, Any]:
    return {
        "StackId": stack.stack_id,
        "StackName": stack.name,
        "StackStatus": stack.status,
        "CreationTime": stack.created,
        "Tags": stack.tags,
        "Outputs": stack.outputs if stack.status in _WITH_OUTPUTS else [],
    }


def _summaries(stack: StackState) -> list[dict[str, Any]]:
    return [
        {
            "LogicalResourceId": name,
            "PhysicalResourceId": each.made.physical,
            "ResourceType": each.kind,
            "ResourceStatus": each.status,
            "LastUpdatedTimestamp": datetime.now(UTC),
        }
        for name, each in stack.standing.items()
    ]
