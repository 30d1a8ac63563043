"""Versions and aliases of functions as boto3 and `aws` see them; each version runs its own code."""

from base64 import b64encode
from collections.abc import Iterator
import json
from pathlib import Path
from typing import Any

from lambda_deployment import FAST, answering, deploy, invoke, settle, zipped
import pytest

from local_server import aws, client, refusal

ARN = "arn:aws:lambda:us-east-1:000000000000:function"


@pytest.fixture(scope="module")
def functions(s3_url: str) -> Iterator[Any]:
    """A Lambda client, and the function `words`: version 1 says one, version 2 and $LATEST say two."""
    made = client("lambda", s3_url)
    deploy(made, "words", answering("one"))
    made.publish_version(FunctionName="words", Description="the first")
    made.update_function_code(FunctionName="words", ZipFile=answering("two"), Publish=True)
    settle(made, "words")
    for number in "12":
        made.get_waiter("function_active_v2").wait(FunctionName="words", Qualifier=number, WaiterConfig=FAST)
    yield made
    made.delete_function(FunctionName="words")
    made.close()


def test_versions_keep_their_code(functions: Any) -> None:
    """Each answers with its own code, by name:version, by ARN and by Qualifier, under the ARN that was invoked."""
    assert invoke(functions, "words") == (["two", "$LATEST", f"{ARN}:words"], "$LATEST")
    assert invoke(functions, "words:1") == (["one", "1", f"{ARN}:words:1"], "1")
    assert invoke(functions, f"{ARN}:words:2") == (["two", "2", f"{ARN}:words:2"], "2")
    assert invoke(functions, "words", Qualifier="1")[1] == "1"
    code = refusal(functions.invoke, FunctionName="words:1", Qualifier="2")
    assert code == (400, "InvalidParameterValueException")
    assert refusal(functions.invoke, FunctionName="words", Qualifier="3") == (404, "ResourceNotFoundException")


def test_nothing_new_is_no_new_version(functions: Any) -> None:
    """Published again without a change, the last version is the answer; preconditions are looked at first."""
    latest = functions.get_function_configuration(FunctionName="words")
    again = functions.publish_version(
        FunctionName="words", CodeSha256=latest["CodeSha256"], RevisionId=latest["RevisionId"]
    )
    assert (again["Version"], again["FunctionArn"]) == ("2", f"{ARN}:words:2")
    assert refusal(functions.publish_version, FunctionName="words", RevisionId="0") == (
        412,
        "PreconditionFailedException",
    )
    other = refusal(functions.publish_version, FunctionName="words", CodeSha256="x")
    assert other == (400, "InvalidParameterValueException")
    shown = functions.get_function_configuration(FunctionName="words", Qualifier="1")
    assert (shown["Description"], shown["State"], shown["Version"]) == ("the first", "Active", "1")


def test_versions_are_listed_by_pages(functions: Any) -> None:
    """$LATEST comes first; a page ends where it was told to, and the next begins there."""
    pages = functions.get_paginator("list_versions_by_function").paginate(
        FunctionName="words", PaginationConfig={"PageSize": 2}
    )
    found = [[row["Version"] for row in page["Versions"]] for page in pages]
    assert found == [["$LATEST", "1"], ["2"]]
    everything = functions.list_functions(FunctionVersion="ALL")["Functions"]
    assert f"{ARN}:words:1" in [row["FunctionArn"] for row in everything]
    assert "State" not in everything[0]
    assert refusal(functions.list_functions, Marker="?") == (400, "InvalidParameterValueException")


def test_alias_shares_its_invocations(functions: Any) -> None:
    """With half of the weight on another version both serve; the ARN is the alias's."""
    made = functions.create_alias(
        FunctionName="words", Name="live", FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}},
    )  # fmt: skip
    assert (made["AliasArn"], made["FunctionVersion"]) == (f"{ARN}:words:live", "1")
    answers = [invoke(functions, "words:live") for _ in range(40)]
    assert {version for _, version in answers} == {"1", "2"}
    assert {answer[2] for answer, _ in answers} == {f"{ARN}:words:live"}
    moved = functions.update_alias(
        FunctionName="words", Name="live", FunctionVersion="2", RoutingConfig={}, RevisionId=made["RevisionId"]
    )
    assert "RoutingConfig" not in moved
    assert {invoke(functions, "words:live")[1] for _ in range(5)} == {"2"}
    stale = refusal(functions.update_alias, FunctionName="words", Name="live", RevisionId=made["RevisionId"])
    assert stale == (412, "PreconditionFailedException")


