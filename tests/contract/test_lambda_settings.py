"""Settings of functions, limits of the account, layers: what is taken is shown, what cannot be is refused."""

import base64
from collections.abc import Iterator
import hashlib
import json
from typing import Any

from botocore.exceptions import WaiterError
from lambda_deployment import COMMON, FAST, deploy, invoke, settle, zipped
import pytest

from local_server import client, raw, refusal

PACKAGE = zipped("import os\ndef handler(event, context):\n    return dict(os.environ)\n")
ARN = "arn:aws:lambda:us-east-1:000000000000:function"


@pytest.fixture(scope="module")
def functions(s3_url: str) -> Iterator[Any]:
    """A Lambda client and the function `plain`."""
    made = client("lambda", s3_url)
    deploy(made, "plain", PACKAGE)
    yield made
    made.delete_function(FunctionName="plain")
    made.close()


def test_new_function_is_pending(functions: Any) -> None:
    """Created, it is Pending with a reason; then Active; an update is InProgress, then Successful."""
    made = functions.create_function(FunctionName="new", Code={"ZipFile": zipped("x = 1\n")}, **COMMON)
    assert (made["State"], made["StateReasonCode"]) == ("Pending", "Creating")
    assert "LastUpdateStatus" not in made
    functions.get_waiter("function_active_v2").wait(FunctionName="new", WaiterConfig={"Delay": 0.05})
    shown = functions.get_function_configuration(FunctionName="new")
    assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Successful")
    changed = functions.update_function_configuration(FunctionName="new", Timeout=9)
    assert (changed["State"], changed["LastUpdateStatus"], changed["Timeout"]) == ("Active", "InProgress", 9)
    settle(functions, "new")
    functions.delete_function(FunctionName="new")


def test_code_that_cannot_be_unpacked_fails(functions: Any) -> None:
    """A new function is Failed with the reason; an update is, and the former code serves on."""
    evil = zipped("x = 1\n", "../escaped.py")
    functions.create_function(FunctionName="evil", Code={"ZipFile": evil}, **COMMON)
    reason = failed(functions, "evil", "function_active_v2")
    assert reason["StateReasonCode"] == "InvalidZipFileException"
    assert "escaped.py" in reason["StateReason"]
    assert refusal(functions.invoke, FunctionName="evil") == (409, "ResourceConflictException")
    functions.delete_function(FunctionName="evil")
    functions.update_function_code(FunctionName="plain", ZipFile=evil)
    assert failed(functions, "plain", "function_updated_v2")["State"] == "Active"
    assert invoke(functions, "plain")[1] == "$LATEST"
    functions.update_function_code(FunctionName="plain", ZipFile=PACKAGE)
    settle(functions, "plain")


def failed(functions: Any, name: str, waiter: str) -> Any:
    """The configuration, once a waiter has seen that it failed."""
    with pytest.raises(WaiterError, match="Failed"):
        functions.get_waiter(waiter).wait(FunctionName=name, WaiterConfig=FAST)
    return functions.get_function_configuration(FunctionName=name)


def test_all_settings_are_shown_and_used(functions: Any) -> None:
    """Settings, tags and a JSON log format come back as they were given, and reach the function."""
    made = deploy(
        functions, "full", PACKAGE, Description="d", MemorySize=256, Timeout=7, EphemeralStorage={"Size": 1024},
        Architectures=["x86_64"], Environment={"Variables": {"MINE": "1"}}, Tags={"team": "a"}, Publish=True,
        TracingConfig={"Mode": "PassThrough"}, LoggingConfig={"LogFormat": "JSON", "LogGroup": "/my/group"},
    )  # fmt: skip
    assert made["Version"] == "1"
    shown = functions.get_function(FunctionName="full")
    expected = {
        "Description": "d", "MemorySize": 256, "Timeout": 7, "EphemeralStorage": {"Size": 1024},
        "Environment": {"Variables": {"MINE": "1"}}, "TracingConfig": {"Mode": "PassThrough"},
        "LoggingConfig": {
            "LogFormat": "JSON", "LogGroup": "/my/group", "ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO"
        },
    }  # fmt: skip
    assert {name: shown["Configuration"][name] for name in expected} == expected
    assert shown["Tags"] == {"team": "a"}
    seen, _ = invoke(functions, "full")
    wanted = {"MINE": "1", "AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_GROUP_NAME": "/my/group"}
    assert {name: seen[name] for name in wanted} == wanted
    functions.tag_resource(Resource=f"{ARN}:full", Tags={"b": "2", "c": "3"})
    functions.untag_resource(Resource=f"{ARN}:full", TagKeys=["team", "c"])
    assert functions.list_tags(Resource=f"{ARN}:full")["Tags"] == {"b": "2"}
    functions.delete_function(FunctionName="full")


