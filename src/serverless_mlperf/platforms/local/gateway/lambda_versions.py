"""Published versions, and aliases for them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from serverless_mlperf.platforms.local.gateway.http import Response
from serverless_mlperf.platforms.local.gateway.lambda_call import Call, answer, page
from serverless_mlperf.platforms.local.gateway.lambda_errors import (
    check_mapping,
    check_revision,
    check_text,
    conflict,
    invalid,
    not_found,
    refuse_others,
    required,
    unmet,
)
from serverless_mlperf.platforms.local.gateway.lambda_lookup import find_alias, find_function
from serverless_mlperf.platforms.local.gateway.lambda_names import ALIAS, LATEST, VERSION, function_arn
from serverless_mlperf.platforms.local.gateway.lambda_preparation import Preparation
from serverless_mlperf.platforms.local.gateway.lambda_shapes import alias_configuration, configuration
from serverless_mlperf.platforms.local.gateway.lambda_state import (
    CREATING,
    Alias,
    Function,
    LambdaState,
    Revision,
    new_id,
)

_ROUTED: Final = r"\$LATEST|[0-9]+"


class VersionOperations:
    """Each method serves one operation."""

    def __init__(self, state: LambdaState, preparation: Preparation) -> None:
        self._state = state
        self._preparation = preparation

    async def publish(self, call: Call) -> Response:
        """PublishVersion; without a change since the last one that one is the answer."""
        function = find_function(self._state, call.ref)
        values = call.values
        refuse_others(values, ("CodeSha256", "Description", "RevisionId"), "PublishVersion")
        check_settled(function)
        latest = function.latest
        check_revision(values.get("RevisionId"), latest.revision_id)
        given, present = values.get("CodeSha256"), latest.code.code_sha256
        if given and given != present:
            raise invalid(
                f"CodeSHA256 ({given}) is different from current CodeSHA256 in $LATEST ({present}). Please try again "
                "with the CodeSHA256 in $LATEST."
            )
        description = values.get("Description")
        before = function.next_version
        made = published(function, description and check_text(description, "description", "", 256))
        if function.next_version != before:
            function.touch(LATEST)
            self._preparation.start(function, made)
            self._state.changed("function", function.name)
        return answer(configuration(function, made, made.version), 201)

    async def list(self, call: Call) -> Response:
        """ListVersionsByFunction, `$LATEST` first."""
        function = find_function(self._state, call.ref)
        revisions = [function.latest, *function.versions.values()]
        rows = [configuration(function, revision, revision.version, brief=True) for revision in revisions]
        return page(call, "Versions", rows)


class AliasOperations:
    """Each method serves one operation."""

    def __init__(self, state: LambdaState) -> None:
        self._state = state

    async def create(self, call: Call) -> Response:
        """CreateAlias."""
        function = find_function(self._state, call.ref)
        refuse_others(call.values, ("Name", "FunctionVersion", "Description", "RoutingConfig"), "CreateAlias")
        name = check_text(required(call.values, "Name"), "name", ALIAS, 128, 1)
        required(call.values, "FunctionVersion")
        if name in function.aliases:
            raise conflict(f"Alias already exists: {function_arn(function.name, name)}")
        return self._put(function, _changed(function, Alias(name, "", "", {}, ""), call.values), 201)

    async def update(self, call: Call) -> Response:
        """UpdateAlias: what is not given stays."""
        function = find_function(self._state, call.ref)
        refuse_others(call.values, ("FunctionVersion", "Description", "RoutingConfig", "RevisionId"), "UpdateAlias")
        alias = find_alias(function, call.item)
        check_revision(call.values.get("RevisionId"), alias.revision_id)
        return self._put(function, _changed(function, alias, call.values))

    async def get(self, call: Call) -> Response:
        """GetAlias."""
        function = find_function(self._state, call.ref)
        return answer(alias_configuration(function, find_alias(function, call.item)))

    async def list(self, call: Call) -> Response:
        """ListAliases, of one version if asked."""
        function = find_function(self._state, call.ref)
        wanted = call.query.get("FunctionVersion")
        found = [alias for _, alias in sorted(function.aliases.items()) if wanted in {None, alias.version}]
        return page(call, "Aliases", [alias_configuration(function, alias) for alias in found])

    async def delete(self, call: Call) -> Response:
        """DeleteAlias, with its policy, URL and event configuration; one that is not there is no error."""
        function = find_function(self._state, call.ref)
        if function.aliases.pop(call.item, None) is not None:
            for kept in (function.policies, function.event_invoke, function.urls):
                kept.pop(call.item, None)
            self._state.changed("function", function.name)
        return Response(204)

    def _put(self, function: Function, alias: Alias, status: int = 200) -> Response:
        function.aliases[alias.name] = alias
        self._state.changed("function", function.name)
        return answer(alias_configuration(function, alias), status)


def check_settled(function: Function) -> None:
    """Refuse what has to wait for the end of a creation or update."""
    progress = function.latest.progress
    trouble = "The operation cannot be performed at this time."
    if progress.update == "InProgress":
        raise conflict(f"{trouble} An update is in progress for resource: {function.arn}")
    if progress.state == "Pending":
        raise conflict(f"{trouble} The function is currently in the following state: Pending")


def published(function: Function, description: str | None) -> Revision:
    """A new version of `$LATEST` as it is, or the last one where nothing has changed."""
    last = function.versions.get(str(function.next_version - 1))
    if last is not None and last.build_id == function.latest.build_id:
        return last
    number = str(function.next_version)
    function.next_version += 1
    settings = dict(function.latest.settings)
    if description is not None:
        settings["Description"] = description
    made = replace(function.latest, version=number, settings=settings, revision_id=new_id(), progress=CREATING)
    function.versions[number] = made
    return made


def _changed(function: Function, alias: Alias, values: Mapping[str, Any]) -> Alias:
    version = check_text(values.get("FunctionVersion") or alias.version, "functionVersion", _ROUTED, 1024)
    if function.revision(version) is None:
        raise not_found(f"Function not found: {function_arn(function.name, version)}")
    description = values.get("Description")
    kept = {"AdditionalVersionWeights": dict(alias.weights)}
    return Alias(
        name=alias.name,
        version=version,
        description=alias.description if description is None else check_text(description, "description", "", 256),
        weights=_weights(function, version, values.get("RoutingConfig", kept)),
        revision_id=new_id(),
    )


def _weights(function: Function, version: str, given: object) -> dict[str, float]:
    """Shares of other versions (lambda/latest/dg/configuring-alias-routing)."""
    where = "routingConfig.additionalVersionWeights"
    rows = check_mapping(check_mapping(given or {}, "routingConfig").get("AdditionalVersionWeights") or {}, where)
    if len(rows) > 1:
        raise invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
    for other, weight in rows.items():
        check_text(other, where, VERSION)
        if not isinstance(weight, int | float) or not 0 <= weight <= 1:
            raise unmet(f"{{{other}={weight}}}", where, "have value between 0.0 and 1.0")
        if version == LATEST:
            raise invalid("$LATEST is not supported for an alias pointing to more than 1 version")
        if other == version:
            included = f"Function version {other} is already included in routing configuration."
            raise invalid(f"Invalid function version {other}. {included}")
        if other not in function.versions:
            raise not_found(f"Function not found: {function_arn(function.name, other)}")
    return {other: float(weight) for other, weight in rows.items()}
