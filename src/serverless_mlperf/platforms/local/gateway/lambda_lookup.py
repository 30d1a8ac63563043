"""What a request names: a function, a version of it, an alias."""

from serverless_mlperf.platforms.local.gateway.lambda_errors import not_found
from serverless_mlperf.platforms.local.gateway.lambda_names import LATEST, FunctionRef, function_arn
from serverless_mlperf.platforms.local.gateway.lambda_state import Alias, Function, LambdaState, Revision


def find_function(state: LambdaState, ref: FunctionRef) -> Function:
    """The function; ApiError ResourceNotFoundException."""
    try:
        return state.functions[ref.name]
    except KeyError:
        raise not_found(f"Function not found: {ref.arn}") from None


def find_revision(state: LambdaState, ref: FunctionRef) -> tuple[Function, Revision]:
    """The revision that a version, an alias or no qualifier stands for."""
    function = find_function(state, ref)
    alias = function.aliases.get(ref.qualifier or "")
    revision = function.revision(alias.version if alias else ref.qualifier or LATEST)
    if revision is None:
        raise not_found(f"Function not found: {ref.arn}")
    return function, revision


def find_alias(function: Function, name: str) -> Alias:
    """An alias; ApiError ResourceNotFoundException."""
    try:
        return function.aliases[name]
    except KeyError:
        raise not_found(f"Cannot find alias arn: {function_arn(function.name, name)}") from None


def find_qualifier(state: LambdaState, ref: FunctionRef) -> tuple[Function, str]:
    """The function and the qualifier, which exists; `$LATEST` without one."""
    function, _ = find_revision(state, ref)
    return function, ref.qualifier or LATEST