INVALID, VALIDATION = (400, "InvalidParameterValueException"), (400, "ValidationException")
NOT_HERE = (501, "NotImplemented")


@pytest.mark.parametrize(
    ("settings", "answer"),
    [
        ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, INVALID),
        ({"Environment": {"Variables": {"BIG": "x" * 4096}}}, INVALID),
        ({"Environment": {"Variables": {"1A": "x"}}}, VALIDATION),
        ({"Handler": "a b"}, VALIDATION),
        ({"Role": "r"}, VALIDATION),
        ({"MemorySize": 10_241}, VALIDATION),
        ({"Timeout": 901}, VALIDATION),
        ({"EphemeralStorage": {"Size": 10_241}}, VALIDATION),
        ({"Runtime": "nodejs22.x"}, INVALID),
        ({"Layers": [f"{ARN[:-9]}:layer:none:1"]}, INVALID),
        ({"DeadLetterConfig": {"TargetArn": "arn:aws:sqs:us-east-1:000000000000:none"}}, INVALID),
        ({"DeadLetterConfig": {"TargetArn": "arn:aws:sns:us-east-1:000000000000:t"}}, NOT_HERE),
        ({"LoggingConfig": {"LogFormat": "JSON", "SystemLogLevel": "DEBUG"}}, NOT_HERE),
        ({"LoggingConfig": {"LogFormat": "Text", "ApplicationLogLevel": "DEBUG"}}, INVALID),
        ({"TracingConfig": {"Mode": "Active"}}, NOT_HERE),
        ({"SnapStart": {"ApplyOn": "PublishedVersions"}}, NOT_HERE),
        ({"VpcConfig": {"SubnetIds": ["subnet-1"]}}, NOT_HERE),
        ({"KMSKeyArn": "arn:aws:kms:us-east-1:000000000000:key/k"}, NOT_HERE),
        ({"RevisionId": "0"}, (412, "PreconditionFailedException")),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(functions: Any, settings: dict[str, Any], answer: tuple[int, str]) -> None:
    """And the function is as it was."""
    before = functions.get_function_configuration(FunctionName="plain")
    assert refusal(functions.update_function_configuration, FunctionName="plain", **settings) == answer
    after = functions.get_function_configuration(FunctionName="plain")
    assert after["RevisionId"] == before["RevisionId"]


def test_code_of_another_kind_is_refused(functions: Any) -> None:
    """Another processor, an image, no code at all; a dry run changes nothing."""
    update = functions.update_function_code
    assert refusal(update, FunctionName="plain", ZipFile=PACKAGE, Architectures=["arm64"]) == INVALID
    assert refusal(update, FunctionName="plain", ImageUri="image") == NOT_HERE
    assert refusal(update, FunctionName="plain") == INVALID
    assert refusal(update, FunctionName="plain", ZipFile=b"no zip") == INVALID
    before = functions.get_function_configuration(FunctionName="plain")
    tried = update(FunctionName="plain", ZipFile=zipped("x = 2\n"), DryRun=True)
    assert tried["CodeSha256"] != before["CodeSha256"]
    assert functions.get_function_configuration(FunctionName="plain")["CodeSha256"] == before["CodeSha256"]


def test_concurrency_leaves_the_account_a_hundred(functions: Any) -> None:
    """900 can be reserved in all; account settings show what is left, and what there is."""
    functions.put_function_concurrency(FunctionName="plain", ReservedConcurrentExecutions=899)
    settings = functions.get_account_settings()
    assert settings["AccountLimit"]["UnreservedConcurrentExecutions"] == 101
    assert settings["AccountUsage"]["FunctionCount"] >= 1
    assert settings["AccountUsage"]["TotalCodeSize"] >= len(PACKAGE)
    put = functions.put_function_concurrency
    put(FunctionName="plain", ReservedConcurrentExecutions=900)
    assert refusal(put, FunctionName="plain", ReservedConcurrentExecutions=901) == INVALID
    assert functions.get_function_concurrency(FunctionName="plain")["ReservedConcurrentExecutions"] == 900
    functions.delete_function_concurrency(FunctionName="plain")
    assert "ReservedConcurrentExecutions" not in functions.get_function_concurrency(FunctionName="plain")
    provisioned = {"FunctionName": "plain", "Qualifier": "1", "ProvisionedConcurrentExecutions": 1}
    assert refusal(functions.put_provisioned_concurrency_config, **provisioned) == NOT_HERE


def test_event_invoke_configuration(functions: Any, s3_url: str) -> None:
    """Put replaces, update keeps what is not given; destinations must be there."""
    sqs = client("sqs", s3_url)
    sqs.create_queue(QueueName="failures")
    queue = "arn:aws:sqs:us-east-1:000000000000:failures"
    put, update = functions.put_function_event_invoke_config, functions.update_function_event_invoke_config
    assert refusal(update, FunctionName="plain", MaximumRetryAttempts=1) == (404, "ResourceNotFoundException")
    made = put(FunctionName="plain", MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": queue}})
    assert (made["MaximumRetryAttempts"], made["FunctionArn"]) == (0, f"{ARN}:plain:$LATEST")
    assert made["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {"Destination": queue}}
    changed = update(FunctionName="plain", MaximumEventAgeInSeconds=60)
    assert (changed["MaximumRetryAttempts"], changed["MaximumEventAgeInSeconds"]) == (0, 60)
    for destination, answer in ((f"{ARN}:plain", INVALID), (f"{ARN}:none", INVALID), (f"{queue}x", INVALID),
                                ("arn:aws:sns:us-east-1:000000000000:t", NOT_HERE)):  # fmt: skip
        config = {"OnSuccess": {"Destination": destination}}
        assert refusal(put, FunctionName="plain", DestinationConfig=config) == answer
    listed = functions.list_function_event_invoke_configs(FunctionName="plain")["FunctionEventInvokeConfigs"]
    assert [row["MaximumEventAgeInSeconds"] for row in listed] == [60]
    assert "MaximumEventAgeInSeconds" not in put(FunctionName="plain", MaximumRetryAttempts=2)
    functions.delete_function_event_invoke_config(FunctionName="plain")
    gone = refusal(functions.get_function_event_invoke_config, FunctionName="plain")
    assert gone == (404, "ResourceNotFoundException")
    sqs.close()


def test_layers_by_arn_and_runtime(functions: Any, s3_url: str) -> None:
    """A layer is found by its ARN and by what it is for; packages come back from where they are said to be."""
    given = {"Content": {"ZipFile": PACKAGE}, "CompatibleRuntimes": ["python3.11", "python3.12"], "LicenseInfo": "MIT"}
    made = functions.publish_layer_version(LayerName="tool", CompatibleArchitectures=["x86_64"], **given)
    found = functions.get_layer_version_by_arn(Arn=made["LayerVersionArn"])
    assert (found["LicenseInfo"], found["CompatibleRuntimes"]) == ("MIT", ["python3.11", "python3.12"])
    assert functions.list_layers(CompatibleRuntime="python3.12")["Layers"][0]["LayerName"] == "tool"
    assert functions.list_layers(CompatibleRuntime="nodejs22.x")["Layers"] == []
    assert functions.list_layer_versions(LayerName="tool", CompatibleArchitecture="arm64")["LayerVersions"] == []
    code = functions.get_function(FunctionName="plain")
    for place, digest in ((found["Content"]["Location"], found["Content"]["CodeSha256"]),
                          (code["Code"]["Location"], code["Configuration"]["CodeSha256"])):  # fmt: skip
        content = raw(s3_url, "GET", place.removeprefix(s3_url)).body
        assert base64.b64encode(hashlib.sha256(content).digest()).decode() == digest
    policy = refusal(functions.get_layer_version_policy, LayerName="tool", VersionNumber=1)
    assert policy == NOT_HERE
    functions.delete_layer_version(LayerName="tool", VersionNumber=1)
    assert refusal(functions.get_layer_version, LayerName="tool", VersionNumber=1) == (404, "ResourceNotFoundException")
    assert functions.publish_layer_version(LayerName="tool", **given)["Version"] == 2


@pytest.mark.parametrize(
    "path", ["/2015-03-31/event-source-mappings", "/2025-12-01/durable-executions/x", "/2099-01-01/y"]
)
def test_unknown_operations_are_not_implemented(s3_url: str, path: str) -> None:
    """Of any date and name."""
    answer = raw(s3_url, "POST", path, b"{}")
    assert (answer.status, answer.headers["x-amzn-errortype"]) == NOT_HERE
    assert "does not implement" in json.loads(answer.body)["message"]
