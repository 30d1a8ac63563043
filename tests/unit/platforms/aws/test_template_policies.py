"""Who may do what: each policy of the template against a table, so that one right more fails."""

from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
import json
from typing import Any

import numpy as np
import pytest
from stack_specs import VARIANTS, Template, of_type, single, whole

from serverless_mlperf.platforms.aws.spec import log_group_name
from serverless_mlperf.platforms.aws.template import render
from serverless_mlperf.preparation import MODELS_PREFIX
from serverless_mlperf_sut import images, protocol, service
from serverless_mlperf_sut.engines.fake import FakeEngine
from serverless_mlperf_sut.protocol import QueryError
from serverless_mlperf_sut.settings import Settings
from serverless_mlperf_sut.stopwatch import Stopwatch
from serverless_mlperf_sut.storage import MemoryStorage, MissingError, StorageError

BUCKET = "arn:${AWS::Partition}:s3:::serverless-mlperf-${AWS::AccountId}-${AWS::Region}"
OURS = {"Ref": "AWS::AccountId"}
READ = ("models", "coco", "imagenet", "synthetic", "input", "completed", "failed")
ROLE = {
    *(("s3:GetObject", f"{BUCKET}/{folder}/*") for folder in READ),
    *(("s3:PutObject", f"{BUCKET}/{folder}/*") for folder in ("output", "completed", "failed")),
    ("s3:DeleteObject", f"{BUCKET}/input/*"),
    ("sqs:SendMessage", "DeadLetterQueue.Arn"),
}
"""All that a function may do, but its logs."""


def granted(document: Template) -> Iterator[tuple[str, str]]:
    """Every pair of action and resource of a policy; an ARN of the template as `LogicalId.Arn`."""
    for statement in document["Statement"]:
        assert set(statement) - {"Condition"} == {"Sid", "Effect", "Action", "Resource"}, "no NotAction or NotResource"
        assert statement["Effect"] == "Allow"
        for action in statement["Action"]:
            yield from ((action, _text(resource)) for resource in statement["Resource"])


def _text(resource: dict[str, Any]) -> str:
    ((function, value),) = resource.items()
    return str(value) if function == "Fn::Sub" else ".".join(value)


def role(template: Template) -> dict[str, Any]:
    """The only role's properties."""
    (properties,) = of_type(template, "AWS::IAM::Role").values()
    found: dict[str, Any] = properties
    return found


def rights(template: Template) -> list[tuple[str, str]]:
    """Action and resource of everything the function's role may do."""
    (policy,) = role(template)["Policies"]
    return list(granted(policy["PolicyDocument"]))


class GuardedStorage(MemoryStorage):
    """A bucket that permits what the role's policy permits, and answers as S3 does to who may not list."""

    def __init__(self, objects: dict[str, bytes], allowed: list[tuple[str, str]]) -> None:
        super().__init__(objects)
        self._allowed = allowed
        self.denied: list[str] = []

    def get(self, key: str, max_bytes: int) -> bytes:
        """Read an object."""
        if not self._permits("s3:GetObject", key):
            raise MissingError(key)
        return super().get(key, max_bytes)

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""
        self._demand("s3:PutObject", key)
        super().put(key, data)

    def copy(self, source: str, target: str) -> None:
        """Copy an object: a read and a write."""
        if not self._permits("s3:GetObject", source):
            raise MissingError(source)
        self._demand("s3:PutObject", target)
        super().copy(source, target)

    def delete(self, key: str) -> None:
        """Remove an object."""
        self._demand("s3:DeleteObject", key)
        super().delete(key)

    def _demand(self, action: str, key: str) -> None:
        if not self._permits(action, key):
            raise StorageError(f"{action} of {key} is denied")

    def _permits(self, action: str, key: str) -> bool:
        permitted = any(action == a and fnmatchcase(f"{BUCKET}/{key}", r) for a, r in self._allowed)
        if not permitted:
            self.denied.append(f"{action} {key}")
        return permitted


KEY = "input/classification-ie-ir-1536/r-1.json"


@pytest.fixture
def bucket() -> GuardedStorage:
    """A bucket under the role's policy, with a picture, a query for it, and one for a picture that is not there."""
    picture = images.encode(np.full((40, 60, 3), 200, np.uint8))
    objects = {f"{root}/1.jpg": picture for root in protocol.IMAGE_ROOTS}
    objects[KEY] = json.dumps({"ImageFilenames": list(objects)}).encode()
    objects["input/c/bad.json"] = b"{"
    return GuardedStorage(objects, rights(render(single())))


