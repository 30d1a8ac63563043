"""What a deployment is going to change, resource by resource (values, pure)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Kind = Literal["create", "update", "none"]
_SIGNS: Final = {"Add": "+", "Modify": "~", "Remove": "-"}


@dataclass(frozen=True, slots=True)
class Change:
    """One resource that is made, changed or removed."""

    action: str
    """`Add`, `Modify`, `Remove`; others are CloudFormation's own words."""
    resource_type: str
    logical_id: str
    replacement: bool = False
    """Whether a new one takes its place: a change of what cannot be changed."""

    def __str__(self) -> str:
        replaced = " (replaced)" if self.replacement else ""
        return f"{_SIGNS.get(self.action, '?')} {self.resource_type:34} {self.logical_id}{replaced}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done to a stack: found out first, done later or not at all."""

    kind: Kind
    changes: tuple[Change, ...]
    change_set: str | None = None
    """CloudFormation's, ready to be executed; None for a stack that is not there, and where nothing changes."""

    def lines(self) -> Iterator[str]:
        """The plan in words: a sum by action, then every change."""
        if self.kind == "none":
            yield "nothing changes"
            return
        counted = Counter(change.action for change in self.changes)
        yield f"{self.kind}: " + ", ".join(f"{count} {action}" for action, count in sorted(counted.items()))
        yield from (f"  {change}" for change in self.changes)


def creation(template: Mapping[str, Any]) -> Plan:
    """The plan of a stack that is not there: everything is made, and nothing need be asked of AWS."""
    resources = template["Resources"].items()
    return Plan("create", tuple(Change("Add", resource["Type"], logical_id) for logical_id, resource in resources))


def described(changes: Iterable[Mapping[str, Any]]) -> tuple[Change, ...]:
    """`Changes` of DescribeChangeSet as ours."""
    each = (change["ResourceChange"] for change in changes if "ResourceChange" in change)
    return tuple(
        Change(r["Action"], r["ResourceType"], r["LogicalResourceId"], r.get("Replacement") in ("True", "Conditional"))
        for r in each
    )
