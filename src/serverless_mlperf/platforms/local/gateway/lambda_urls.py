"""Function URLs as Lambda's API keeps them."""

from collections.abc import Mapping
from dataclasses import replace
import secrets
import string
from typing import Any, Final

from serverless_mlperf.platforms.local.gateway.errors import not_implemented
from serverless_mlperf.platforms.local.gateway.http import Response
from serverless_mlperf.platforms.local.gateway.lambda_call import Call, answer, page
from serverless_mlperf.platforms.local.gateway.lambda_errors import (
    check_choice,
    check_flag,
    check_list,
    check_mapping,
    check_number,
    check_text,
    conflict,
    not_found,
    refuse_others,
    required,
)
from serverless_mlperf.platforms.local.gateway.lambda_lookup import find_alias, find_function
from serverless_mlperf.platforms.local.gateway.lambda_names import LATEST, function_arn
from serverless_mlperf.platforms.local.gateway.lambda_state import Function, FunctionUrl, LambdaState, moment
from serverless_mlperf.platforms.local.model import REGION

DOMAIN: Final = f"lambda-url.{REGION}.localhost"
"""Where functions have their hosts; `*.localhost` is this machine everywhere (RFC 6761)."""
METHODS: Final = ("GET", "PUT", "HEAD", "POST", "PATCH", "DELETE", "*")
_ID_CHARACTERS: Final = string.ascii_lowercase + string.digits
_ALIAS: Final = r"(?!^\d+$)^[0-9a-zA-Z-_]+$"
_MEMBERS: Final = ("AuthType", "Cors", "InvokeMode")


class UrlOperations:
    """Each method serves one operation."""

    def __init__(self, state: LambdaState, port: int) -> None:
        self._state = state
        self._port = port

    async def create(self, call: Call) -> Response:
        """CreateFunctionUrlConfig."""
        function, qualifier = self._owner(call)
        _refuse(call.values, "CreateFunctionUrlConfig")
        auth_type = _auth_type(required(call.values, "AuthType"))
        if qualifier in function.urls:
            failed = f"Failed to create function url config for [functionArn = {_arn(function, qualifier)}]."
            raise conflict(f"{failed} Error message:  FunctionUrlConfig exists for this Lambda function")
        url_id = "".join(secrets.choice(_ID_CHARACTERS) for _ in range(32))
        url = FunctionUrl(url_id, auth_type, read_cors(call.values.get("Cors")), moment(), moment())
        return self._keep(function, qualifier, url, 201)

    async def update(self, call: Call) -> Response:
        """UpdateFunctionUrlConfig: what is not given stays."""
        function, qualifier = self._owner(call)
        _refuse(call.values, "UpdateFunctionUrlConfig")
        url = _url(function, qualifier)
        if call.values.get("AuthType") is not None:
            url = replace(url, auth_type=_auth_type(call.values["AuthType"]))
        if call.values.get("Cors") is not None:
            url = replace(url, cors=read_cors(call.values["Cors"]))
        return self._keep(function, qualifier, replace(url, modified=moment()))

    async def get(self, call: Call) -> Response:
        """GetFunctionUrlConfig."""
        function, qualifier = self._owner(call)
        return answer(self._shown(function, qualifier, _url(function, qualifier)))

    async def list(self, call: Call) -> Response:
        """ListFunctionUrlConfigs."""
        function = find_function(self._state, call.ref)
        rows = [self._shown(function, qualifier, url) for qualifier, url in sorted(function.urls.items())]
        return page(call, "FunctionUrlConfigs", rows)

    async def delete(self, call: Call) -> Response:
        """DeleteFunctionUrlConfig."""
        function, qualifier = self._owner(call)
        _url(function, qualifier)
        del function.urls[qualifier]
        self._state.changed("function", function.name)
        return Response(204)

    def _owner(self, call: Call) -> tuple[Function, str]:
        """Whose URL it is: a function's own or an alias's, never a version's."""
        function, qualifier = find_function(self._state, call.ref), call.ref.qualifier
        if qualifier is None:
            return function, LATEST
        check_text(qualifier, "qualifier", _ALIAS, 128)
        find_alias(function, qualifier)
        return function, qualifier

    def _keep(self, function: Function, qualifier: str, url: FunctionUrl, status: int = 200) -> Response:
        function.urls[qualifier] = url
        self._state.changed("function", function.name)
        return answer(self._shown(function, qualifier, url), status)

    def _shown(self, function: Function, qualifier: str, url: FunctionUrl) -> dict[str, Any]:
        return {
            "FunctionUrl": f"http://{url.id}.{DOMAIN}:{self._port}/",
            "FunctionArn": _arn(function, qualifier),
            "AuthType": url.auth_type,
            **({"Cors": dict(url.cors)} if url.cors else {}),
            "CreationTime": url.created,
            "LastModifiedTime": url.modified,
            "InvokeMode": "BUFFERED",
        }


def read_cors(given: object) -> dict[str, Any]:
    """A checked Cors (lambda/latest/api/API_Cors)."""
    values = check_mapping(given or {}, "cors")
    refuse_others(values, (*_LISTS, "AllowCredentials", "MaxAge"), "Cors")
    read: dict[str, Any] = {}
    for name, (most, longest) in _LISTS.items():
        if values.get(name) is not None:
            where = f"cors.{name[0].lower()}{name[1:]}"
            read[name] = [check_text(row, where, "", longest) for row in check_list(values[name], where, most)]
    for method in read.get("AllowMethods", []):
        check_choice(method, "cors.allowMethods", METHODS)
    if values.get("AllowCredentials") is not None:
        read["AllowCredentials"] = check_flag(values["AllowCredentials"], "cors.allowCredentials")
    if values.get("MaxAge") is not None:
        read["MaxAge"] = check_number(values["MaxAge"], "cors.maxAge", range(86_401))
    return read


_LISTS: Final = {
    "AllowHeaders": (100, 1024),
    "AllowMethods": (6, 6),
    "AllowOrigins": (100, 253),
    "ExposeHeaders": (100, 1024),
}
"""How many of each, and how long."""


def _refuse(values: Mapping[str, Any], operation: str) -> None:
    refuse_others(values, _MEMBERS, operation)
    mode = values.get("InvokeMode")
    if mode is not None and check_choice(mode, "invokeMode", ("RESPONSE_STREAM", "BUFFERED")) != "BUFFERED":
        raise not_implemented("InvokeMode RESPONSE_STREAM")


def _auth_type(given: object) -> str:
    return check_choice(given, "authType", ("AWS_IAM", "NONE"))


def _arn(function: Function, qualifier: str) -> str:
    return function_arn(function.name, None if qualifier == LATEST else qualifier)


def _url(function: Function, qualifier: str) -> FunctionUrl:
    try:
        return function.urls[qualifier]
    except KeyError:
        raise not_found() from None
