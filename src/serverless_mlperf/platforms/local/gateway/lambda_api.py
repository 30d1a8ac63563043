"""Lambda's REST API: which operation a request is, and errors as Lambda's JSON."""

import re
from typing import Final

from serverless_mlperf.platforms.local.executor_protocol import Executor
from serverless_mlperf.platforms.local.gateway.errors import ApiError, not_implemented
from serverless_mlperf.platforms.local.gateway.http import Request, Response
from serverless_mlperf.platforms.local.gateway.lambda_account import AccountOperations
from serverless_mlperf.platforms.local.gateway.lambda_call import Call, Operation, answer, read_values
from serverless_mlperf.platforms.local.gateway.lambda_code import CodeSource
from serverless_mlperf.platforms.local.gateway.lambda_errors import error_answer
from serverless_mlperf.platforms.local.gateway.lambda_events_config import EventInvokeOperations
from serverless_mlperf.platforms.local.gateway.lambda_functions import FunctionOperations
from serverless_mlperf.platforms.local.gateway.lambda_invoke import Invoker
from serverless_mlperf.platforms.local.gateway.lambda_layers import LayerOperations
from serverless_mlperf.platforms.local.gateway.lambda_lookup import find_function
from serverless_mlperf.platforms.local.gateway.lambda_names import FunctionRef, function_ref
from serverless_mlperf.platforms.local.gateway.lambda_policy import PolicyOperations
from serverless_mlperf.platforms.local.gateway.lambda_preparation import Preparation
from serverless_mlperf.platforms.local.gateway.lambda_specs import make_spec
from serverless_mlperf.platforms.local.gateway.lambda_state import Kind, LambdaState
from serverless_mlperf.platforms.local.gateway.lambda_tags import TagOperations
from serverless_mlperf.platforms.local.gateway.lambda_targets import HasQueue, Targets
from serverless_mlperf.platforms.local.gateway.lambda_urls import UrlOperations
from serverless_mlperf.platforms.local.gateway.lambda_versions import AliasOperations, VersionOperations
from serverless_mlperf.platforms.local.gateway.s3_store import ObjectStore
from serverless_mlperf.platforms.local.model import FunctionSpec

PATH: Final = re.compile(r"/20\d\d-\d\d-\d\d/([a-z-]+)(?:/(.*))?")
_NOBODY: Final = FunctionRef("")


