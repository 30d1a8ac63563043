"""The local platform's Lambda and moto's, asked the same: same answers, but where moto is not as Lambda is."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from lambda_script import RUNTIME, run
from parity_script import Differences, Told, assert_differs, assert_same
import pytest

from local_server import PLATFORM, client, serving

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:"
LAYER = "arn:aws:lambda:us-east-1:000000000000:layer:layer"
FAILED = {"Destination": "arn:aws:sqs:us-east-1:000000000000:lambda-failed"}
GRANT = {
    "Sid": "s3", "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "lambda:InvokeFunction",
    "Resource": f"{FUNCTION}p",
    "Condition": {
        "StringEquals": {"AWS:SourceAccount": "000000000000"},
        "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::parity-lambda"},
    },
}  # fmt: skip
ACCOUNT_GRANT = {
    "Sid": "account", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
    "Action": "lambda:InvokeFunction", "Resource": f"{FUNCTION}p",
}  # fmt: skip
CORS = {"AllowMethods": ["GET"], "AllowOrigins": ["*"], "MaxAge": 60}
INVALID, PARAMETER = (400, "ValidationException"), (400, "InvalidParameterValueException")
NOT_FOUND, CONFLICT = (404, "ResourceNotFoundException"), (409, "ResourceConflictException")
PRECONDITION = (412, "PreconditionFailedException")
LIVE = ("live", "3", "d", f"{FUNCTION}v:live")

DIFFERENCES: Differences = {
    "list one": ((200, None, ["f"]), "moto gives all; API_ListFunctions: MaxItems"),
    "update storage": ((200, None, 512), "moto drops it; API_UpdateFunctionConfiguration: EphemeralStorage"),
    "update code, dry run": (
        (200, None, "w56cVBvWkiEZm1AmsVW3/VyRo06Dv0LUWJUJ9EWzh7A=", 156),
        "moto gives the present code's; API_UpdateFunctionCode: DryRun validates the request's",
    ),
    "tag": ((204, None), "moto says 200; API_TagResource, response: 204"),
    "list versions of absent": (NOT_FOUND, "moto lists none; API_ListVersionsByFunction, errors"),
    "delete version again": ((204, None), "moto says 404; localstack, whose answers were recorded on AWS, takes it"),
    "alias again": (CONFLICT, "moto has a code of its own; API_CreateAlias, errors"),
    "get alias": ((200, None, "live", "2", "d", f"{FUNCTION}v:live", None), "moto says 201; API_GetAlias: 200"),
    "list aliases of version": ((200, None, None), "moto lists all; API_ListAliases: FunctionVersion"),
    "update alias": ((200, None, *LIVE, None), "moto says 201; API_UpdateAlias: 200"),
    "weigh alias": ((200, None, *LIVE, {"AdditionalVersionWeights": {"2": 0.25}}), "as above"),
    "delete aliased version": (CONFLICT, "moto deletes it; API_DeleteFunction: not a version that an alias names"),
    "delete alias": ((204, None), "moto says 201; API_DeleteAlias: 204"),
    "delete alias again": ((204, None), "as above"),
    "delete latest": (PARAMETER, "moto deletes the function; API_DeleteFunction: not $LATEST"),
    "get layer by ARN": (
        (200, None, LAYER, f"{LAYER}:1", 1, "d", [RUNTIME], "MIT"),
        "moto fails with 500; API_GetLayerVersionByArn",
    ),
    "delete layer": ((204, None), "moto says 200; API_DeleteLayerVersion: 204"),
    "delete layer again": ((204, None), "as above"),
    "permit": ((201, None), "moto says 200; API_AddPermission: 201"),
    "permit an account": ((201, None), "as above"),
    "policy, statements": (
        ("2012-10-17", "default", [GRANT, ACCOUNT_GRANT]),
        "moto keeps the account's number; access-control-resource-based: it becomes the account's root",
    ),
    "permit again": (CONFLICT, "moto adds a twin; API_AddPermission, errors"),
    "permit, wrong action": (INVALID, "moto takes it; API_AddPermission: Action's pattern"),
    "notify twice": ((400, "InvalidArgument"), "moto takes it; S3's notification-how-to-filtering: no overlap"),
    "notify absent": ((400, "InvalidArgument"), "moto takes it; API_PutBucketNotificationConfiguration validates"),
    "notify without permission": ((400, "InvalidArgument"), "as above"),
    "notifications as before": (
        (200, None, ["in/"], [f"{FUNCTION}p"], [["s3:ObjectCreated:*"]]),
        "moto has taken what is to be refused",
    ),
    "reserve all": (PARAMETER, "moto takes it; configuration-concurrency: 100 stay unreserved"),
    "reserve less than none": (INVALID, "moto takes it; API_PutFunctionConcurrency: at least 0"),
    "event config": (
        (200, None, f"{FUNCTION}l:$LATEST", 1, None, FAILED),
        "moto leaves $LATEST out; API_PutFunctionEventInvokeConfig, example",
    ),
    "update event config": (
        (200, None, f"{FUNCTION}l:$LATEST", 1, 60, FAILED),
        "moto gives what was sent; API_UpdateFunctionEventInvokeConfig: the rest is kept",
    ),
    "event config kept": ((200, None, f"{FUNCTION}l:$LATEST", 1, 60, FAILED), "moto forgets the update"),
    "list event configs": ((200, None, [f"{FUNCTION}l:$LATEST"], [1], [60]), "as above"),
    "put event config": ((200, None, f"{FUNCTION}l:$LATEST", 0, None, None), "moto leaves $LATEST out"),
    "event config, short age": (INVALID, "moto takes it; API_PutFunctionEventInvokeConfig: 60 s to 6 h"),
    "account": ((200, None, 1000, 5), "moto has none; API_GetAccountSettings"),
    "URL": ((201, None, f"{FUNCTION}u", "NONE", None, "BUFFERED"), "moto writes Buffered; API_CreateFunctionUrlConfig"),
    "URL again": (CONFLICT, "moto takes it; API_CreateFunctionUrlConfig, errors"),
    "get URL": (
        (200, None, f"{FUNCTION}u", "NONE", None, "BUFFERED"),
        "moto says 201 and Buffered; API_GetFunctionUrlConfig",
    ),
    "update URL": (
        (200, None, f"{FUNCTION}u", "AWS_IAM", CORS, "BUFFERED"),
        "moto writes Buffered; API_UpdateFunctionUrlConfig",
    ),
    "list URLs": ((200, None, ["AWS_IAM"]), "moto has none; API_ListFunctionUrlConfigs"),
    "URL, wrong type": (INVALID, "moto takes it; API_UpdateFunctionUrlConfig: NONE or AWS_IAM"),
    "delete URL again": (NOT_FOUND, "moto takes it; API_DeleteFunctionUrlConfig, errors"),
    "invoke": ((200, None, 200, "$LATEST", None), "moto names no version; API_Invoke: ExecutedVersion"),
    "invoke, event": ((202, None, 202, b""), "moto answers an event with a body; API_Invoke: 202, empty"),
    "invoke absent": (NOT_FOUND, "moto's simple mode answers for any name; API_Invoke, errors"),
    "invoke absent version": (NOT_FOUND, "as above"),
    "invoke, no JSON": ((400, "InvalidRequestContentException"), "moto takes it; API_Invoke, errors"),
    "invoke, wrong type": (PARAMETER, "moto takes it; API_Invoke: RequestResponse, Event, DryRun"),
    "invoke, 7 MB": ((413, "RequestTooLargeException"), "moto takes it; gettingstarted-limits: 6 MB"),
    "update memory, wrong": (INVALID, "moto takes it; API_UpdateFunctionConfiguration: 128 to 10,240"),
    "update of another revision": (PRECONDITION, "moto ignores it; API_UpdateFunctionConfiguration: RevisionId"),
    "update code, no zip": (PARAMETER, "moto takes it; API_UpdateFunctionCode: ZipFile"),
    "publish other code": (PARAMETER, "moto ignores it; API_PublishVersion: CodeSha256"),
    "publish other revision": (PRECONDITION, "moto ignores it; API_PublishVersion: RevisionId"),
    "alias like a number": (INVALID, "moto takes it; API_CreateAlias: Name's pattern"),
    "publish layer, no zip": (PARAMETER, "moto takes it; API_PublishLayerVersion: Content"),
    "create, wrong name": (INVALID, "moto takes it; API_CreateFunction: FunctionName's pattern"),
    "create, wrong memory": (INVALID, "moto takes it; API_CreateFunction: 128 to 10,240"),
    "create, wrong more memory": (INVALID, "as above"),
    "create, wrong timeout": (INVALID, "moto takes it; gettingstarted-limits: 900 s"),
    "create, wrong no timeout": (INVALID, "moto takes it; API_CreateFunction: at least 1"),
    "create, wrong runtime": (PARAMETER, "moto takes it; API_CreateFunction: Runtime's values"),
    "create, wrong no code": (PARAMETER, "moto fails with 500; API_CreateFunction, errors"),
    "create, wrong no zip": (PARAMETER, "moto takes it; API_CreateFunction, errors"),
    "create, wrong absent code": (PARAMETER, "moto takes it; API_CreateFunction, errors"),
    "create, wrong absent layer": (PARAMETER, "moto says 404; API_CreateFunction, errors: a parameter is not valid"),
    "create, wrong reserved variable": (PARAMETER, "moto takes it; configuration-envvars: reserved variables"),
    "create, wrong storage": (INVALID, "moto takes it; API_CreateFunction: EphemeralStorage, 512 to 10,240"),
}  # fmt: skip
"""Call -> what the platform tells, and why it is not moto's answer; pages of docs.aws.amazon.com/lambda/latest."""


