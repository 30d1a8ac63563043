"""Lambda's refusals, in Lambda's words (lambda/latest/api, each operation's errors), and checks that raise them."""

from collections.abc import Container, Mapping, Sequence
import json
import re
from typing import Any

from serverless_mlperf.platforms.local.gateway.errors import ApiError, not_implemented
from serverless_mlperf.platforms.local.gateway.http import Response


def invalid(message: str) -> ApiError:
    """InvalidParameterValueException: the values contradict each other or Lambda's rules."""
    return ApiError(400, "InvalidParameterValueException", message)


def not_found(message: str = "The resource you requested does not exist.") -> ApiError:
    """ResourceNotFoundException."""
    return ApiError(404, "ResourceNotFoundException", message)


def conflict(message: str) -> ApiError:
    """ResourceConflictException: there is one already, or its state forbids it."""
    return ApiError(409, "ResourceConflictException", message)


def unmet(value: object, where: str, must: str) -> ApiError:
    """ValidationException: one value breaks a constraint of the API's model."""
    text = f"1 validation error detected: Value '{value}' at '{where}' failed to satisfy constraint: Member must {must}"
    return ApiError(400, "ValidationException", text)


def error_answer(error: ApiError) -> Response:
    """An error as Lambda's JSON."""
    told = {"Type": "User", "Message": error.message, "message": error.message, **error.details}
    headers = {"content-type": "application/json", "x-amzn-errortype": error.code}
    return Response(error.status, json.dumps(told).encode(), headers)


def check_revision(given: object, present: str, source: str = "GetFunction/GetAlias") -> None:
    """Refuse a RevisionId that is not the latest one."""
    if given and given != present:
        text = (
            f"The Revision Id provided does not match the latest Revision Id. Call the {source} API to retrieve the "
            "latest Revision Id"
        )
        raise ApiError(412, "PreconditionFailedException", text)


def check_text(value: object, where: str, pattern: str = "", most: int | None = None, least: int = 0) -> str:
    """A text that matches a pattern as a whole and has a length in bounds."""
    if not isinstance(value, str):
        raise _wrong_type(where, "a string")
    if most is not None and len(value) > most:
        raise unmet(value, where, f"have length less than or equal to {most}")
    if len(value) < least:
        raise unmet(value, where, f"have length greater than or equal to {least}")
    if pattern and not re.fullmatch(pattern, value):
        raise unmet(value, where, f"satisfy regular expression pattern: {pattern}")
    return value


def check_number(value: object, where: str, allowed: range) -> int:
    """A whole number of a range."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong_type(where, "a whole number")
    if value < allowed.start:
        raise unmet(value, where, f"have value greater than or equal to {allowed.start}")
    if value >= allowed.stop:
        raise unmet(value, where, f"have value less than or equal to {allowed.stop - 1}")
    return value


def check_choice(value: object, where: str, choices: Sequence[str]) -> str:
    """One word of several."""
    if value not in choices:
        raise unmet(value, where, f"satisfy enum value set: [{', '.join(choices)}]")
    return str(value)


def check_mapping(value: object, where: str) -> dict[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise _wrong_type(where, "an object")
    return value


def check_list(value: object, where: str, most: int) -> list[Any]:
    """A JSON array of at most so many items."""
    if not isinstance(value, list):
        raise _wrong_type(where, "a list")
    if len(value) > most:
        raise unmet(value, where, f"have length less than or equal to {most}")
    return value


def check_flag(value: object, where: str) -> bool:
    """True or false; absent is false."""
    if value is not None and not isinstance(value, bool):
        raise _wrong_type(where, "a boolean")
    return bool(value)


def required(values: Mapping[str, Any], name: str) -> Any:
    """A member that must be there."""
    if values.get(name) is None:
        raise unmet("null", name[0].lower() + name[1:], "not be null")
    return values[name]


def refuse_others(values: Mapping[str, Any], known: Container[str], operation: str) -> None:
    """Refuse what would be dropped silently; empty values ask for nothing."""
    others = sorted(name for name, value in values.items() if name not in known and _asks(value))
    if others:
        raise not_implemented(f"{', '.join(others)} of {operation}")


def _asks(value: object) -> bool:
    """Whether a value asks for something: `{"ApplyOn": "None"}` and `{"SubnetIds": []}` do not."""
    if isinstance(value, dict):
        return any(_asks(v) for v in value.values())
    return value not in (None, "", [], False, "None")


def _wrong_type(where: str, wanted: str) -> ApiError:
    return ApiError(400, "SerializationException", f"{where} must be {wanted}")
