"""Lambda's REST API: functions, layers, concurrency, event-invoke configuration, policy, invoke."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
import json
import re
from typing import Any, Final
import uuid

from serverless_mlperf.platforms.local.executor_protocol import Executor
from serverless_mlperf.platforms.local.gateway.errors import ApiError, not_implemented
from serverless_mlperf.platforms.local.gateway.http import Request, Response
from serverless_mlperf.platforms.local.gateway.lambda_store import (
    MAX_LAYERS,
    RUNTIME,
    Function,
    Layer,
    ZipFolder,
    invalid,
    moment,
    settings_of,
    zip_content,
)
from serverless_mlperf.platforms.local.gateway.s3_store import ObjectStore
from serverless_mlperf.platforms.local.model import ThrottledError

PATH: Final = re.compile(r"/20\d\d-\d\d-\d\d/(functions|layers|account-settings)\b/?(.*)")
JSON: Final = {"content-type": "application/json"}
MAX_SYNC_BYTES: Final = 6 << 20
MAX_EVENT_BYTES: Final = 1 << 20
"""Payload limits of an invocation (lambda/latest/dg/gettingstarted-limits)."""
NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,140}")
_REASONS: Final = {"TooManyRequestsException": {"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"}}
"""The only limit on invocations that the local platform has."""

Operation = Callable[[Request, str, dict[str, Any]], Awaitable[Response]]


class LambdaApi:
    """Routes a request to its operation; errors become Lambda's JSON."""

    def __init__(self, store: ObjectStore, zips: ZipFolder, executor: Executor) -> None:
        self._store = store
        self._zips = zips
        self._executor = executor
        self._functions: dict[str, Function] = {}
        self._layers: dict[str, list[Layer]] = {}
        self._operations: dict[tuple[str, str], Operation] = {
            ("POST", ""): self._create,
            ("GET", ""): self._list,
            ("GET", "/"): self._get,
            ("DELETE", "/"): self._delete,
            ("GET", "/configuration"): self._get_configuration,
            ("PUT", "/configuration"): self._update_configuration,
            ("PUT", "/code"): self._update_code,
            ("POST", "/invocations"): self._invoke,
            ("PUT", "/concurrency"): self._put_concurrency,
            ("GET", "/concurrency"): self._get_concurrency,
            ("DELETE", "/concurrency"): self._delete_concurrency,
            ("PUT", "/event-invoke-config"): self._put_event_invoke,
            ("POST", "/event-invoke-config"): self._put_event_invoke,
            ("GET", "/event-invoke-config"): self._get_event_invoke,
            ("DELETE", "/event-invoke-config"): self._delete_event_invoke,
            ("POST", "/policy"): self._add_permission,
            ("GET", "/policy"): self._get_policy,
        }

    @staticmethod
    def takes(path: str) -> bool:
        """Whether a path is one of this API's."""
        return PATH.fullmatch(path) is not None

    async def handle(self, request: Request) -> Response:
        """Serve one request."""
        try:
            return await self._route(request)
        except ApiError as error:
            told = {"Type": "User", "Message": error.message, "message": error.message, **_REASONS.get(error.code, {})}
            return Response(error.status, json.dumps(told).encode(), {**JSON, "x-amzn-errortype": error.code})

    async def prepare(self, name: str) -> None:
        """Have all in place that a first environment of the function needs; without a name, of any function."""
        await self._executor.prepare(self._function(name).spec() if name else None)

    def tell(self, arn: str, payload: bytes) -> None:
        """An S3 event for the function of that ARN; one that is gone loses it, as on AWS."""
        function = self._functions.get(_name(arn))
        if function is not None:
            self._executor.submit_event(function.spec(), payload)

    async def _route(self, request: Request) -> Response:
        match = PATH.fullmatch(request.path)
        kind, rest = match.groups() if match else ("", "")
        if kind == "account-settings":
            return _json({"AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000}})
        if kind == "layers":
            return await self._route_layers(request, rest)
        name, _, tail = rest.partition("/")
        where = f"/{tail}" if name else ""
        operation = self._operations.get((request.method, where))
        if operation is None:
            raise not_implemented(f"{request.method} {request.path}")
        values = {} if where == "/invocations" else _values(request.body)
        return await operation(request, _name(name), values)

    # Functions

    async def _create(self, _: Request, __: str, values: dict[str, Any]) -> Response:
        name = _name(str(values.get("FunctionName", "")))
        if not NAME.fullmatch(name):
            raise invalid(f"FunctionName {name!r} must be 1 to 140 letters, digits, - and _")
        if name in self._functions:
            raise ApiError(409, "ResourceConflictException", f"Function already exist: {name}")
        if values.get("PackageType", "Zip") != "Zip":
            raise invalid("PackageType: the local platform takes Zip only")
        settings = settings_of(values)
        layers = self._resolve(values.get("Layers") or [])
        code = await self._zip(values.get("Code") or {})
        self._functions[name] = Function(name, code, layers, settings)
        return _json(self._functions[name].configuration(), 201)

    async def _list(self, *_: object) -> Response:
        return _json({"Functions": [f.configuration() for _, f in sorted(self._functions.items())]})

    async def _get(self, _: Request, name: str, __: dict[str, Any]) -> Response:
        function = self._function(name)
        reserved = function.reserved_concurrency
        return _json(
            {
                "Configuration": function.configuration(),
                "Code": {"RepositoryType": "S3", "Location": function.code.path.as_uri()},
                **({} if reserved is None else {"Concurrency": {"ReservedConcurrentExecutions": reserved}}),
            }
        )

    async def _get_configuration(self, _: Request, name: str, __: dict[str, Any]) -> Response:
        return _json(self._function(name).configuration())

    async def _update_configuration(self, _: Request, name: str, values: dict[str, Any]) -> Response:
        function = self._function(name)
        function.settings = settings_of(values, function.settings)
        if "Layers" in values:
            function.layers = self._resolve(values["Layers"])
        await self._renew(function)
        return _json(function.configuration())

    async def _update_code(self, _: Request, name: str, values: dict[str, Any]) -> Response:
        function = self._function(name)
        function.code = await self._zip(values)
        await self._renew(function)
        return _json(function.configuration())

    async def _delete(self, _: Request, name: str, __: dict[str, Any]) -> Response:
        del self._functions[self._function(name).name]
        await self._executor.retire(name)
        return Response(204)

    async def _renew(self, function: Function) -> None:
        function.touch()
        await self._executor.retire(function.name)

    # Invoke

    async def _invoke(self, request: Request, name: str, _: dict[str, Any]) -> Response:
        function = self._function(name)
        kind = request.headers.get("x-amz-invocation-type", "RequestResponse")
        limit = MAX_EVENT_BYTES if kind == "Event" else MAX_SYNC_BYTES
        if len(request.body) > limit:
            message = f"Request must be smaller than {limit} bytes for the InvokeFunction operation"
            raise ApiError(413, "RequestTooLargeException", message)
        payload = _payload(request.body)
        if kind == "DryRun":
            return Response(204)
        if kind == "Event":
            request_id = self._executor.submit_event(function.spec(), payload)
            return Response(202, b"", {"x-amzn-requestid": request_id})
        if kind != "RequestResponse":
            raise invalid(f"InvocationType {kind!r} must be RequestResponse, Event or DryRun")
        return await self._invoke_and_wait(request, function, payload)

    async def _invoke_and_wait(self, request: Request, function: Function, payload: bytes) -> Response:
        tail = request.headers.get("x-amz-log-type") == "Tail"
        try:
            done = await self._executor.invoke(function.spec(), payload, log_tail=tail)
        except ThrottledError as error:
            raise ApiError(429, "TooManyRequestsException", "Rate Exceeded.") from error
        headers = {
            **JSON,
            "x-amz-executed-version": done.executed_version,
            "x-amzn-requestid": done.request_id,
            **({"x-amz-function-error": done.function_error} if done.function_error else {}),
            **({"x-amz-log-result": base64.b64encode(done.log_tail).decode()} if tail else {}),
        }
        return Response(200, done.payload, headers)

    # Concurrency, event-invoke configuration, policy

    async def _put_concurrency(self, _: Request, name: str, values: dict[str, Any]) -> Response:
        wanted = values.get("ReservedConcurrentExecutions")
        if not isinstance(wanted, int) or wanted < 0:
            raise invalid("ReservedConcurrentExecutions must be a whole number of at least 0")
        self._function(name).reserved_concurrency = wanted
        return _json({"ReservedConcurrentExecutions": wanted})

    async def _get_concurrency(self, _: Request, name: str, __: dict[str, Any]) -> Response:
        reserved = self._function(name).reserved_concurrency
        return _json({} if reserved is None else {"ReservedConcurrentExecutions": reserved})

    async def _delete_concurrency(self, _: Request, name: str, __: dict[str, Any]) -> Response:
        self._function(name).reserved_concurrency = None
        return Response(204)

    async def _put_event_invoke(self, _: Request, name: str, values: dict[str, Any]) -> Response:
        function = self._function(name)
        retries = values.get("MaximumRetryAttempts", 2)
        if not isinstance(retries, int) or not 0 <= retries <= 2:
            raise invalid("MaximumRetryAttempts must be 0, 1 or 2")
        function.event_invoke = {"MaximumRetryAttempts": retries}
        return _json({"FunctionArn": function.arn, **function.event_invoke})

    async def _get_event_invoke(self, _: Request, name: str, __: dict[str, Any]) -> Response:
        function = self._function(name)
        if not function.event_invoke:
            message = f"The function {function.arn} doesn't have an EventInvokeConfig"
            raise ApiError(404, "ResourceNotFoundException", message)
        return _json({"FunctionArn": function.arn, **function.event_invoke})

    async def _delete_event_invoke(self, _: Request, name: str, __: dict[str, Any]) -> Response:
        self._function(name).event_invoke = {}
        return Response(204)

    async def _add_permission(self, _: Request, name: str, values: dict[str, Any]) -> Response:
        function = self._function(name)
        sid = str(values.get("StatementId") or uuid.uuid4())
        statement = {"Sid": sid, "Effect": "Allow", "Resource": function.arn, "Action": values.get("Action")}
        statement |= {"Principal": {"Service": values.get("Principal")}}
        function.statements[sid] = statement
        return _json({"Statement": json.dumps(statement)}, 201)

    async def _get_policy(self, _: Request, name: str, __: dict[str, Any]) -> Response:
        function = self._function(name)
        if not function.statements:
            raise ApiError(404, "ResourceNotFoundException", "The resource you requested does not exist.")
        policy = {"Version": "2012-10-17", "Id": "default", "Statement": list(function.statements.values())}
        return _json({"Policy": json.dumps(policy), "RevisionId": function.revision_id})

    # Layers

    async def _route_layers(self, request: Request, rest: str) -> Response:
        name, _, tail = rest.partition("/")
        match (request.method, name, tail.split("/")):
            case ("GET", "", _):
                rows = [{"LayerName": n, "LatestMatchingVersion": _layer(v[-1])} for n, v in self._layers.items() if v]
                return _json({"Layers": rows})
            case ("POST", _, ["versions"]):
                return await self._publish_layer(name, _values(request.body))
            case ("GET", _, ["versions"]):
                return _json({"LayerVersions": [_layer(v) for v in reversed(self._layers.get(name, []))]})
            case ("GET", _, ["versions", number]):
                return _json(_layer(self._layer(name, number)))
            case ("DELETE", _, ["versions", number]):
                self._layers[name].remove(self._layer(name, number))
                return Response(204)
        raise not_implemented(f"{request.method} {request.path}")

    async def _publish_layer(self, name: str, values: dict[str, Any]) -> Response:
        if not NAME.fullmatch(name):
            raise invalid(f"LayerName {name!r} must be 1 to 140 letters, digits, - and _")
        content = await self._zip(values.get("Content") or {})
        versions = self._layers.setdefault(name, [])
        number = versions[-1].version + 1 if versions else 1
        versions.append(Layer(name, number, content, str(values.get("Description", "")), moment()))
        return _json(_layer(versions[-1]), 201)

    def _layer(self, name: str, number: str) -> Layer:
        found = next((v for v in self._layers.get(name, []) if str(v.version) == number), None)
        if found is None:
            raise ApiError(404, "ResourceNotFoundException", f"Layer version {name}:{number} does not exist.")
        return found

    def _resolve(self, arns: list[str]) -> tuple[Layer, ...]:
        if len(arns) > MAX_LAYERS:
            raise invalid(f"Cannot reference more than {MAX_LAYERS} layers.")
        known = {layer.arn: layer for versions in self._layers.values() for layer in versions}
        missing = [arn for arn in arns if arn not in known]
        if missing:
            raise invalid(f"Layer version {missing[0]} does not exist.")
        return tuple(known[arn] for arn in arns)

    # Shared

    def _function(self, name: str) -> Function:
        try:
            return self._functions[name]
        except KeyError:
            arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
            raise ApiError(404, "ResourceNotFoundException", f"Function not found: {arn}") from None

    async def _zip(self, code: dict[str, Any]) -> Any:
        """The zip of a Code, Content or UpdateFunctionCode document, inline or from a bucket."""
        if "ZipFile" in code:
            content = zip_content(str(code["ZipFile"]))
        elif "S3Bucket" in code and "S3Key" in code:
            try:
                content = self._store.get(self._store.bucket(code["S3Bucket"]), code["S3Key"]).body
            except ApiError as error:
                message = (
                    f"Error occurred while GetObject. S3 Error Code: {error.code}. S3 Error Message: {error.message}"
                )
                raise invalid(message) from None
        else:
            raise invalid("Code must be given as ZipFile or as S3Bucket and S3Key")
        return await asyncio.to_thread(self._zips.add, content)


def _layer(layer: Layer) -> dict[str, Any]:
    return {
        "LayerArn": layer.arn.rpartition(":")[0],
        "LayerVersionArn": layer.arn,
        "Version": layer.version,
        "Description": layer.description,
        "CreatedDate": layer.created,
        "CompatibleRuntimes": [RUNTIME],
        "Content": {"CodeSha256": layer.content.code_sha256, "CodeSize": layer.content.size},
    }


def _name(function: str) -> str:
    """Function name of a name, partial or full ARN, without a qualifier."""
    parts = function.split(":")
    if len(parts) >= 7 and parts[0] == "arn":
        return parts[6]
    return parts[2] if len(parts) == 3 and parts[1] == "function" else parts[0]


def _values(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body or b"{}")
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise ApiError(400, "InvalidRequestContentException", "Could not parse request body into json.")
    return values


def _payload(body: bytes) -> bytes:
    """The event as sent; `{}` without any."""
    try:
        json.loads(body or b"{}")
    except ValueError as error:
        message = f"Could not parse request body into json: {error}"
        raise ApiError(400, "InvalidRequestContentException", message) from None
    return body or b"{}"


def _json(value: Any, status: int = 200) -> Response:
    return Response(status, json.dumps(value).encode(), JSON)