class LambdaApi:
    """Routes a request to its operation; `close` it."""

    INTERNAL_ERROR: Final = "ServiceException"
    """AWS's code for an error of its own."""

    def __init__(
        self, state: LambdaState, store: ObjectStore, executor: Executor, has_queue: HasQueue, port: int
    ) -> None:
        self.state = state
        self._preparation = Preparation(state, executor)
        self._executor = executor
        self.invoker = Invoker(state, executor)
        source = CodeSource(store, state.zips, f"http://127.0.0.1:{port}")
        targets = Targets(state, store, has_queue)
        self._account = AccountOperations(state, executor.account_concurrency)
        functions = FunctionOperations(state, source, executor, self._preparation, targets.check_dead_letter)
        # Method and path below /functions, {} for a name -> operation.
        self._functions: dict[str, Operation] = {
            "POST ": functions.create,
            "GET ": functions.list,
            "GET {}": functions.get,
            "DELETE {}": functions.delete,
            "GET {}/configuration": functions.get_configuration,
            "PUT {}/configuration": functions.update_configuration,
            "PUT {}/code": functions.update_code,
            "GET {}/code-signing-config": self._no_code_signing,
            **_of_versions(VersionOperations(state, self._preparation), AliasOperations(state)),
            **_of_policies(PolicyOperations(state)),
            **_of_urls(UrlOperations(state, port)),
            **_of_events(EventInvokeOperations(state, targets), self._account),
        }
        self._layers = _of_layers(LayerOperations(state, source))
        self._tags = _of_tags(TagOperations(state))
        state.listeners.append(self._renew)

    @staticmethod
    def takes(path: str) -> bool:
        """Whether a path is one of this API's."""
        return PATH.fullmatch(path) is not None

    async def handle(self, request: Request) -> Response:
        """Serve one request."""
        try:
            return await self._route(request)
        except ApiError as error:
            return error_answer(error)

    def refusal(self, _: Request, error: ApiError) -> Response:
        """The answer to an error."""
        return error_answer(error)

    def tell(self, arn: str, payload: bytes) -> None:
        """An S3 event for the function of that ARN; one that is gone loses it, as on AWS."""
        self.invoker.accept(arn, payload, from_s3=True)

    def deliver(self, arn: str, payload: bytes) -> bool:
        """An event for the function of that ARN, of no bucket; whether there is such a function."""
        return self.invoker.accept(arn, payload)

    def resolve(self, arn: str) -> FunctionSpec | None:
        """What an invocation of a function's ARN runs now; None when there is nothing that can run."""
        try:
            return self.invoker.spec(function_ref(arn))
        except ApiError:
            return None

    async def prepare(self, name: str) -> None:
        """Have all in place that a first environment of the function needs; without a name, of any function.

        Raises BenchmarkError when that cannot be done.
        """
        if not name:
            await self._executor.prepare()
            return
        await self._preparation.settled(name)
        await self._executor.prepare(self.invoker.spec(function_ref(name)))

    def resume(self) -> None:
        """Go on with what was on its way when the state was kept."""
        self._preparation.resume()

    def close(self) -> None:
        """Stop what is on its way."""
        self._preparation.close()

    async def _route(self, request: Request) -> Response:
        match = PATH.fullmatch(request.path)
        kind, rest = (match[1], match[2] or "") if match else ("", "")
        if kind == "functions":
            name, _, tail = rest.partition("/")
            if tail == "invocations" and request.method == "POST":
                return await self.invoker.invoke(request, function_ref(name, _qualifier(request)))
            return await self._operation(request, self._functions, name, tail)
        if kind == "layers":
            return await self._operation(request, self._layers, *_parted(rest))
        if kind == "tags":
            return await self._operation(request, self._tags, rest, "")
        if (kind, rest, request.method) == ("account-settings", "", "GET"):
            return await self._account.settings(Call(request, _NOBODY, "", {}))
        raise not_implemented(f"{request.method} {request.path}")

    async def _operation(self, request: Request, table: dict[str, Operation], name: str, tail: str) -> Response:
        sub, _, item = tail.partition("/")
        shape = f"{'{}' if name else ''}{'/' + sub if sub else ''}"
        operation = table.get(f"{request.method} {shape}/{{}}") if item else None
        if operation is None:
            operation = table.get(f"{request.method} {shape}/{item}" if item else f"{request.method} {shape}")
        if operation is None or "/" in item:
            raise not_implemented(f"{request.method} {request.path}")
        ref = FunctionRef(name) if table is self._layers or not name else function_ref(name, _qualifier(request))
        return await operation(Call(request, ref, item, read_values(request.body)))

    def _renew(self, kind: Kind, name: str) -> None:
        """Let the executor know what a function is from now on."""
        function = self.state.functions.get(name) if kind == "function" else None
        if function is not None:
            for revision in (function.serving, *function.versions.values()):
                if revision is not None:
                    self._executor.renew(make_spec(function, revision))

    async def _no_code_signing(self, call: Call) -> Response:
        """GetFunctionCodeSigningConfig: code is not signed here."""
        return answer({"FunctionName": find_function(self.state, call.ref).name})


def _of_versions(versions: VersionOperations, aliases: AliasOperations) -> dict[str, Operation]:
    return {
        "POST {}/versions": versions.publish,
        "GET {}/versions": versions.list,
        "POST {}/aliases": aliases.create,
        "GET {}/aliases": aliases.list,
        "GET {}/aliases/{}": aliases.get,
        "PUT {}/aliases/{}": aliases.update,
        "DELETE {}/aliases/{}": aliases.delete,
    }


def _of_policies(policies: PolicyOperations) -> dict[str, Operation]:
    return {
        "POST {}/policy": policies.add,
        "GET {}/policy": policies.get,
        "DELETE {}/policy/{}": policies.remove,
    }


def _of_events(events: EventInvokeOperations, account: AccountOperations) -> dict[str, Operation]:
    return {
        "PUT {}/event-invoke-config": events.put,
        "POST {}/event-invoke-config": events.update,
        "GET {}/event-invoke-config": events.get,
        "DELETE {}/event-invoke-config": events.delete,
        "GET {}/event-invoke-config/list": events.list,
        "PUT {}/concurrency": account.put_concurrency,
        "GET {}/concurrency": account.get_concurrency,
        "DELETE {}/concurrency": account.delete_concurrency,
    }


def _of_urls(urls: UrlOperations) -> dict[str, Operation]:
    return {
        "POST {}/url": urls.create,
        "GET {}/url": urls.get,
        "PUT {}/url": urls.update,
        "DELETE {}/url": urls.delete,
        "GET {}/urls": urls.list,
    }


def _of_layers(layers: LayerOperations) -> dict[str, Operation]:
    return {
        "GET ": layers.list,
        "POST {}/versions": layers.publish,
        "GET {}/versions": layers.list_versions,
        "GET {}/versions/{}": layers.get,
        "DELETE {}/versions/{}": layers.delete,
    }


def _of_tags(tags: TagOperations) -> dict[str, Operation]:
    return {"GET {}": tags.list, "POST {}": tags.add, "DELETE {}": tags.remove}


def _qualifier(request: Request) -> str | None:
    return request.query.get("Qualifier") if "?" in request.target else None


def _parted(rest: str) -> tuple[str, str]:
    name, _, tail = rest.partition("/")
    return name, tail
