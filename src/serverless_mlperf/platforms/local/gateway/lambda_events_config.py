"""What becomes of asynchronous events: retries, age, destinations, by version and alias."""

from collections.abc import Mapping
import time
from typing import Any, Final

from serverless_mlperf.platforms.local.gateway.errors import ApiError, not_implemented
from serverless_mlperf.platforms.local.gateway.http import Response
from serverless_mlperf.platforms.local.gateway.lambda_call import Call, answer, page
from serverless_mlperf.platforms.local.gateway.lambda_errors import (
    check_mapping,
    check_number,
    check_text,
    invalid,
    not_found,
    refuse_others,
)
from serverless_mlperf.platforms.local.gateway.lambda_lookup import find_function, find_qualifier
from serverless_mlperf.platforms.local.gateway.lambda_names import LATEST, function_arn
from serverless_mlperf.platforms.local.gateway.lambda_state import EventInvoke, Function, LambdaState
from serverless_mlperf.platforms.local.gateway.lambda_targets import Targets

_MEMBERS: Final = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")
RETRIES: Final = range(3)
EVENT_AGE_S: Final = range(60, 21_601)
"""lambda/latest/api/API_PutFunctionEventInvokeConfig."""
_NEW: Final = EventInvoke(None, None, None, None, 0.0)


class EventInvokeOperations:
    """Each method serves one operation."""

    def __init__(self, state: LambdaState, targets: Targets) -> None:
        self._state = state
        self._targets = targets

    async def put(self, call: Call) -> Response:
        """PutFunctionEventInvokeConfig: what is not given has Lambda's default."""
        return self._keep(call, *self._asked(call), base=_NEW)

    async def update(self, call: Call) -> Response:
        """UpdateFunctionEventInvokeConfig: what is not given stays."""
        function, qualifier = self._asked(call)
        return self._keep(call, function, qualifier, base=_kept(function, qualifier))

    async def get(self, call: Call) -> Response:
        """GetFunctionEventInvokeConfig."""
        function, qualifier = self._named(call)
        return answer(_shown(function, qualifier, _kept(function, qualifier)))

    async def list(self, call: Call) -> Response:
        """ListFunctionEventInvokeConfigs."""
        function = find_function(self._state, call.ref)
        rows = [_shown(function, qualifier, kept) for qualifier, kept in sorted(function.event_invoke.items())]
        return page(call, "FunctionEventInvokeConfigs", rows)

    async def delete(self, call: Call) -> Response:
        """DeleteFunctionEventInvokeConfig."""
        function, qualifier = self._named(call)
        _kept(function, qualifier)
        del function.event_invoke[qualifier]
        self._state.changed("function", function.name)
        return Response(204)

    def _named(self, call: Call) -> tuple[Function, str]:
        try:
            return find_qualifier(self._state, call.ref)
        except ApiError as error:
            raise not_found("The function doesn't exist.") from error

    def _asked(self, call: Call) -> tuple[Function, str]:
        refuse_others(call.values, _MEMBERS, "the event-invoke configuration")
        if all(call.values.get(name) is None for name in _MEMBERS):
            raise invalid("You must specify at least one of error handling or destination setting.")
        return self._named(call)

    def _keep(self, call: Call, function: Function, qualifier: str, base: EventInvoke) -> Response:
        values = call.values
        retries, age_s = values.get("MaximumRetryAttempts"), values.get("MaximumEventAgeInSeconds")
        on_success, on_failure = base.on_success, base.on_failure
        if values.get("DestinationConfig") is not None:
            given = check_mapping(values["DestinationConfig"], "destinationConfig")
            on_success = self._destination(given, "OnSuccess", function.name)
            on_failure = self._destination(given, "OnFailure", function.name)
        made = function.event_invoke[qualifier] = EventInvoke(
            retries=base.retries if retries is None else check_number(retries, "maximumRetryAttempts", RETRIES),
            max_age_s=base.max_age_s if age_s is None else check_number(age_s, "maximumEventAgeInSeconds", EVENT_AGE_S),
            on_success=on_success,
            on_failure=on_failure,
            modified_s=time.time(),
        )
        self._state.changed("function", function.name)
        return answer(_shown(function, qualifier, made))

    def _destination(self, given: Mapping[str, Any], name: str, owner: str) -> str | None:
        where = f"destinationConfig.{name[0].lower()}{name[1:]}"
        arn = check_mapping(given.get(name) or {}, where).get("Destination")
        if not arn:
            return None
        self._targets.check_destination(check_text(arn, f"{where}.destination", "", 350), owner)
        if name == "OnSuccess" and arn.startswith("arn:aws:s3:"):  # lambda/latest/dg/invocation-async-retain-records
            raise not_implemented("a bucket as the destination of successes; Lambda sends failures alone there")
        return str(arn)


def _kept(function: Function, qualifier: str) -> EventInvoke:
    try:
        return function.event_invoke[qualifier]
    except KeyError:
        arn = function_arn(function.name, qualifier)
        raise not_found(f"The function {arn} doesn't have an EventInvokeConfig") from None


def _shown(function: Function, qualifier: str, kept: EventInvoke) -> dict[str, Any]:
    """FunctionEventInvokeConfig; without a qualifier the ARN ends in `$LATEST`, as Lambda's does."""
    destinations = {"OnSuccess": kept.on_success, "OnFailure": kept.on_failure}
    numbers = {"MaximumRetryAttempts": kept.retries, "MaximumEventAgeInSeconds": kept.max_age_s}
    return {
        "LastModified": kept.modified_s,
        "FunctionArn": function_arn(function.name, qualifier or LATEST),
        **{name: number for name, number in numbers.items() if number is not None},
        "DestinationConfig": {name: {"Destination": arn} if arn else {} for name, arn in destinations.items()},
    }
