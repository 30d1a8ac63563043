"""Permissions: a function's policy in Lambda's words, and S3 that tells only whom a policy lets it tell."""

from collections.abc import Iterator
import json
from typing import Any

from botocore.exceptions import ClientError
from lambda_deployment import COMMON, deploy, zipped
import pytest

from local_server import client, queue_policy, raw, refusal

ARN = "arn:aws:lambda:us-east-1:000000000000:function:guarded"
QUEUE = "arn:aws:sqs:us-east-1:000000000000"


@pytest.fixture(scope="module")
def functions(s3_url: str) -> Iterator[Any]:
    """A Lambda client and the function `guarded`."""
    made = client("lambda", s3_url)
    deploy(made, "guarded", zipped("def handler(event, context):\n    return event\n"))
    yield made
    made.delete_function(FunctionName="guarded")
    made.close()


def allow(functions: Any, sid: str, **parameters: Any) -> Any:
    """Permit S3 to invoke the function."""
    given = {"Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com", **parameters}
    return functions.add_permission(FunctionName="guarded", StatementId=sid, **given)


def notify(s3: Any, bucket: str, kind: str, arn: str, **parameters: Any) -> None:
    """Have S3 tell a function or queue of everything."""
    member = {
        "Function": ("LambdaFunctionConfigurations", "LambdaFunctionArn"),
        "Queue": ("QueueConfigurations", "QueueArn"),
    }
    rows, name = member[kind]
    rule = {name: arn, "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={rows: [rule]}, **parameters)


def trouble(s3: Any, bucket: str, kind: str, arn: str) -> str:
    """Why S3 refuses a notification."""
    with pytest.raises(ClientError) as caught:
        notify(s3, bucket, kind, arn)
    error: Any = caught.value.response["Error"]
    assert (error["Code"], error["ArgumentName1"]) == ("InvalidArgument", f"{arn}, null")
    assert error["Message"] == "Unable to validate the following destination configurations"
    return str(error["ArgumentValue1"])


def test_policy_has_lambdas_words(functions: Any) -> None:
    """Statements come back as they were added; an id is there once; the last one takes the policy with it."""
    assert refusal(functions.get_policy, FunctionName="guarded") == (404, "ResourceNotFoundException")
    before = functions.get_function_configuration(FunctionName="guarded")["RevisionId"]
    added = allow(functions, "one", SourceArn="arn:aws:s3:::b", SourceAccount="000000000000", RevisionId=before)
    expected = {
        "Sid": "one", "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction", "Resource": ARN,
        "Condition": {
            "StringEquals": {"AWS:SourceAccount": "000000000000"}, "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::b"}
        },
    }  # fmt: skip
    assert json.loads(added["Statement"]) == expected
    policy = functions.get_policy(FunctionName="guarded")
    assert json.loads(policy["Policy"]) == {"Version": "2012-10-17", "Id": "default", "Statement": [expected]}
    assert policy["RevisionId"] != before
    with pytest.raises(ClientError, match="ResourceConflictException"):
        allow(functions, "one")
    with pytest.raises(ClientError, match="PreconditionFailedException"):
        allow(functions, "two", RevisionId=before)
    functions.remove_permission(FunctionName="guarded", StatementId="one", RevisionId=policy["RevisionId"])
    gone = refusal(functions.remove_permission, FunctionName="guarded", StatementId="one")
    assert gone == (404, "ResourceNotFoundException")


@pytest.mark.parametrize(
    ("parameters", "code"),
    [({"Principal": "nobody"}, "InvalidParameterValueException"), ({"Action": "s3:GetObject"}, "ValidationException"),
     ({"SourceArn": "b"}, "ValidationException"), ({"SourceAccount": "1"}, "ValidationException"),
     ({"Qualifier": "$LATEST"}, "InvalidParameterValueException"), ({"Qualifier": "7"}, "ResourceNotFoundException")],
)  # fmt: skip
def test_impossible_statements_are_refused(functions: Any, parameters: dict[str, Any], code: str) -> None:
    """Principals, actions, sources and qualifiers that Lambda does not take."""
    with pytest.raises(ClientError, match=code):
        allow(functions, "never", **parameters)


