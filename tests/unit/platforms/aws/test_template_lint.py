"""The template against AWS's own descriptions of its resources, region by region."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
import json
from typing import Any

from cfnlint.api import lint
from cfnlint.config import ManualArgs
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
import pytest
from stack_specs import VARIANTS, single

from serverless_mlperf.platforms.aws.spec import PROJECT
from serverless_mlperf.platforms.aws.template import body, render

REGIONS = ("us-east-1", "eu-west-1", "ap-northeast-1")


def findings(text: str, *regions: str) -> list[str]:
    """What cfn-lint says of a template in each region, hints included."""
    return [str(match) for match in lint(text, config=ManualArgs(regions=list(regions), include_checks=["I"]))]


def schema(kind: str) -> dict[str, Any]:
    """A resource type's description, as CloudFormation publishes it."""
    found: dict[str, Any] = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    return found


def unknown_properties(template: Mapping[str, Any]) -> list[str]:
    """Paths of the properties that their resource type does not have."""
    return [
        f"{name}.{path}"
        for name, resource in template["Resources"].items()
        for path in _unknown(resource["Properties"], schema(resource["Type"]), schema(resource["Type"]))
    ]


def _unknown(value: Any, described: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[str]:
    described = _resolved(described, whole)
    if isinstance(value, list):
        for item in value:
            yield from _unknown(item, described.get("items", {}), whole)
    # An intrinsic function stands for a value; policies and variables are free in form.
    elif isinstance(value, dict) and "properties" in described and not _is_intrinsic(value):
        for key, inner in value.items():
            if key not in described["properties"]:
                yield key
            else:
                yield from (f"{key}.{path}" for path in _unknown(inner, described["properties"][key], whole))
                if _resolved(described["properties"][key], whole).get("type") == "array":
                    assert isinstance(inner, list), f"{key} is a list"


def _resolved(described: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = described.get("$ref", "")
    return whole["definitions"][reference.rpartition("/")[2]] if reference else described


def _is_intrinsic(value: Mapping[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith(("Ref", "Fn::"))


@pytest.mark.parametrize("variant", ["default", "all that goes together"])
def test_cfn_lint_finds_nothing_in_three_regions(variant: str) -> None:
    """No error, warning or hint, with nothing and with everything switched on."""
    assert findings(body(VARIANTS[variant]()), *REGIONS) == []


@pytest.mark.parametrize("variant", sorted(set(VARIANTS) - {"default", "all that goes together"}))
def test_cfn_lint_finds_nothing_in_a_variant(variant: str) -> None:
    """The same of each option alone, for a few of the cells, of every engine and architecture."""
    spec = VARIANTS[variant]()
    few = replace(spec, functions=spec.functions[::11])
    assert {f.layer for f in few.functions} == {"openvino", "opencv"}
    assert findings(body(few), REGIONS[0]) == []


def test_cfn_lint_is_listened_to() -> None:
    """A property that does not exist, and a reference to nothing, are reported."""
    template = render(single())
    template["Resources"]["DataBucketPolicy"]["Properties"]["Bucket"] = {"Ref": "Nobody"}
    template["Resources"]["FunctionRole"]["Properties"]["Rights"] = "all"
    found = " ".join(findings(json.dumps(template), *REGIONS))
    assert "Rights" in found
    assert "Nobody" in found


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_property_exists(variant: str) -> None:
    """Each property, at any depth, is one that CloudFormation's description of the type has."""
    assert unknown_properties(render(VARIANTS[variant]())) == []


def test_invented_property_is_seen() -> None:
    """Also one deep inside of a list."""
    template = render(single())
    configurations = template["Resources"]["DataBucket"]["Properties"]["NotificationConfiguration"]
    configurations["LambdaConfigurations"][0]["Filter"]["Prefix"] = "input/"
    assert unknown_properties(template) == ["DataBucket.NotificationConfiguration.LambdaConfigurations.Filter.Prefix"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_everything_that_takes_tags_has_ours(variant: str) -> None:
    """By its tag each thing is found again when a stack cannot be deleted."""
    template = render(VARIANTS[variant]())
    wanted = [{"Key": "app", "Value": PROJECT}]
    taggable = {
        name: resource["Properties"].get("Tags")
        for name, resource in template["Resources"].items()
        if schema(resource["Type"])["tagging"].get("taggable") and "Tags" in schema(resource["Type"])["properties"]
    }
    assert {"DataBucket", "FunctionRole", "DeadLetterQueue"} < set(taggable)
    assert {name: tags for name, tags in taggable.items() if tags != wanted} == {}