@pytest.mark.parametrize(
    ("parameters", "answer"),
    [
        ({"Name": "live"}, (409, "ResourceConflictException")),
        ({"FunctionVersion": "9"}, (404, "ResourceNotFoundException")),
        ({"Name": "12"}, (400, "ValidationException")),
        ({"RoutingConfig": {"AdditionalVersionWeights": {"1": 0.1}}}, (400, "InvalidParameterValueException")),
        ({"RoutingConfig": {"AdditionalVersionWeights": {"2": 1.5}}}, (400, "ValidationException")),
        ({"RoutingConfig": {"AdditionalVersionWeights": {"9": 0.5}}}, (404, "ResourceNotFoundException")),
        ({"FunctionVersion": "$LATEST", "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.5}}},
         (400, "InvalidParameterValueException")),
    ],
)  # fmt: skip
def test_impossible_aliases_are_refused(functions: Any, parameters: dict[str, Any], answer: tuple[int, str]) -> None:
    """A name that is taken or a number, a version that is not there, weights that cannot be."""
    if parameters.get("Name") == "live" and not functions.list_aliases(FunctionName="words")["Aliases"]:
        functions.create_alias(FunctionName="words", Name="live", FunctionVersion="2")
    given = {"FunctionName": "words", "Name": "other", "FunctionVersion": "1", **parameters}
    assert refusal(functions.create_alias, **given) == answer


def test_a_version_goes_alone(functions: Any) -> None:
    """One that an alias points to stays; deleted, it is gone with its invocations, and the others serve on."""
    functions.publish_version(FunctionName="words")
    functions.update_function_configuration(FunctionName="words", Description="changed")
    settle(functions, "words")
    third = functions.publish_version(FunctionName="words")["Version"]
    functions.create_alias(FunctionName="words", Name="third", FunctionVersion=third)
    kept = refusal(functions.delete_function, FunctionName="words", Qualifier=third)
    assert kept == (409, "ResourceConflictException")
    functions.delete_alias(FunctionName="words", Name="third")
    functions.delete_function(FunctionName="words", Qualifier=third)
    assert refusal(functions.invoke, FunctionName=f"words:{third}")[0] == 404
    assert refusal(functions.get_alias, FunctionName="words", Name="third") == (404, "ResourceNotFoundException")
    assert invoke(functions, "words:1")[0][0] == "one"
    latest = refusal(functions.delete_function, FunctionName="words", Qualifier="$LATEST")
    assert latest == (400, "InvalidParameterValueException")


@pytest.mark.usefixtures("functions")
def test_aws_shows_a_version(s3_url: str, tmp_path: Path) -> None:
    """`aws lambda get-function` with a qualifier tells that version's code and where to have it."""
    done = aws(s3_url, "lambda", "get-function", "--function-name", "words", "--qualifier", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["Configuration"]["Version"] == "1"
    assert shown["Configuration"]["CodeSize"] == len(answering("one"))


def test_client_context_reaches_the_handler(functions: Any) -> None:
    """What a caller says of itself is in the handler's context; what is no JSON object in base64 is refused."""
    source = "def handler(event, context):\n    return context.client_context and context.client_context.custom\n"
    deploy(functions, "client", zipped(source))
    given = b64encode(json.dumps({"custom": {"name": "é\n"}}).encode()).decode()
    assert invoke(functions, "client", ClientContext=given)[0] == {"name": "é\n"}
    assert invoke(functions, "client")[0] is None
    answer = refusal(functions.invoke, FunctionName="client", ClientContext="?")
    assert answer == (400, "InvalidRequestContentException")
    functions.delete_function(FunctionName="client")