def test_notification_needs_a_permission(functions: Any, s3: Any, bucket: str) -> None:
    """None, one for another bucket and one for a version do not do; one for this bucket does; or no validation."""
    assert trouble(s3, bucket, "Function", ARN) == f"Not authorized to invoke function [{ARN}]"
    allow(functions, "other", SourceArn="arn:aws:s3:::another")
    number = functions.publish_version(FunctionName="guarded")["Version"]
    allow(functions, "version", Qualifier=number)
    trouble(s3, bucket, "Function", ARN)
    assert "does not exist" in trouble(s3, bucket, "Function", f"{ARN}-not")
    notify(s3, bucket, "Function", f"{ARN}:{number}")
    notify(s3, bucket, "Function", ARN, SkipDestinationValidation=True)
    allow(functions, "this", SourceArn=f"arn:aws:s3:::{bucket}")
    notify(s3, bucket, "Function", ARN)
    for sid, more in (("other", {}), ("this", {}), ("version", {"Qualifier": number})):
        functions.remove_permission(FunctionName="guarded", StatementId=sid, **more)


def test_queue_needs_a_policy(s3_url: str, s3: Any, bucket: str) -> None:
    """A queue that is not there, one without a policy and one with another bucket's are refused, in S3's words."""
    sqs = client("sqs", s3_url)
    url, arn = sqs.create_queue(QueueName=bucket)["QueueUrl"], f"{QUEUE}:{bucket}"
    assert trouble(s3, bucket, "Queue", f"{arn}-not") == "The destination queue does not exist"
    assert trouble(s3, bucket, "Queue", arn).startswith("Permissions on the destination queue do not allow S3")
    sqs.set_queue_attributes(QueueUrl=url, Attributes=queue_policy(arn, "another"))
    trouble(s3, bucket, "Queue", arn)
    sqs.set_queue_attributes(QueueUrl=url, Attributes=queue_policy(arn, bucket))
    notify(s3, bucket, "Queue", arn)
    sqs.close()


def test_removed_permission_stops_events(functions: Any, s3_url: str, s3: Any, bucket: str) -> None:
    """What happens after the removal is told to nobody, and counted."""
    allow(functions, "soon-gone", SourceArn=f"arn:aws:s3:::{bucket}")
    notify(s3, bucket, "Function", ARN)

    def counts() -> tuple[int, int]:
        status = json.loads(raw(s3_url, "GET", "/_platform/status").body)
        return status["executor"]["events"]["accepted"], status["notifications_refused"].get(ARN, 0)

    accepted, refused = counts()
    s3.put_object(Bucket=bucket, Key="told")
    assert counts() == (accepted + 1, refused)
    functions.remove_permission(FunctionName="guarded", StatementId="soon-gone")
    s3.put_object(Bucket=bucket, Key="untold")
    assert counts() == (accepted + 1, refused + 1)


WRITER = """
import os, urllib.request
def handler(event, context):
    bucket = event["Records"][0]["s3"]["bucket"]["name"]
    url = f"{os.environ['AWS_ENDPOINT_URL']}/{bucket}/output"
    urllib.request.urlopen(urllib.request.Request(url, b"done", method="PUT"))
"""


def test_event_reaches_a_function_that_was_pending(functions: Any, s3: Any, bucket: str) -> None:
    """An object put right after the function was created is told to it once it can serve."""
    arn = functions.create_function(FunctionName=bucket, Code={"ZipFile": zipped(WRITER)}, **COMMON)["FunctionArn"]
    functions.add_permission(
        FunctionName=bucket, StatementId="s", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com"
    )
    rule = {
        "LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "input/"}]}},
    }  # fmt: skip
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [rule]}
    )
    s3.put_object(Bucket=bucket, Key="input/early")
    s3.get_waiter("object_exists").wait(Bucket=bucket, Key="output", WaiterConfig={"Delay": 0.1, "MaxAttempts": 600})
    functions.delete_function(FunctionName=bucket)
