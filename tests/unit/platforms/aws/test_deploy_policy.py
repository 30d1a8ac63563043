"""The policy of who deploys: valid, no wider than the project, and enough for CloudFormation and for our own calls."""

import ast
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
import json
from pathlib import Path
import re
from typing import Any, Final

from botocore import xform_name
from botocore.model import ServiceModel
import botocore.session
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
import pytest
from stack_specs import whole

from serverless_mlperf.platforms import aws
from serverless_mlperf.platforms.aws.deploy_policy import deploy_policy
from serverless_mlperf.platforms.aws.template import render

MANAGED_POLICY_CHARACTERS = 6144
"""White space not counted (IAM: reference_iam-quotas)."""
UNNAMED = {
    "lambda:GetAccountSettings",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "sts:GetCallerIdentity",
    "tag:GetResources",
}
"""Actions that IAM cannot limit to a resource, or that look for what is left: all of them read."""
OWN = {
    "to plan and execute changes": (
        "cloudformation:CreateChangeSet cloudformation:DeleteChangeSet cloudformation:DescribeChangeSet "
        "cloudformation:ExecuteChangeSet cloudformation:ListChangeSets cloudformation:TagResource "
        "cloudformation:UntagResource"
    ),
    "to look at the stack and to remove it": (
        "cloudformation:DeleteStack cloudformation:DescribeStackEvents cloudformation:DescribeStacks "
        "cloudformation:GetTemplate "
        "cloudformation:ListStackResources"
    ),
    "who and what the account is": "sts:GetCallerIdentity lambda:GetAccountSettings lambda:GetFunctionConcurrency",
    "to fill buckets, read results and empty all again": (
        "s3:PutObject s3:AbortMultipartUpload s3:ListMultipartUploadParts s3:DeleteObjectVersion "
        "s3:ListBucketMultipartUploads s3:ListBucketVersions"
    ),
    "to measure": (
        "lambda:InvokeFunction lambda:InvokeFunctionUrl logs:FilterLogEvents sqs:ReceiveMessage sqs:DeleteMessage"
    ),
    "to find what is left": (
        "tag:GetResources lambda:ListLayerVersions lambda:ListProvisionedConcurrencyConfigs lambda:ListTags"
    ),
}
"""What our own commands need beyond what CloudFormation does for them."""
UNUSED = {
    "other services": "kms:* ec2:* elasticfilesystem:* s3files:* s3tables:* codedeploy:* firehose:*",
    "settings of functions that we leave alone": (
        "lambda:*CodeSigning* lambda:PassCapacityProvider lambda:PutFunctionScalingConfig "
        "lambda:PutFunctionRecursionConfig lambda:PutRuntimeManagementConfig lambda:AssociateRuntimeAlias"
    ),
    "policies and keys of log groups": (
        "logs:PutDataProtectionPolicy logs:*IndexPolicy logs:PutResourcePolicy logs:DeleteResourcePolicy logs:*KmsKey "
        "logs:CreateLogDelivery logs:PutBearerTokenAuthentication logs:PutLogGroupDeletionProtection "
        "s3:REST.PUT.OBJECT"
    ),
    "managed policies": "iam:AttachRolePolicy iam:DetachRolePolicy iam:UpdateRoleDescription",
    "settings of buckets that we leave alone": (
        "s3:*Accelerate* s3:*Analytics* s3:*Abac s3:*Acl s3:*C[Oo][Rr][Ss] s3:*Inventory* s3:*Journal* s3:*Metrics* "
        "s3:*Metadata* s3:*Replication* s3:*Website s3:*Logging s3:*ObjectLock* s3:*IntelligentTiering* "
        "s3:PutBucketVersioning"
    ),
    "not actions of IAM": "s3:DeleteBucketEncryption s3:DeleteBucketLifecycle",
}
"""What the handlers of CloudFormation's resource types may need for properties that our template does not use."""
S3_ACTIONS = {
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "HeadObject": "GetObject",
    "DeleteObjects": "DeleteObject",
    "CreateMultipartUpload": "PutObject",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
}
"""Of S3 alone operations and actions bear other names (AmazonS3/latest/userguide/using-with-s3-policy-actions)."""
OTHER_ACTIONS = {"lambda:Invoke": "lambda:InvokeFunction", "sqs:DeleteMessageBatch": "sqs:DeleteMessage"}
SERVICES = {
    "cloudformation": "cloudformation",
    "s3": "s3",
    "lambda": "lambda",
    "sqs": "sqs",
    "logs": "logs",
    "iam": "iam",
    "sts": "sts",
    "resourcegroupstaggingapi": "tag",
}
"""botocore's name of a service -> its name in IAM."""
TRANSFERS: Final = {"upload_file": {"s3:PutObject"}, "upload_fileobj": {"s3:PutObject"}}


def statements(text: str) -> list[dict[str, Any]]:
    """The policy's statements."""
    found: list[dict[str, Any]] = json.loads(text)["Statement"]
    return found


def allowed(action: str) -> bool:
    """Whether the policy has an action, on whatever resource."""
    patterns = [pattern for statement in statements(deploy_policy()) for pattern in statement["Action"]]
    return any(fnmatchcase(action, pattern) for pattern in patterns)


def handler_actions() -> set[str]:
    """What the resource types of our template need to be created, read, changed and deleted."""
    kinds = {resource["Type"] for resource in render(whole(function_url=True))["Resources"].values()}
    handlers = [PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["handlers"] for kind in kinds]
    return {
        action
        for each in handlers
        for verb in ("create", "read", "update", "delete")
        for action in each.get(verb, {}).get("permissions", ())
    }


