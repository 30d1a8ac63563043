"""The intrinsic functions that the template uses, and what depends on what."""

from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
import re
from typing import Any

from aws_double.kinds import Made

_SUB = re.compile(r"\$\{([A-Za-z0-9:.]+)\}")


def resolved(value: Any, made: Mapping[str, Made], pseudo: Mapping[str, str]) -> Any:
    """A value of the template with what it refers to filled in."""
    if isinstance(value, list):
        return [resolved(item, made, pseudo) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Ref"}:
        return _reference(value["Ref"], made, pseudo)
    if set(value) == {"Fn::GetAtt"}:
        logical_id, attribute = value["Fn::GetAtt"]
        return made[logical_id].attributes[attribute]
    if set(value) == {"Fn::Sub"}:
        return _SUB.sub(lambda found: _reference(found[1], made, pseudo), value["Fn::Sub"])
    return {name: resolved(item, made, pseudo) for name, item in value.items()}


def _reference(name: str, made: Mapping[str, Made], pseudo: Mapping[str, str]) -> str:
    return pseudo[name] if name.startswith("AWS::") else made[name].physical


def in_order(resources: Mapping[str, Any]) -> list[str]:
    """Logical ids, each after all that it needs; raises CycleError as CloudFormation refuses a circle."""
    needs = {name: {n for n in _needs(resource) if n in resources} for name, resource in resources.items()}
    return list(TopologicalSorter(needs).static_order())


def _needs(resource: Mapping[str, Any]) -> Iterator[str]:
    yield from resource.get("DependsOn", [])
    yield from _references(resource["Properties"])


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        if set(value) == {"Ref"}:
            yield value["Ref"]
        elif set(value) == {"Fn::GetAtt"}:
            yield value["Fn::GetAtt"][0]
        elif set(value) == {"Fn::Sub"}:
            yield from _SUB.findall(value["Fn::Sub"])
        else:
            for item in value.values():
                yield from _references(item)
