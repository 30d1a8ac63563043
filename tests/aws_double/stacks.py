"""A stack as CloudFormation keeps it: made, changed, rolled back and deleted in a thread, with events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from typing import Any
import uuid

from aws_double.kinds import KINDS, Api, Made, reason_of, unknown_properties
from aws_double.resolving import in_order, resolved

STACK = "AWS::CloudFormation::Stack"


class ResourceError(Exception):
    """A resource could not be made; its event is there already."""


@dataclass
class Standing:
    """One resource of a stack."""

    kind: str
    definition: Mapping[str, Any]
    properties: Mapping[str, Any]
    made: Made
    status: str = "CREATE_COMPLETE"


@dataclass
class World:
    """What all stacks share, and what a test may set."""

    api: Api
    account: str
    region: str
    go_on: Event = field(default_factory=Event)
    """Cleared by a test to hold whatever is being done."""
    refusals: dict[str, str] = field(default_factory=dict)
    """Logical id -> why it cannot be made."""
    stuck: set[str] = field(default_factory=set)
    """Logical ids of what cannot be deleted."""


@dataclass
class StackState:
    """One stack, alive or deleted."""

    name: str
    world: World
    status: str = "REVIEW_IN_PROGRESS"
    template: Mapping[str, Any] = field(default_factory=lambda: {"Resources": {}})
    standing: dict[str, Standing] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    tags: list[dict[str, str]] = field(default_factory=list)
    on_failure: str = "ROLLBACK"
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        where = f"{self.world.region}:{self.world.account}"
        self.stack_id = f"arn:aws:cloudformation:{where}:stack/{self.name}/{uuid.uuid4()}"

    @property
    def outputs(self) -> list[dict[str, str]]:
        """Outputs with what they refer to filled in."""
        made = {name: each.made for name, each in self.standing.items()}
        return [
            {"OutputKey": name, "OutputValue": resolved(output["Value"], made, self._pseudo())}
            for name, output in self.template.get("Outputs", {}).items()
        ]

    def event(self, logical_id: str, kind: str, status: str, reason: str = "") -> None:
        """Note what happened to a resource, or to the stack itself."""
        self.events.append(
            {
                "EventId": str(uuid.uuid4()),
                "StackId": self.stack_id,
                "StackName": self.name,
                "LogicalResourceId": logical_id,
                "ResourceType": kind,
                "ResourceStatus": status,
                "Timestamp": datetime.now(UTC),
                **({"ResourceStatusReason": reason} if reason else {}),
            }
        )

    def become(self, status: str, reason: str = "") -> None:
        """Change the stack's own status."""
        self.event(self.name, STACK, status, reason)
        self.status = status

    def create(self, template: Mapping[str, Any]) -> None:
        """Make all of it; on a failure remove it again, and the stack too if so asked."""
        try:
            self._apply(template)
        except ResourceError:
            self.become(
                "DELETE_IN_PROGRESS" if self.on_failure == "DELETE" else "ROLLBACK_IN_PROGRESS", "User Initiated"
            )
            left = self._delete_all(force=False)
            ended = "DELETE_COMPLETE" if self.on_failure == "DELETE" else "ROLLBACK_COMPLETE"
            self.become(ended.replace("COMPLETE", "FAILED") if left else ended)
        else:
            self.become("CREATE_COMPLETE")

    def update(self, template: Mapping[str, Any]) -> None:
        """Change what differs; on a failure make it as it was before."""
        former = self.template
        try:
            self._apply(template)
        except ResourceError:
            self.become("UPDATE_ROLLBACK_IN_PROGRESS")
            self._apply(former)
            self.become("UPDATE_ROLLBACK_COMPLETE")
        else:
            self.become("UPDATE_COMPLETE")

    def delete(self, *, force: bool) -> None:
        """Remove all of it; `force` skips what cannot be removed."""
        left = self._delete_all(force=force)
        if left and not force:
            self.become("DELETE_FAILED", f"The following resource(s) failed to delete: [{', '.join(left)}].")
        else:
            self.become("DELETE_COMPLETE")

    def _apply(self, template: Mapping[str, Any]) -> None:
        resources = template["Resources"]
        assert unknown_properties(template) == [], "the test double would ignore these"
        replaced: list[tuple[str, Standing]] = []
        for logical_id in in_order(resources):
            self.world.go_on.wait()
            replaced += self._make(logical_id, resources[logical_id])
        former = self.template
        self.template = template
        gone = [name for name in reversed(in_order(former["Resources"])) if name not in resources]
        replaced += [(name, self.standing.pop(name)) for name in gone if name in self.standing]
        for logical_id, each in replaced:
            self._remove(logical_id, each)

    def _make(self, logical_id: str, resource: Mapping[str, Any]) -> list[tuple[str, Standing]]:
        """Make or change one resource; what it has replaced."""
        made = {name: each.made for name, each in self.standing.items()}
        wanted = resolved(resource["Properties"], made, self._pseudo())
        before = self.standing.get(logical_id)
        if before is not None and before.properties == wanted:
            return []
        kind = KINDS[resource["Type"]]
        verb = "CREATE" if before is None else "UPDATE"
        self.event(logical_id, resource["Type"], f"{verb}_IN_PROGRESS")
        try:
            if logical_id in self.world.refusals:
                raise RuntimeError(self.world.refusals[logical_id])
            if before is None or kind.replaces:
                result = kind.create(self.world.api, self._name(logical_id), wanted)
            else:
                result = kind.update(self.world.api, before.made, wanted)
        except Exception as error:
            self.event(logical_id, resource["Type"], f"{verb}_FAILED", reason_of(error))
            raise ResourceError from error
        self.event(logical_id, resource["Type"], f"{verb}_COMPLETE")
        self.standing[logical_id] = Standing(resource["Type"], resource, wanted, result, f"{verb}_COMPLETE")
        return [(logical_id, before)] if before is not None and kind.replaces else []

    def _name(self, logical_id: str) -> str:
        return f"{self.name}-{logical_id}-{uuid.uuid4().hex[:12].upper()}"[-64:]

    def _delete_all(self, *, force: bool) -> list[str]:
        left = []
        definitions = {name: each.definition for name, each in self.standing.items()}
        for logical_id in reversed(in_order(definitions)):
            self.world.go_on.wait()
            each = self.standing[logical_id]
            if not self._remove(logical_id, each):
                each.status = "DELETE_SKIPPED" if force else "DELETE_FAILED"
                left.append(logical_id)
            else:
                each.status = "DELETE_COMPLETE"
                del self.standing[logical_id]
        return left

    def _remove(self, logical_id: str, each: Standing) -> bool:
        self.event(logical_id, each.kind, "DELETE_IN_PROGRESS")
        try:
            if logical_id in self.world.stuck:
                raise RuntimeError("it is stuck")
            KINDS[each.kind].delete(self.world.api, each.made, each.properties)
        except Exception as error:
            self.event(logical_id, each.kind, "DELETE_FAILED", reason_of(error))
            return False
        self.event(logical_id, each.kind, "DELETE_COMPLETE")
        return True

    def _pseudo(self) -> dict[str, str]:
        return {
            "AWS::AccountId": self.world.account,
            "AWS::Region": self.world.region,
            "AWS::Partition": "aws",
            "AWS::StackName": self.name,
        }
