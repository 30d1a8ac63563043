"""The template's form: what each cell gets, what hangs on what, when a version is published anew."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
import json
import re
from typing import Any, get_args

import pytest
from stack_specs import VARIANTS, Template, both_architectures, of_type, reserved, single, whole

from serverless_mlperf.packages.contents import LAYERS
from serverless_mlperf.platforms.aws import spec as names
from serverless_mlperf.platforms.aws.spec import FunctionSpec, StackSpec
from serverless_mlperf.platforms.aws.template import alias_output, body, queue_output, render, url_output
from serverless_mlperf.platforms.aws.template.logical_ids import layer_id
from serverless_mlperf.workloads import Architecture

CELL = "ClassificationIeIr1536"
TEMPLATE_URL_BYTES = 1_048_576
"""What a template read from a bucket may have (AWS: cloudformation-limits)."""


def version_id(spec: StackSpec) -> str:
    """Logical id of the only version of a stack of one cell."""
    (name,) = of_type(render(spec), "AWS::Lambda::Version")
    return name


def with_function(spec: StackSpec, **changes: Any) -> StackSpec:
    """A stack of one cell, its function changed."""
    return replace(spec, functions=(replace(spec.functions[0], **changes),))


def only(template: Template, kind: str) -> Any:
    """Properties of the only resource of a type."""
    (properties,) = of_type(template, kind).values()
    return properties


def bucket(template: Template) -> Any:
    """The data's bucket, whole."""
    return template["Resources"]["DataBucket"]


def references(value: Any) -> set[str]:
    """Logical ids that a value refers to, at any depth."""
    if isinstance(value, dict):
        own = {value["Ref"]} if "Ref" in value else {value["Fn::GetAtt"][0]} if "Fn::GetAtt" in value else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_rendering_twice_gives_the_same_bytes() -> None:
    """Of two values that are equal, also when their functions and tables come in another order."""
    spec = whole()
    shuffled = replace(
        spec,
        functions=tuple(
            replace(f, environment=dict(reversed(list(f.environment.items())))) for f in reversed(spec.functions)
        ),
        layer_keys=dict(reversed(list(spec.layer_keys.items()))),
    )
    assert body(spec) == body(whole()) == body(shuffled)
    assert json.loads(body(spec)) == render(spec)


def test_template_asks_for_nothing() -> None:
    """No parameters, and keys of artefacts as they are: the text says what is deployed."""
    template = render(whole())
    assert set(template) == {"AWSTemplateFormatVersion", "Metadata", "Description", "Resources", "Outputs"}
    codes = [f["Code"] for f in of_type(template, "AWS::Lambda::Function").values()]
    bucket_of_zips = {"Fn::Sub": "serverless-mlperf-artifacts-${AWS::AccountId}-${AWS::Region}"}
    assert codes == 24 * [{"S3Bucket": bucket_of_zips, "S3Key": "function-0123456789abcdef.zip"}]


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_cell_has_its_own(variant: str) -> None:
    """Eight resources per cell, three more with a URL; layers, role, bucket and dead letters are shared."""
    spec = VARIANTS[variant]()
    kinds = Counter(resource["Type"] for resource in render(spec)["Resources"].values())
    cells, urls = len(spec.functions), len(spec.functions) * spec.function_url
    assert kinds == Counter(
        {
            "AWS::Lambda::Function": cells,
            "AWS::Lambda::Version": cells,
            "AWS::Lambda::Alias": cells,
            "AWS::Lambda::EventInvokeConfig": cells,
            "AWS::Lambda::Permission": cells + 2 * urls,
            "AWS::Lambda::Url": urls,
            "AWS::Logs::LogGroup": cells,
            "AWS::SQS::QueuePolicy": cells,
            "AWS::SQS::Queue": cells + 1,
            "AWS::Lambda::LayerVersion": len({(f.layer, f.architecture) for f in spec.functions}),
            "AWS::IAM::Role": 1,
            "AWS::S3::Bucket": 1,
            "AWS::S3::BucketPolicy": 1,
        }
    ) - Counter({"AWS::Lambda::Url": 0})