def answers(url: str, folder: Path) -> Told:
    """What the script was told by a server."""
    functions = client("lambda", url, parameter_validation=False)
    with closing(functions), closing(client("s3", url)) as s3, closing(client("sqs", url)) as sqs:
        return run(functions, s3, sqs, url, folder)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """What the platform told: a server without functions of other tests."""
    with serving(*PLATFORM) as url:
        yield answers(url, tmp_path_factory.mktemp("platform"))


@pytest.fixture(scope="module")
def moto_told(moto_url: str, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What moto told; it has no function without a role."""
    roles = client("iam", moto_url)
    roles.create_role(RoleName="parity", AssumeRolePolicyDocument="{}")
    roles.close()
    return answers(moto_url, tmp_path_factory.mktemp("moto"))


def test_same_calls_tell_the_same(told: Told, moto_told: Told) -> None:
    """Status, code and fields of every call are moto's, but for the calls in the table."""
    assert len(told) > 150
    assert_same(told, moto_told, DIFFERENCES)


@pytest.mark.parametrize("name", DIFFERENCES)
def test_difference_is_as_documented(told: Told, moto_told: Told, name: str) -> None:
    """Where the table says that moto is wrong, the platform tells what the page says, and moto something else."""
    assert_differs(told, moto_told, name, DIFFERENCES[name])
