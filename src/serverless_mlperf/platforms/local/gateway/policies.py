"""Resource policies: whether a statement allows a service, an action and a source (IAM's policy language, part of it).

Allow and Deny, principals of services and accounts, actions and resources with wildcards, and the conditions that the
sources of events are told apart by. A condition that is not known does not hold: a statement under it allows nothing.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

_EQUAL: Final = ("StringEquals", "ArnEquals", "StringLike", "ArnLike", "Bool")
"""Operators that are known."""
_EXACT: Final = ("StringEquals", "Bool")
"""Of these, those without wildcards."""
S3: Final = "s3.amazonaws.com"


def allowed(
    statements: Iterable[Mapping[str, Any]], principal: str, action: str, resource: str, context: Mapping[str, str]
) -> bool:
    """Whether a policy lets a service do something to a resource; context keys are lower case (`aws:sourcearn`)."""
    effects = {str(s.get("Effect")) for s in statements if _applies(s, principal, action, resource, context)}
    return "Allow" in effects and "Deny" not in effects


def _applies(
    statement: Mapping[str, Any], principal: str, action: str, resource: str, context: Mapping[str, str]
) -> bool:
    return (
        _is_principal(statement.get("Principal"), principal)
        and any(_like(action.lower(), str(a).lower()) for a in _many(statement.get("Action")))
        and any(_like(resource, str(r)) for r in _many(statement.get("Resource")))
        and _holds(statement.get("Condition") or {}, context)
    )


def _is_principal(named: object, principal: str) -> bool:
    if isinstance(named, dict):
        return any(value in {principal, "*"} for values in named.values() for value in _many(values))
    return named == "*"


def _holds(conditions: object, context: Mapping[str, str]) -> bool:
    if not isinstance(conditions, dict) or not all(isinstance(keys, dict) for keys in conditions.values()):
        return False  # no policy that IAM would take
    return all(
        operator in _EQUAL and _compares(operator, context.get(str(key).lower()), _many(wanted))
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def _compares(operator: str, present: str | None, wanted: list[Any]) -> bool:
    if present is None:
        return False
    return any(present == w if operator in _EXACT else _like(present, str(w)) for w in wanted)


def _like(text: str, pattern: str) -> bool:
    """IAM's wildcards: `*` and `?`, nothing else."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def _many(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
