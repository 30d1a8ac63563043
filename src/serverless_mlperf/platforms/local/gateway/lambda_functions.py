"""Functions: create, read, update, delete."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from serverless_mlperf.platforms.local.executor_protocol import Executor
from serverless_mlperf.platforms.local.gateway.errors import not_implemented
from serverless_mlperf.platforms.local.gateway.http import Response
from serverless_mlperf.platforms.local.gateway.lambda_call import Call, answer, page
from serverless_mlperf.platforms.local.gateway.lambda_code import MEMBERS, CodeSource
from serverless_mlperf.platforms.local.gateway.lambda_errors import (
    check_choice,
    check_flag,
    check_list,
    check_mapping,
    check_revision,
    conflict,
    invalid,
    refuse_others,
    required,
)
from serverless_mlperf.platforms.local.gateway.lambda_layers import resolve_layers
from serverless_mlperf.platforms.local.gateway.lambda_lookup import find_function, find_revision
from serverless_mlperf.platforms.local.gateway.lambda_names import LATEST, MAX_NAME, function_arn, function_ref
from serverless_mlperf.platforms.local.gateway.lambda_preparation import Preparation
from serverless_mlperf.platforms.local.gateway.lambda_settings import (
    CONFIGURED,
    CheckTarget,
    check_architectures,
    defaults,
    settings_of,
)
from serverless_mlperf.platforms.local.gateway.lambda_shapes import configuration
from serverless_mlperf.platforms.local.gateway.lambda_state import (
    CREATING,
    Function,
    LambdaState,
    Revision,
    moment,
    new_id,
)
from serverless_mlperf.platforms.local.gateway.lambda_tags import read_tags
from serverless_mlperf.platforms.local.gateway.lambda_versions import check_settled, published
from serverless_mlperf.platforms.local.gateway.lambda_zips import check_together

CREATE: Final = ("FunctionName", "Runtime", "Code", "Layers", "Architectures", "PackageType", "Publish", "Tags")
UPDATE: Final = ("Runtime", "Layers", "RevisionId")
CODE: Final = (*MEMBERS, "Architectures", "Publish", "DryRun", "RevisionId")


class FunctionOperations:
    """Each method serves one operation."""

    def __init__(
        self,
        state: LambdaState,
        source: CodeSource,
        executor: Executor,
        preparation: Preparation,
        check_target: CheckTarget,
    ) -> None:
        self._state = state
        self._source = source
        self._executor = executor
        self._preparation = preparation
        self._check_target = check_target

    async def create(self, call: Call) -> Response:
        """CreateFunction: Pending until it can serve."""
        name = self._new_name(call.values)
        revision = await self._first(name, call.values)
        tags = read_tags(call.values.get("Tags") or {})
        if name in self._state.functions:  # its code took a while to be stored
            raise conflict(f"Function already exist: {name}")
        function = self._state.functions[name] = Function(name, revision, tags=tags)
        return self._changed(function, publish=check_flag(call.values.get("Publish"), "publish"), status=201)

    async def list(self, call: Call) -> Response:
        """ListFunctions, with FunctionVersion=ALL all versions."""
        wanted = call.query.get("FunctionVersion")
        if wanted is not None:
            check_choice(wanted, "functionVersion", ("ALL",))
        rows = []
        for _, function in sorted(self._state.functions.items()):
            revisions = [function.latest, *(function.versions.values() if wanted else ())]
            rows += [configuration(function, r, r.version if wanted else None, brief=True) for r in revisions]
        return page(call, "Functions", rows)

    async def get(self, call: Call) -> Response:
        """GetFunction: configuration, code, tags, concurrency."""
        function, revision = find_revision(self._state, call.ref)
        reserved = function.reserved_concurrency
        shown = {
            "Configuration": configuration(function, revision, call.ref.qualifier),
            "Code": {"RepositoryType": "S3", "Location": self._source.address(revision.code)},
            **({"Tags": function.tags} if function.tags else {}),
            **({} if reserved is None else {"Concurrency": {"ReservedConcurrentExecutions": reserved}}),
        }
        return answer(shown)

    async def get_configuration(self, call: Call) -> Response:
        """GetFunctionConfiguration."""
        function, revision = find_revision(self._state, call.ref)
        return answer(configuration(function, revision, call.ref.qualifier))

    async def update_configuration(self, call: Call) -> Response:
        """UpdateFunctionConfiguration: the former one serves until the new one can."""
        function = self._updatable(call)
        refuse_others(call.values, (*CONFIGURED, *UPDATE), "UpdateFunctionConfiguration")
        latest = function.latest
        settings = settings_of(call.values, latest.settings, self._check_target)
        given = call.values.get("Layers")
        layers = latest.layers if given is None else resolve_layers(self._state, check_list(given, "layers", 10_000))
        check_together(latest.code, (layer.content for layer in layers))
        function.latest = _updated(latest, settings=settings, layers=layers)
        return self._changed(function)

    async def update_code(self, call: Call) -> Response:
        """UpdateFunctionCode: the former code serves until the new one can."""
        function = self._updatable(call)
        refuse_others(call.values, CODE, "UpdateFunctionCode")
        check_architectures(call.values)
        publish = check_flag(call.values.get("Publish"), "publish")
        code = await self._source.take(call.values)
        function = self._updatable(call)  # the code took a while to be stored
        check_together(code, (layer.content for layer in function.latest.layers))
        made = _updated(function.latest, code=code)
        if check_flag(call.values.get("DryRun"), "dryRun"):
            return answer(configuration(function, replace(made, progress=function.latest.progress)))
        function.latest = made
        return self._changed(function, publish=publish)

    async def delete(self, call: Call) -> Response:
        """DeleteFunction: the whole, or one published version."""
        function = find_function(self._state, call.ref)
        name, qualifier = function.name, call.ref.qualifier
        if qualifier == LATEST:
            raise invalid("$LATEST version cannot be deleted without deleting the function.")
        if qualifier is not None:
            return await self._delete_version(function, qualifier)
        del self._state.functions[name]
        self._state.changed("function", name)
        await self._executor.retire(name)
        return Response(204)

    async def _delete_version(self, function: Function, number: str) -> Response:
        pointing = sorted(a.name for a in function.aliases.values() if number in {a.version, *a.weights})
        if pointing:
            version = f"{function_arn(function.name, number)}"
            raise conflict(f"Version {version} is referenced by alias {', '.join(pointing)}; point it elsewhere first")
        if number in function.aliases:
            raise invalid(f"{number} is an alias; delete it with DeleteAlias")
        if function.versions.pop(number, None) is not None:
            function.policies.pop(number, None)
            function.event_invoke.pop(number, None)
            self._state.changed("function", function.name)
            await self._executor.retire(function.name, number)
        return Response(204)

    def _new_name(self, values: Mapping[str, Any]) -> str:
        ref = function_ref(str(required(values, "FunctionName")))
        if ref.qualifier is not None or len(ref.name) > MAX_NAME:
            raise invalid(f"FunctionName {values['FunctionName']} must be a name of at most {MAX_NAME} characters")
        if ref.name in self._state.functions:
            raise conflict(f"Function already exist: {ref.name}")
        return ref.name

    async def _first(self, name: str, values: Mapping[str, Any]) -> Revision:
        if values.get("PackageType", "Zip") != "Zip":
            raise not_implemented("PackageType other than Zip")
        refuse_others(values, (*CREATE, *CONFIGURED), "CreateFunction")
        required(values, "Role")
        if not values.get("Handler") or not values.get("Runtime"):
            raise invalid(
                "Runtime and Handler are mandatory parameters for functions created with deployment packages."
            )
        check_architectures(values)
        settings = settings_of(values, defaults(name), self._check_target)
        layers = resolve_layers(self._state, check_list(values.get("Layers") or [], "layers", 10_000))
        code_values = check_mapping(required(values, "Code"), "code")
        refuse_others(code_values, (*MEMBERS, "ImageUri"), "Code")
        code = await self._source.take(code_values)
        check_together(code, (layer.content for layer in layers))
        return Revision(LATEST, code, layers, settings, new_id(), new_id(), moment(), CREATING)

    def _updatable(self, call: Call) -> Function:
        function = find_function(self._state, call.ref)
        check_settled(function)
        check_revision(call.values.get("RevisionId"), function.latest.revision_id)
        return function

    def _changed(self, function: Function, *, publish: bool = False, status: int = 200) -> Response:
        self._preparation.start(function, function.latest)
        shown = function.latest
        if publish:
            shown = published(function, None)
            self._preparation.start(function, shown)
        self._state.changed("function", function.name)
        qualifier = shown.version if publish and status == 200 else None  # CreateFunction gives the function's own ARN
        return answer(configuration(function, shown, qualifier), status)


def _updated(latest: Revision, **changes: Any) -> Revision:
    """The next revision; one that could never serve is made anew."""
    ready = latest.progress.state == "Active"
    progress = replace(
        latest.progress if ready else CREATING,
        update="InProgress",
        update_reason="The function is being created.",
        update_reason_code="Creating",
    )
    return replace(latest, progress=progress, build_id=new_id(), revision_id=new_id(), modified=moment(), **changes)
