"""Layers: publish, read, delete; what a function's list of them stands for."""

from collections.abc import Sequence
from typing import Any, Final

from serverless_mlperf.platforms.local.gateway.http import Response
from serverless_mlperf.platforms.local.gateway.lambda_call import Call, answer, page
from serverless_mlperf.platforms.local.gateway.lambda_code import MEMBERS, CodeSource
from serverless_mlperf.platforms.local.gateway.lambda_errors import (
    check_choice,
    check_list,
    check_mapping,
    check_text,
    invalid,
    not_found,
    refuse_others,
    required,
    unmet,
)
from serverless_mlperf.platforms.local.gateway.lambda_names import layer_arn, layer_name
from serverless_mlperf.platforms.local.gateway.lambda_state import LambdaState, Layer, LayerRef, LayerVersion, moment

MAX_LAYERS: Final = 5
"""Of one function (lambda/latest/dg/chapter-layers)."""
_RUNTIME: Final = r"[a-z]+[a-z0-9.]*"
_PUBLISH: Final = ("Description", "Content", "CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo")


class LayerOperations:
    """Each method serves one operation."""

    def __init__(self, state: LambdaState, source: CodeSource) -> None:
        self._state = state
        self._source = source

    async def publish(self, call: Call) -> Response:
        """PublishLayerVersion."""
        values = call.values
        refuse_others(values, _PUBLISH, "PublishLayerVersion")
        name, _ = layer_name(call.ref.name)
        runtimes = [
            check_text(r, "compatibleRuntimes", _RUNTIME)
            for r in check_list(values.get("CompatibleRuntimes") or [], "compatibleRuntimes", 15)
        ]
        architectures = [
            check_choice(a, "compatibleArchitectures", ("x86_64", "arm64"))
            for a in check_list(values.get("CompatibleArchitectures") or [], "compatibleArchitectures", 2)
        ]
        texts = [
            check_text(values.get("Description") or "", "description", "", 256),
            check_text(values.get("LicenseInfo") or "", "licenseInfo", "", 512),
        ]
        given = check_mapping(required(values, "Content"), "content")
        refuse_others(given, MEMBERS, "Content")
        content = await self._source.take(given)
        layer = self._state.layers.setdefault(name, Layer(name))
        number, description, license_info = layer.next_version, *texts
        made = LayerVersion(
            name, number, content, description, moment(), license_info, tuple(runtimes), tuple(architectures)
        )
        layer.versions[number] = made
        layer.next_version += 1
        self._state.changed("layer", name)
        return answer(self._shown(made), 201)

    async def list(self, call: Call) -> Response:
        """ListLayers, each with its latest version of the kind that is asked for."""
        if call.query.get("find") == "LayerVersion":
            return await self._by_arn(call)
        rows = []
        for name, layer in sorted(self._state.layers.items()):
            matching = [v for v in layer.versions.values() if _matches(v, call)]
            if matching:
                latest = max(matching, key=lambda version: version.version)
                rows.append({"LayerName": name, "LayerArn": layer_arn(name), "LatestMatchingVersion": _row(latest)})
        return page(call, "Layers", rows)

    async def list_versions(self, call: Call) -> Response:
        """ListLayerVersions, the latest first."""
        layer = self._state.layers.get(layer_name(call.ref.name)[0])
        found = [v for _, v in sorted(layer.versions.items(), reverse=True)] if layer else []
        return page(call, "LayerVersions", [_row(v) for v in found if _matches(v, call)])

    async def get(self, call: Call) -> Response:
        """GetLayerVersion."""
        return answer(self._shown(self._find(layer_name(call.ref.name)[0], call.item)))

    async def delete(self, call: Call) -> Response:
        """DeleteLayerVersion; functions that have it keep it, one that is not there is no error."""
        name, number = layer_name(call.ref.name)[0], _number(call.item)
        layer = self._state.layers.get(name)
        if layer is not None and layer.versions.pop(number, None) is not None:
            self._state.changed("layer", name)
        return Response(204)

    async def _by_arn(self, call: Call) -> Response:
        """GetLayerVersionByArn."""
        arn = call.query.get("Arn", "")
        name, number = layer_name(arn)
        if number is None or not arn.startswith("arn:"):
            raise unmet(arn, "arn", "be the ARN of a layer version")
        return answer(self._shown(self._find(name, str(number))))

    def _find(self, name: str, item: str) -> LayerVersion:
        number = _number(item)
        found = self._state.layers.get(name, Layer(name)).versions.get(number)
        if found is None:
            raise not_found()
        return found

    def _shown(self, version: LayerVersion) -> dict[str, Any]:
        content = {
            "Location": self._source.address(version.content),
            "CodeSha256": version.content.code_sha256,
            "CodeSize": version.content.size,
        }
        return {"LayerArn": layer_arn(version.name), **_row(version), "Content": content}


def resolve_layers(state: LambdaState, arns: Sequence[Any]) -> tuple[LayerRef, ...]:
    """What a function's list of layers stands for, in its order."""
    if len(arns) > MAX_LAYERS:
        raise invalid(f"Cannot reference more than {MAX_LAYERS} layers.")
    found: dict[str, LayerRef] = {}
    for arn in arns:
        name, number = layer_name(check_text(arn, "layers"))
        version = state.layers.get(name, Layer(name)).versions.get(number or 0)
        if version is None or version.arn != arn:
            raise invalid(f"Layer version {arn} does not exist.")
        if name in found:
            raise invalid(
                "Two different versions of the same layer are not allowed to be referenced in the same function. "
                f"{found[name].arn} and {arn} are versions of the same layer."
            )
        found[name] = LayerRef(version.arn, version.content)
    return tuple(found.values())


def _row(version: LayerVersion) -> dict[str, Any]:
    """LayerVersionsListItem."""
    optional = {
        "CompatibleRuntimes": list(version.runtimes),
        "CompatibleArchitectures": list(version.architectures),
        "LicenseInfo": version.license_info,
    }
    return {
        "LayerVersionArn": version.arn,
        "Version": version.version,
        "Description": version.description,
        "CreatedDate": version.created,
        **{name: value for name, value in optional.items() if value},
    }


def _matches(version: LayerVersion, call: Call) -> bool:
    """Whether a version is of the runtime and architecture that a listing asks for."""
    runtime, architecture = call.query.get("CompatibleRuntime"), call.query.get("CompatibleArchitecture")
    return (runtime is None or runtime in version.runtimes) and (
        architecture is None or architecture in version.architectures
    )


def _number(item: str) -> int:
    number = int(item) if item.isascii() and item.isdecimal() and len(item) < 10 else 0
    if number < 1:
        raise invalid("Layer Version Cannot be less than 1")
    return number