def unused(action: str) -> bool:
    """Whether an action belongs to properties that we do not set."""
    return any(fnmatchcase(action, pattern) for patterns in UNUSED.values() for pattern in patterns.split())


def operations() -> dict[str, set[str]]:
    """Method name of a boto3 client -> the actions of IAM that it may be, one per service that has it."""
    session, found = botocore.session.Session(), {name: set(actions) for name, actions in TRANSFERS.items()}
    for service, prefix in SERVICES.items():
        model = ServiceModel(session.get_service_data(service), service)
        for operation in model.operation_names:
            action = f"{prefix}:{S3_ACTIONS.get(operation, operation) if service == 's3' else operation}"
            found.setdefault(xform_name(operation), set()).add(OTHER_ACTIONS.get(action, action))
    return found


def calls(source: str, known: Mapping[str, set[str]]) -> Iterator[str]:
    """Names of operations that a source calls on anything, or names to a paginator or waiter."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in known:
            yield node.func.attr
        if node.func.attr in ("get_paginator", "get_waiter") and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value)


def test_policy_is_valid_and_fits_a_managed_policy() -> None:
    """IAM's grammar and known actions, as cfn-lint has them; short enough."""
    document = json.loads(deploy_policy())
    policy = {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": document}}
    template = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Deploy": policy}}
    assert [str(match) for match in lint(json.dumps(template), config=ManualArgs(regions=["us-east-1"]))] == []
    assert len(re.sub(r"\s", "", deploy_policy())) <= MANAGED_POLICY_CHARACTERS


def test_resources_are_the_projects() -> None:
    """All but what IAM cannot limit, which only reads."""
    for statement in statements(deploy_policy("mine")):
        assert set(statement) - {"Condition"} == {"Sid", "Effect", "Action", "Resource"}
        resources = statement["Resource"]
        if resources == "*":
            assert set(statement["Action"]) == UNNAMED
        else:
            for resource in [resources] if isinstance(resources, str) else resources:
                assert re.search(r"[:/]mine(-\*|/)", resource), resource


def test_no_service_is_granted_whole() -> None:
    """The only patterns are reads of the project's own buckets."""
    patterns = {a for statement in statements(deploy_policy()) for a in statement["Action"] if "*" in a}
    assert patterns == {"s3:GetBucket*", "s3:Get*Configuration"}


def test_role_is_passed_to_lambda_alone() -> None:
    """Else who deploys could give the function's role to a machine of his own."""
    (statement,) = [s for s in statements(deploy_policy()) if "iam:PassRole" in s["Action"]]
    assert statement["Action"] == ["iam:PassRole"]
    assert statement["Resource"] == "arn:aws:iam::*:role/serverless-mlperf-*"
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}


def test_objects_are_of_the_callers_account() -> None:
    """Packages, models and results never go to a bucket of the name that another account has taken."""
    (statement,) = [s for s in statements(deploy_policy()) if "s3:PutObject" in s["Action"]]
    assert statement["Condition"] == {"StringEquals": {"aws:ResourceAccount": "${aws:PrincipalAccount}"}}
    assert "s3:GetObject" in statement["Action"]


def test_policy_is_of_any_project_and_partition() -> None:
    """Nothing of the default ones is left in it."""
    text = deploy_policy("mine", "aws-cn")
    assert "serverless-mlperf" not in text
    assert "arn:aws:" not in text
    assert "arn:aws-cn:s3:::mine-*" in text


def test_cloudformation_has_what_our_resources_need() -> None:
    """Every permission that their types' handlers declare, but for properties that we do not use."""
    assert [action for action in sorted(handler_actions()) if not allowed(action) and not unused(action)] == []


def test_nothing_is_granted_without_a_reason() -> None:
    """Each action is CloudFormation's or in the table of our own; and each of the table is granted."""
    own = {action for actions in OWN.values() for action in actions.split()}
    granted = {action for statement in statements(deploy_policy()) for action in statement["Action"]}
    handlers = handler_actions()
    assert {g for g in granted if not any(fnmatchcase(action, g) for action in handlers)} == own
    assert not own & handlers


def test_every_exception_is_needed() -> None:
    """A pattern that excepts nothing any more would hide what is missing."""
    needed = handler_actions()
    patterns = [pattern for each in UNUSED.values() for pattern in each.split()]
    assert [p for p in patterns if not any(fnmatchcase(action, p) for action in needed)] == []


def test_our_own_calls_are_allowed() -> None:
    """Of each operation that a module of platforms/aws calls, an action is in the policy."""
    known = operations()
    sources = sorted(Path(aws.__path__[0]).rglob("*.py"))
    assert len(sources) > 5
    denied = {
        f"{path.name}: {name}"
        for path in sources
        for name in calls(path.read_text(), known)
        if not any(map(allowed, known[name]))
    }
    assert denied == set()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("client.create_change_set(StackName=name)", ["create_change_set"]),
        ("self._s3.get_paginator('list_object_versions').paginate()", ["list_object_versions"]),
        ("client('s3').upload_file(path, bucket, key)", ["upload_file"]),
        ("text.replace('a', 'b'); put_object(1)", []),
    ],
)
def test_calls_are_found(source: str, found: list[str]) -> None:
    """The search for calls sees each way to make one."""
    assert list(calls(source, operations())) == found


def test_call_that_is_not_granted_is_seen() -> None:
    """Names of operations become actions; one of none of ours is not allowed."""
    known = operations()
    assert known["list_object_versions"] == {"s3:ListBucketVersions"}
    assert known["invoke"] == {"lambda:InvokeFunction"}
    assert all(map(allowed, known["get_caller_identity"]))
    assert not any(map(allowed, known["create_user"] | known["put_bucket_acl"] | known["add_layer_version_permission"]))