def handle(bucket: GuardedStorage, *keys: str) -> dict[str, Any]:
    """What an environment says of one S3 event."""
    environment = service.start(Settings("b", "fake", "classification"), bucket, FakeEngine(), Stopwatch())
    return environment.handle({"Records": [{"s3": {"object": {"key": key}}} for key in keys]}, "id-1")


def test_role_may_do_exactly_this() -> None:
    """Sixteen pairs, of 24 cells as of one; anything more or less fails."""
    logs = {
        (action, f"Log{name}.Arn")
        for name in (log.removeprefix("Log") for log in of_type(render(whole()), "AWS::Logs::LogGroup"))
        for action in ("logs:CreateLogStream", "logs:PutLogEvents")
    }
    found = rights(render(whole()))
    assert set(found) == ROLE | logs
    assert len(found) == len(ROLE) + 2 * 24


def test_one_right_more_is_seen() -> None:
    """The table is held against what is rendered, not against itself."""
    template = render(single())
    role(template)["Policies"][0]["PolicyDocument"]["Statement"][1]["Action"].append("s3:PutObjectAcl")
    assert {action for action, _ in rights(template)} - {action for action, _ in ROLE} >= {"s3:PutObjectAcl"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_role_is_the_same_whatever_is_switched_on(variant: str) -> None:
    """No option widens it, nothing is attached to it, no action or resource is a bare wildcard."""
    template = render(VARIANTS[variant]())
    found = {pair for pair in rights(template) if not pair[0].startswith("logs:")}
    assert found == ROLE
    assert set(role(template)) - {"PermissionsBoundary"} == {"AssumeRolePolicyDocument", "Policies", "Tags"}
    assert not [pair for pair in rights(template) if "*" in pair[0] or pair[1] == "*"]


def test_objects_are_of_our_own_account() -> None:
    """A bucket of the name that another account has taken meanwhile is neither read nor written."""
    (policy,) = role(render(single()))["Policies"]
    conditions = {s["Sid"]: s.get("Condition") for s in policy["PolicyDocument"]["Statement"]}
    ours = {"StringEquals": {"aws:ResourceAccount": OURS}}
    assert conditions == {"Read": ours, "Write": ours, "Remove": ours, "Log": None, "GiveUp": None}


def test_only_lambda_takes_the_role() -> None:
    """Its trust names one service and one action."""
    assert role(render(single()))["AssumeRolePolicyDocument"]["Statement"] == [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ]


def test_logs_are_of_the_stacks_own_groups() -> None:
    """Each group that the role may write to is one that the stack makes for a function of its own."""
    spec = whole()
    groups = of_type(render(spec), "AWS::Logs::LogGroup")
    assert {group["LogGroupName"] for group in groups.values()} == {
        log_group_name(spec.project, function) for function in spec.functions
    }
    assert {resource for action, resource in rights(render(spec)) if action.startswith("logs:")} == {
        f"{name}.Arn" for name in groups
    }


def test_boundary_is_set_where_one_is_given() -> None:
    """And absent where not."""
    arn = "arn:aws:iam::123456789012:policy/edge"
    assert role(render(single(permissions_boundary=arn)))["PermissionsBoundary"] == arn
    assert "PermissionsBoundary" not in role(render(single()))


def test_function_serves_within_the_role(bucket: GuardedStorage) -> None:
    """A query is served, its input moved, and nothing is asked that is not granted."""
    assert handle(bucket, KEY) == {"delivered": 1, "errors": 0, "duplicates": 0}
    assert "completed/classification-ie-ir-1536/r-1.json" in bucket.objects
    assert KEY not in bucket.objects
    assert bucket.denied == []


def test_second_delivery_is_known_within_the_role(bucket: GuardedStorage) -> None:
    """Of a served query and of a refused one: both ends must be readable."""
    handle(bucket, KEY, "input/c/bad.json")
    assert handle(bucket, KEY, "input/c/bad.json") == {"delivered": 0, "errors": 0, "duplicates": 2}
    assert bucket.denied == []


def test_bad_queries_are_refused_within_the_role(bucket: GuardedStorage) -> None:
    """Damaged, unsafe and missing ones: their records and the moved input are where the role may write."""
    assert handle(bucket, "input/c/bad.json", "input/../x.json", "input/c/none.json")["errors"] == 3
    assert {key.rpartition("/")[0] for key in bucket.objects if "errors" in key} == {
        "output/c/errors",
        "output/errors",
    }
    assert "failed/c/bad.json" in bucket.objects
    assert bucket.denied == []


def test_what_is_not_granted_is_denied(bucket: GuardedStorage) -> None:
    """The guard of these tests guards: no write to an input, a model or a picture."""
    for key in (KEY, "models/m.bin", "coco/1.jpg"):
        with pytest.raises(StorageError, match="denied"):
            bucket.put(key, b"")
    with pytest.raises(QueryError):
        bucket.get("output/c/r-1.json", 1)
    assert len(bucket.denied) == 4


def test_models_and_pictures_are_readable() -> None:
    """What the client uploads lies where the role may read."""
    readable = {resource for action, resource in rights(render(single())) if action == "s3:GetObject"}
    assert f"{BUCKET}/{MODELS_PREFIX}*" in readable
    assert {f"{BUCKET}/{root}/*" for root in protocol.IMAGE_ROOTS} <= readable


def test_functions_cannot_write_what_triggers_them() -> None:
    """No prefix that the role may write lies under a trigger's, nor a trigger's under it."""
    template = render(whole())
    (found,) = of_type(template, "AWS::S3::Bucket").values()
    triggers = [
        rule["Value"]
        for each in found["NotificationConfiguration"]["LambdaConfigurations"]
        for rule in each["Filter"]["S3Key"]["Rules"]
        if rule["Name"] == "prefix"
    ]
    written = [r.removeprefix(f"{BUCKET}/").rstrip("*") for a, r in rights(template) if a == "s3:PutObject"]
    assert len(triggers) == 24
    assert len(written) == 3
    assert not [(t, w) for t in triggers for w in written if t.startswith(w) or w.startswith(t)]


def test_bucket_refuses_all_that_comes_without_tls() -> None:
    """One statement, a Deny for everybody on the bucket and all in it; the policy grants nothing."""
    (policy,) = of_type(render(whole()), "AWS::S3::BucketPolicy").values()
    assert policy["Bucket"] == {"Ref": "DataBucket"}
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [{"Fn::Sub": BUCKET}, {"Fn::Sub": f"{BUCKET}/*"}],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]