@pytest.mark.parametrize("variant", VARIANTS)
def test_template_fits_where_it_is_read_from(variant: str) -> None:
    """Too large for a request, it must go by TemplateURL, which takes it."""
    assert len(body(VARIANTS[variant]()).encode()) < TEMPLATE_URL_BYTES


def test_every_reference_is_to_something() -> None:
    """Each logical id that is referred to or waited for is in the template, and so are the outputs'."""
    template = render(replace(both_architectures(), function_url=True))
    resources = template["Resources"]
    waited_for = {name for resource in resources.values() for name in resource.get("DependsOn", ())}
    used = references(resources) | references(template["Outputs"]) | waited_for
    assert {name for name in used if not name.startswith("AWS::")} <= set(resources)


def test_logical_ids_of_layers_are_distinct() -> None:
    """Of every layer and architecture that there is."""
    ids = [layer_id(layer, architecture) for layer in LAYERS for architecture in get_args(Architecture)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[A-Za-z0-9]+", name) for name in ids)


def test_function_is_configured_as_the_cell_says() -> None:
    """Each setting of the value, under its name in CloudFormation."""
    function = only(render(with_function(single(tmp_mib=1024), reserved=3)), "AWS::Lambda::Function")
    bucket_name = {"Fn::Sub": "serverless-mlperf-${AWS::AccountId}-${AWS::Region}"}
    assert function == {
        "FunctionName": "serverless-mlperf-classification-ie-ir-1536",
        "Runtime": "python3.13",
        "Architectures": ["x86_64"],
        "Handler": "serverless_mlperf_sut.handler.lambda_handler",
        "Role": {"Fn::GetAtt": ["FunctionRole", "Arn"]},
        "Code": function["Code"],
        "MemorySize": 1536,
        "Timeout": 60,
        "EphemeralStorage": {"Size": 1024},
        "Layers": [{"Ref": "LayerOpenvinoX8664"}],
        "DeadLetterConfig": {"TargetArn": {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}},
        "LoggingConfig": {
            "LogFormat": "Text",
            "LogGroup": "/aws/lambda/serverless-mlperf-classification-ie-ir-1536",
        },
        "Environment": {"Variables": {**single().functions[0].environment, "BUCKET_NAME": bucket_name}},
        "Tags": [{"Key": "app", "Value": "serverless-mlperf"}],
        "ReservedConcurrentExecutions": 3,
    }


def test_options_are_absent_where_not_asked_for() -> None:
    """No reservation, snapshot, provisioned environment or URL by default."""
    template = render(whole())
    assert not [f for f in of_type(template, "AWS::Lambda::Function").values() if "SnapStart" in f]
    assert not [f for f in of_type(template, "AWS::Lambda::Function").values() if "ReservedConcurrentExecutions" in f]
    assert not [a for a in of_type(template, "AWS::Lambda::Alias").values() if "ProvisionedConcurrencyConfig" in a]
    assert of_type(template, "AWS::Lambda::Url") == {}


def test_layers_are_of_engine_and_architecture() -> None:
    """Cells of one engine share a layer; each architecture has its own, which its functions use."""
    template = render(both_architectures())
    layers = of_type(template, "AWS::Lambda::LayerVersion")
    assert {layer["LayerName"]: layer["Content"]["S3Key"] for layer in layers.values()} == {
        f"serverless-mlperf-{name}-{arch.replace('_', '-')}": f"layer-{name}-{arch}-0123456789abcdef.zip"
        for name in ("openvino", "opencv")
        for arch in ("x86_64", "arm64")
    }
    for function in of_type(template, "AWS::Lambda::Function").values():
        (layer,) = function["Layers"]
        assert layers[layer["Ref"]]["CompatibleArchitectures"] == function["Architectures"]
        assert layers[layer["Ref"]]["CompatibleRuntimes"] == [function["Runtime"]]


CHANGES: dict[str, Callable[[StackSpec], StackSpec]] = {
    "memory": lambda s: with_function(s, memory_mib=1024),
    "timeout": lambda s: with_function(s, timeout_s=61),
    "environment": lambda s: with_function(s, environment={**s.functions[0].environment, "SUT_THREADS": "3"}),
    "layer": lambda s: with_function(s, layer="opencv"),
    "architecture": lambda s: with_function(s, architecture="arm64"),
    "code": lambda s: replace(s, code_key="function-f.zip"),
    "build of the layer": lambda s: replace(s, layer_keys={("openvino", "x86_64"): "layer-f.zip"}),
    "runtime": lambda s: replace(s, runtime="python3.12"),
    "scratch space": lambda s: replace(s, tmp_mib=1024),
    "snapshot": lambda s: replace(s, snap_start=True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_version_is_published_anew(change: str) -> None:
    """Whatever a published version freezes is in its logical id."""
    assert version_id(CHANGES[change](single())) != version_id(single())


@pytest.mark.parametrize(
    "changed",
    [
        with_function(single(), reserved=7),
        single(provisioned=2),
        single(function_url=True),
        single(log_retention_days=14),
        single(permissions_boundary="arn:aws:iam::123456789012:policy/edge"),
        replace(single(), layer_keys={**single().layer_keys, ("opencv", "x86_64"): "layer-f.zip"}),
    ],
    ids=["reserved", "provisioned", "url", "logs", "boundary", "a layer of another engine"],
)
def test_version_stays(changed: StackSpec) -> None:
    """What a version does not freeze: Lambda would publish none, and the deployment would fail."""
    assert changed != single()
    assert version_id(changed) == version_id(single())


def test_change_of_one_cell_touches_one_version() -> None:
    """The other cells' versions, and with them their warm environments, stay."""
    spec = whole()
    first = replace(spec.functions[0], timeout_s=61)
    changed = replace(spec, functions=(first, *spec.functions[1:]))
    before, after = (set(of_type(render(each), "AWS::Lambda::Version")) for each in (spec, changed))
    assert len(before & after) == 23


def test_all_that_invokes_goes_through_the_alias() -> None:
    """Trigger, permission, event settings and URL name the alias of the published version, never `$LATEST`."""
    template = render(single(function_url=True))
    alias = {"Ref": f"Alias{CELL}"}
    assert only(template, "AWS::Lambda::Alias") == {
        "Name": "live",
        "FunctionName": {"Ref": f"Function{CELL}"},
        "FunctionVersion": {"Fn::GetAtt": [version_id(single()), "Version"]},
    }
    (trigger,) = bucket(template)["Properties"]["NotificationConfiguration"]["LambdaConfigurations"]
    assert trigger["Function"] == alias
    assert [p["FunctionName"] for p in of_type(template, "AWS::Lambda::Permission").values()] == 3 * [alias]
    for kind in ("AWS::Lambda::EventInvokeConfig", "AWS::Lambda::Url"):
        assert only(template, kind)["Qualifier"] == "live"
    for name in (f"Async{CELL}", f"Url{CELL}"):
        assert template["Resources"][name]["DependsOn"] == [f"Alias{CELL}"]
    assert "$LATEST" not in json.dumps(template)


def test_events_are_not_retried() -> None:
    """A failed query is told, not served a second time; one that waited for five minutes is given up."""
    settings = only(render(single()), "AWS::Lambda::EventInvokeConfig")
    assert (settings["MaximumRetryAttempts"], settings["MaximumEventAgeInSeconds"]) == (0, 300)


def test_snapshots_are_of_published_versions() -> None:
    """SnapStart knows no other."""
    function = only(render(single(snap_start=True)), "AWS::Lambda::Function")
    assert function["SnapStart"] == {"ApplyOn": "PublishedVersions"}


def test_provisioned_concurrency_is_the_aliass() -> None:
    """So that it goes with the version that is measured."""
    alias = only(render(single(provisioned=2)), "AWS::Lambda::Alias")
    assert alias["ProvisionedConcurrencyConfig"] == {"ProvisionedConcurrentExecutions": 2}


def test_reserved_concurrency_is_each_functions() -> None:
    """As many environments as the cell may have."""
    functions = of_type(render(reserved(5)), "AWS::Lambda::Function").values()
    assert [function["ReservedConcurrentExecutions"] for function in functions] == 24 * [5]


def test_bucket_is_closed_encrypted_and_cleans_itself() -> None:
    """Nothing public, no ACLs, SSE-S3, what runs write expires after a week; no old versions are kept."""
    found = bucket(render(single()))
    properties = found["Properties"]
    assert properties["BucketName"] == {"Fn::Sub": "serverless-mlperf-${AWS::AccountId}-${AWS::Region}"}
    assert properties["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }
    assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    (encryption,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    rules = properties["LifecycleConfiguration"]["Rules"]
    assert {r["Prefix"]: r["ExpirationInDays"] for r in rules if "Prefix" in r} == {
        "input/": 7,
        "output/": 7,
        "completed/": 7,
        "failed/": 7,
    }
    assert [r["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] for r in rules if "Prefix" not in r] == [1]
    assert {r["Status"] for r in rules} == {"Enabled"}
    assert "VersioningConfiguration" not in properties
    assert found["DeletionPolicy"] == "Delete"


def test_each_prefix_triggers_its_cell_and_tells_its_queue() -> None:
    """`*.json` below `input/<cell>/` invokes the cell's alias; all below `output/<cell>/` is told to its queue."""
    notifications = bucket(render(whole()))["Properties"]["NotificationConfiguration"]
    assert len(notifications["LambdaConfigurations"]) == len(notifications["QueueConfigurations"]) == 24
    created = "s3:ObjectCreated:*"
    prefix = {"Name": "prefix", "Value": "input/classification-ie-ir-1536/"}
    assert {
        "Event": created,
        "Filter": {"S3Key": {"Rules": [prefix, {"Name": "suffix", "Value": ".json"}]}},
        "Function": {"Ref": f"Alias{CELL}"},
    } in notifications["LambdaConfigurations"]
    prefix = {"Name": "prefix", "Value": "output/classification-ie-ir-1536/"}
    assert {
        "Event": created,
        "Filter": {"S3Key": {"Rules": [prefix]}},
        "Queue": {"Fn::GetAtt": [f"Queue{CELL}", "Arn"]},
    } in notifications["QueueConfigurations"]


def test_bucket_waits_for_all_that_permits_its_events() -> None:
    """S3 asks each target when it is named; and none of what permits refers to the bucket, which would be a circle."""
    template = render(whole())
    triggers = [n for n in of_type(template, "AWS::Lambda::Permission") if n.startswith("Trigger")]
    policies = list(of_type(template, "AWS::SQS::QueuePolicy"))
    assert sorted(bucket(template)["DependsOn"]) == sorted([*triggers, *policies])
    users = {n for n, r in template["Resources"].items() if "DataBucket" in references(r)}
    assert users == {"DataBucketPolicy"}


def test_queues_are_encrypted_and_forget() -> None:
    """Completions after a day, dead letters after SQS's longest, two weeks."""
    queues = of_type(render(single()), "AWS::SQS::Queue")
    tags = [{"Key": "app", "Value": "serverless-mlperf"}]
    assert queues == {
        "DeadLetterQueue": {
            "QueueName": "serverless-mlperf-dead-letters",
            "SqsManagedSseEnabled": True,
            "MessageRetentionPeriod": 1_209_600,
            "Tags": tags,
        },
        f"Queue{CELL}": {
            "QueueName": "serverless-mlperf-classification-ie-ir-1536",
            "SqsManagedSseEnabled": True,
            "MessageRetentionPeriod": 86_400,
            "Tags": tags,
        },
    }


def test_logs_end_with_the_stack_and_before() -> None:
    """A group is there before its function, keeps a week, and goes when the stack goes."""
    template = render(single())
    group = template["Resources"][f"Log{CELL}"]
    assert group["Properties"]["LogGroupName"] == "/aws/lambda/serverless-mlperf-classification-ie-ir-1536"
    assert group["Properties"]["RetentionInDays"] == 7
    assert group["DeletionPolicy"] == "Delete"
    assert template["Resources"][f"Function{CELL}"]["DependsOn"] == [f"Log{CELL}"]


def test_nothing_outlives_the_stack() -> None:
    """No resource is kept when it is replaced or the stack deleted."""
    template = render(replace(whole(), function_url=True))
    kept = [r for r in template["Resources"].values() if {r.get("DeletionPolicy"), r.get("UpdateReplacePolicy")} & KEPT]
    assert kept == []


KEPT = {"Retain", "RetainExceptOnCreate", "Snapshot"}


def test_outputs_are_what_a_run_needs() -> None:
    """Bucket, dead letters, role; per cell the alias's ARN, the queue's URL, and the function's URL if it has one."""
    spec = single(function_url=True)
    (function,) = spec.functions
    values = {name: output["Value"] for name, output in render(spec)["Outputs"].items()}
    assert values == {
        "BucketName": {"Ref": "DataBucket"},
        "DeadLetterQueueUrl": {"Ref": "DeadLetterQueue"},
        "FunctionRoleArn": {"Fn::GetAtt": ["FunctionRole", "Arn"]},
        alias_output(function): {"Ref": f"Alias{CELL}"},
        queue_output(function): {"Ref": f"Queue{CELL}"},
        url_output(function): {"Fn::GetAtt": [f"Url{CELL}", "FunctionUrl"]},
    }
    assert len(render(whole())["Outputs"]) == 3 + 2 * 24


def test_every_name_begins_with_the_project() -> None:
    """Also of a project of another name, whose stack may stand beside ours."""
    template = render(replace(whole(), project="other", function_url=True))
    named = {
        "AWS::Lambda::Function": "FunctionName",
        "AWS::Lambda::LayerVersion": "LayerName",
        "AWS::SQS::Queue": "QueueName",
    }
    found = [p[named[kind]] for kind in named for p in of_type(template, kind).values()]
    assert len(found) == 24 + 2 + 25
    assert [name for name in found if not name.startswith("other-")] == []
    assert "serverless-mlperf" not in json.dumps(template)
    # Made up by CloudFormation of the stack's name, which is the project's.
    assert "RoleName" not in only(template, "AWS::IAM::Role")


def test_names_are_told_without_a_template() -> None:
    """What the value's functions say is what the template has."""
    function = FunctionSpec("object_detection-ocv-tf-1024", "opencv", "arm64", 1024, 60, {})
    assert names.function_name("p-1", function) == "p-1-object-detection-ocv-tf-1024"
    assert names.queue_name("p-1", function) == "p-1-object-detection-ocv-tf-1024"
    assert names.log_group_name("p-1", function) == "/aws/lambda/p-1-object-detection-ocv-tf-1024"
    assert names.dead_letter_name("p-1") == "p-1-dead-letters"
    assert names.layer_name("p-1", "opencv", "x86_64") == "p-1-opencv-x86-64"
    assert names.input_prefix(function) == "input/object_detection-ocv-tf-1024/"
    assert names.output_prefix(function) == "output/object_detection-ocv-tf-1024/"
    assert names.artefacts_bucket("p-1", "0" * 12, "eu-west-1") == "p-1-artifacts-000000000000-eu-west-1"