def test_queues_take_messages_of_our_bucket_alone() -> None:
    """Each completion queue has one policy, with one statement: S3, our bucket, our account; dead letters have none."""
    template = render(whole())
    policies = of_type(template, "AWS::SQS::QueuePolicy")
    assert len(policies) == 24
    for policy in policies.values():
        (queue,) = (reference["Ref"] for reference in policy["Queues"])
        assert policy["PolicyDocument"]["Statement"] == [
            {
                "Effect": "Allow",
                "Principal": {"Service": "s3.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": {"Fn::GetAtt": [queue, "Arn"]},
                "Condition": {
                    "ArnEquals": {"aws:SourceArn": {"Fn::Sub": BUCKET}},
                    "StringEquals": {"aws:SourceAccount": OURS},
                },
            }
        ]
    assert {p["Queues"][0]["Ref"] for p in policies.values()} == set(of_type(template, "AWS::SQS::Queue")) - {
        "DeadLetterQueue"
    }


def test_s3_alone_may_invoke_and_only_for_our_bucket() -> None:
    """One permission per cell, on the alias, with the bucket and the account that events must come from."""
    permissions = of_type(render(whole()), "AWS::Lambda::Permission")
    assert len(permissions) == 24
    for name, permission in permissions.items():
        assert permission == {
            "FunctionName": {"Ref": name.replace("Trigger", "Alias", 1)},
            "Action": "lambda:InvokeFunction",
            "Principal": "s3.amazonaws.com",
            "SourceAccount": OURS,
            "SourceArn": {"Fn::Sub": BUCKET},
        }


def test_url_is_for_our_own_account_and_signed() -> None:
    """Both permissions that a URL needs, for our account alone; what else may invoke stays as it is."""
    template = render(replace(whole(), function_url=True))
    permissions = of_type(template, "AWS::Lambda::Permission")
    assert len(permissions) == 3 * 24
    alias = {"Ref": "AliasClassificationIeIr1536"}
    assert [p for p in permissions.values() if p["FunctionName"] == alias and p["Principal"] == OURS] == [
        {
            "FunctionName": alias,
            "Action": "lambda:InvokeFunctionUrl",
            "Principal": OURS,
            "FunctionUrlAuthType": "AWS_IAM",
        },
        {"FunctionName": alias, "Action": "lambda:InvokeFunction", "Principal": OURS, "InvokedViaFunctionUrl": True},
    ]
    assert {p["Principal"] if isinstance(p["Principal"], str) else "us" for p in permissions.values()} == {
        "s3.amazonaws.com",
        "us",
    }
    assert {url["AuthType"] for url in of_type(template, "AWS::Lambda::Url").values()} == {"AWS_IAM"}
