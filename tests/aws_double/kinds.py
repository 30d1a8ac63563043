"""How each resource type of the template is made, changed and removed by the service's own API.

Every property is passed on: a nested one by botocore, which refuses what the service's model does not have, the others
by being named here; `unknown_properties` tells of the rest.
"""

# ruff: noqa: D102, ARG002 - what each method does, and takes, is the Protocol's to say

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
import json
from typing import Any, Protocol

from botocore.exceptions import ClientError

Properties = Mapping[str, Any]
Api = Callable[[str], Any]
"""A boto3 client of a service."""


@dataclass(frozen=True)
class Made:
    """A resource that is there: what `Ref` and `Fn::GetAtt` give."""

    physical: str
    attributes: Mapping[str, str] = field(default_factory=dict)


class Kind(Protocol):
    """One resource type."""

    properties: frozenset[str]
    replaces: bool
    """Whether every change makes a new one."""

    def create(self, api: Api, name: str, p: Properties) -> Made:
        """Make it; `name` is for those that are not named by a property."""

    def update(self, api: Api, made: Made, p: Properties) -> Made:
        """Change it in place."""

    def delete(self, api: Api, made: Made, p: Properties) -> None:
        """Remove it."""


def _tags(p: Properties) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in p.get("Tags", [])}


def _some(p: Properties, *names: str) -> dict[str, Any]:
    return {name: p[name] for name in names if name in p}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Queue:
    """AWS::SQS::Queue."""

    properties = frozenset({"QueueName", "SqsManagedSseEnabled", "MessageRetentionPeriod", "Tags"})
    replaces = False

    def create(self, api: Api, name: str, p: Properties) -> Made:
        url = api("sqs").create_queue(QueueName=p["QueueName"], Attributes=self._attributes(p), tags=_tags(p))[
            "QueueUrl"
        ]
        arn = api("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        return Made(url, {"Arn": arn, "QueueName": p["QueueName"]})

    def update(self, api: Api, made: Made, p: Properties) -> Made:
        api("sqs").set_queue_attributes(QueueUrl=made.physical, Attributes=self._attributes(p))
        return made

    def delete(self, api: Api, made: Made, p: Properties) -> None:
        api("sqs").delete_queue(QueueUrl=made.physical)

    def _attributes(self, p: Properties) -> dict[str, str]:
        return {name: _text(p[name]) for name in ("SqsManagedSseEnabled", "MessageRetentionPeriod") if name in p}


class QueuePolicy:
    """AWS::SQS::QueuePolicy."""

    properties = frozenset({"Queues", "PolicyDocument"})
    replaces = False

    def create(self, api: Api, name: str, p: Properties) -> Made:
        for url in p["Queues"]:
            api("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(p["PolicyDocument"])})
        return Made(name)

    def update(self, api: Api, made: Made, p: Properties) -> Made:
        return self.create(api, made.physical, p)

    def delete(self, api: Api, made: Made, p: Properties) -> None:
        for url in p["Queues"]:
            api("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})


class Role:
    """AWS::IAM::Role."""

    properties = frozenset({"AssumeRolePolicyDocument", "Policies", "PermissionsBoundary", "Tags"})
    replaces = False

    def create(self, api: Api, name: str, p: Properties) -> Made:
        trust = json.dumps(p["AssumeRolePolicyDocument"])
        more = _some(p, "PermissionsBoundary", "Tags")
        role = api("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust, **more)["Role"]
        made = Made(name, {"Arn": role["Arn"]})
        return self.update(api, made, p)

    def update(self, api: Api, made: Made, p: Properties) -> Made:
        for policy in p.get("Policies", []):
            document = json.dumps(policy["PolicyDocument"])
            api("iam").put_role_policy(RoleName=made.physical, PolicyName=policy["PolicyName"], PolicyDocument=document)
        return made

    def delete(self, api: Api, made: Made, p: Properties) -> None:
        for policy in api("iam").list_role_policies(RoleName=made.physical)["PolicyNames"]:
            api("iam").delete_role_policy(RoleName=made.physical, PolicyName=policy)
        api("iam").delete_role(RoleName=made.physical)


class LayerVersion:
    """AWS::Lambda::LayerVersion."""

    properties = frozenset({"LayerName", "CompatibleRuntimes", "CompatibleArchitectures", "Content"})
    replaces = True

    def create(self, api: Api, name: str, p: Properties) -> Made:
        return Made(api("lambda").publish_layer_version(**p)["LayerVersionArn"])

    def update(self, api: Api, made: Made, p: Properties) -> Made:
        return self.create(api, made.physical, p)

    def delete(self, api: Api, made: Made, p: Properties) -> None:
        name, version = made.physical.rsplit(":", 1)
        api("lambda").delete_layer_version(LayerName=name.rsplit(":", 1)[1], VersionNumber=int(version))


class LogGroup:
    """AWS::Logs::LogGroup."""

    properties = frozenset({"LogGroupName", "RetentionInDays", "Tags"})
    replaces = False

    def create(self, api: Api, name: str, p: Properties) -> Made:
        api("logs").create_log_group(logGroupName=p["LogGroupName"], tags=_tags(p))
        group = api("logs").describe_log_groups(logGroupNamePrefix=p["LogGroupName"])["logGroups"][0]
        return self.update(api, Made(p["LogGroupName"], {"Arn": group["arn"]}), p)

    def update(self, api: Api, made: Made, p: Properties) -> Made:
        api("logs").put_retention_policy(logGroupName=made.physical, retentionInDays=p["RetentionInDays"])
        return made

    def delete(self, api: Api, made: Made, p: Properties) -> None:
        api("logs").delete_log_group(logGroupName=made.physical)


class Function:
    """AWS::Lambda::Function."""

    CONFIGURATION = (
        *("Runtime", "Handler", "Role", "MemorySize", "Timeout", "EphemeralStorage", "Layers"),
        *("DeadLetterConfig", "LoggingConfig", "Environment", "SnapStart"),
    )
    properties = frozenset(
        {*CONFIGURATION, "FunctionName", "Architectures", "Code", "Tags", "ReservedConcurrentExecutions"}
    )
    replaces = False

    def create(self, api: Api, name: str, p: Properties) -> Made:
        settings = _some(p, *self.CONFIGURATION, "FunctionName", "Architectures", "Code")
        arn = api("lambda").create_function(**settings, Tags=_tags(p))["FunctionArn"]
        self._reserve(api, p)
        return Made(p["FunctionName"], {"Arn": arn})

    def update(self, api: Api, made: Made, p: Properties) -> Made:
        code = {**p["Code"], "Architectures": p["Architectures"]}
        api("lambda").update_function_code(FunctionName=made.physical, **code)
        api("lambda").update_function_configuration(FunctionName=made.physical, **_some(p, *self.CONFIGURATION))
        self._reserve(api, p)
        return made

    def delete(self, api: Api, made: Made, p: Properties) -> None:
        api("lambda").delete_function(FunctionName=made.physical)

    def _reserve(self, api: Api, p: Properties) -> None:
        reserved = _some(p, "ReservedConcurrentExecutions")
        if reserved:
            api("lambda").put_function_concurrency(FunctionName=p["FunctionName"], **reserved)


class Version:
    """AWS::Lambda::Version: a new one only if the function has changed since the last."""

    properties = frozenset({"FunctionName"})
    replaces = True

    def create(self, api: Api, name: str, p: Properties) -> Made:
        pages = api("lambda").get_paginator("list_versions_by_function").paginate(FunctionName=p["FunctionName"])
        before = {version["Version"] for page in pages for version in page["Versions"]}
        made = api("lambda").publish_version(FunctionName=p["FunctionName"])
        if made["Version"] in before:
            raise RuntimeError(f"A version for this Lambda function exists ( {made['Version']} ). Modify the function.")
        return Made(made["FunctionArn"], {"Version": made["Version"], "FunctionArn": made["FunctionArn"]})

    def update(self, api: Api, made: Made, p: Properties) -> Made:
        return self.create(api, made.physical, p)

    def delete(self, api: Api, made: Made, p: Properties) -> None:
        api("lambda").delete_function(FunctionName=p["FunctionName"], Qualifier=made.attributes["Version"])


class Alias:
    """AWS::Lambda::Alias."""

    properties = frozenset({"Name", "FunctionName", "FunctionVersion", "ProvisionedConcurrencyConfig"})
    replaces = False

    def create(self, api: Api, name: str, p: Properties) -> Made:
        arn = api("lambda").create_alias(**_some(p, "Name", "FunctionName", "FunctionVersion"))["AliasArn"]
        self._provision(api, p)
        return Made(arn)

    def update(self, api: Api, made: Made, p: Properties) -> Made:
        api("lambda").update_alias(**_some(p, "Name", "FunctionName", "FunctionVersion"))
        self._provision(api, p)
        return made

    def delete(self, api: Api, made: Made, p: Properties) -> None:
        api("lambda").delete_alias(**_some(p, "Name", "FunctionName"))

    def _provision(self, api: Api, p: Properties) -> None:
        if "ProvisionedConcurrencyConfig" in p:
            api("lambda").put_provisioned_concurrency_config(
                FunctionName=p["FunctionName"], Qualifier=p["Name"], **p["ProvisionedConcurrencyConfig"]
            )


class EventInvokeConfig:
    """AWS::Lambda::EventInvokeConfig."""

    properties = frozenset({"FunctionName", "Qualifier", "MaximumRetryAttempts", "MaximumEventAgeInSeconds"})
    replaces = False

    def create(self, api: Api, name: str, p: Properties) -> Made:
        api("lambda").put_function_event_invoke_config(**p)
        return Made(name)

    def update(self, api: Api, made: Made, p: Properties) -> Made:
        return self.create(api, made.physical, p)

    def delete(self, api: Api, made: Made, p: Properties) -> None:
        api("lambda").delete_function_event_invoke_config(**_some(p, "FunctionName", "Qualifier"))


class Permission:
    """AWS::Lambda::Permission; moto keeps the policies of a function and of its alias together."""

    GIVEN = ("Action", "Principal", "SourceAccount", "SourceArn", "FunctionUrlAuthType", "InvokedViaFunctionUrl")
    properties = frozenset({"FunctionName", *GIVEN})
    replaces = True

    def create(self, api: Api, name: str, p: Properties) -> Made:
        api("lambda").add_permission(FunctionName=p["FunctionName"], StatementId=name, **_some(p, *self.GIVEN))
        return Made(name)

    def update(self, api: Api, made: Made, p: Properties) -> Made:
        raise NotImplementedError("a permission is replaced, never changed")

    def delete(self, api: Api, made: Made, p: Properties) -> None:
        api("lambda").remove_permission(FunctionName=p["FunctionName"], StatementId=made.physical)


class Url:
    """AWS::Lambda::Url."""

    properties = frozenset({"TargetFunctionArn", "Qualifier", "AuthType"})
    replaces = False

    def create(self, api: Api, name: str, p: Properties) -> Made:
        made = api("lambda").create_function_url_config(
            FunctionName=p["TargetFunctionArn"], **_some(p, "Qualifier", "AuthType")
        )
        return Made(made["FunctionArn"], {"FunctionUrl": made["FunctionUrl"]})

    def update(self, api: Api, made: Made, p: Properties) -> Made:
        api("lambda").update_function_url_config(
            FunctionName=p["TargetFunctionArn"], **_some(p, "Qualifier", "AuthType")
        )
        return made

    def delete(self, api: Api, made: Made, p: Properties) -> None:
        api("lambda").delete_function_url_config(FunctionName=p["TargetFunctionArn"], **_some(p, "Qualifier"))


class Bucket:
    """AWS::S3::Bucket; its properties are the requests' under slightly other names."""

    properties = frozenset(
        {"BucketName", "BucketEncryption", "PublicAccessBlockConfiguration", "OwnershipControls"}
        | {"LifecycleConfiguration", "NotificationConfiguration", "Tags"}
    )
    replaces = False

    def create(self, api: Api, name: str, p: Properties) -> Made:
        s3, bucket = api("s3"), p["BucketName"]
        region = s3.meta.region_name
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=bucket, **where)
        return self.update(api, Made(bucket, {"Arn": f"arn:aws:s3:::{bucket}"}), p)

    def update(self, api: Api, made: Made, p: Properties) -> Made:
        s3, bucket = api("s3"), made.physical
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": p["Tags"]})
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=_encryption(p))
        blocked = p["PublicAccessBlockConfiguration"]
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=blocked)
        s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=p["OwnershipControls"])
        rules = [_lifecycle_rule(rule) for rule in p["LifecycleConfiguration"]["Rules"]]
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
        notification = _notification(p["NotificationConfiguration"])
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=notification)
        return made

    def delete(self, api: Api, made: Made, p: Properties) -> None:
        api("s3").delete_bucket(Bucket=made.physical)


def _encryption(p: Properties) -> dict[str, Any]:
    rules = p["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    renamed = {"ServerSideEncryptionByDefault": "ApplyServerSideEncryptionByDefault"}
    return {"Rules": [{renamed.get(name, name): value for name, value in rule.items()} for rule in rules]}


def _lifecycle_rule(rule: Properties) -> dict[str, Any]:
    renamed = {"Id": "ID"}
    made = {renamed.get(k, k): v for k, v in rule.items() if k not in ("Prefix", "ExpirationInDays")}
    made["Filter"] = {"Prefix": rule.get("Prefix", "")}
    if "ExpirationInDays" in rule:
        made["Expiration"] = {"Days": rule["ExpirationInDays"]}
    return made


def _notification(p: Properties) -> dict[str, Any]:
    known = {"LambdaConfigurations": ("LambdaFunctionConfigurations", "Function", "LambdaFunctionArn")}
    known["QueueConfigurations"] = ("QueueConfigurations", "Queue", "QueueArn")
    made: dict[str, Any] = {}
    for name, configurations in p.items():
        list_name, target, arn = known[name]
        made[list_name] = [
            {arn: each.pop(target), "Events": [each.pop("Event")], **_filter(each)}
            for each in (dict(configuration) for configuration in configurations)
        ]
    return made


def _filter(rest: dict[str, Any]) -> dict[str, Any]:
    rules = rest.pop("Filter")["S3Key"]["Rules"]
    return {"Filter": {"Key": {"FilterRules": rules}}, **rest}


class BucketPolicy:
    """AWS::S3::BucketPolicy."""

    properties = frozenset({"Bucket", "PolicyDocument"})
    replaces = False

    def create(self, api: Api, name: str, p: Properties) -> Made:
        api("s3").put_bucket_policy(Bucket=p["Bucket"], Policy=json.dumps(p["PolicyDocument"]))
        return Made(p["Bucket"])

    def update(self, api: Api, made: Made, p: Properties) -> Made:
        return self.create(api, made.physical, p)

    def delete(self, api: Api, made: Made, p: Properties) -> None:
        api("s3").delete_bucket_policy(Bucket=p["Bucket"])


KINDS: Mapping[str, Kind] = {
    "AWS::SQS::Queue": Queue(),
    "AWS::SQS::QueuePolicy": QueuePolicy(),
    "AWS::IAM::Role": Role(),
    "AWS::Lambda::LayerVersion": LayerVersion(),
    "AWS::Logs::LogGroup": LogGroup(),
    "AWS::Lambda::Function": Function(),
    "AWS::Lambda::Version": Version(),
    "AWS::Lambda::Alias": Alias(),
    "AWS::Lambda::EventInvokeConfig": EventInvokeConfig(),
    "AWS::Lambda::Permission": Permission(),
    "AWS::Lambda::Url": Url(),
    "AWS::S3::Bucket": Bucket(),
    "AWS::S3::BucketPolicy": BucketPolicy(),
}


def unknown_properties(template: Mapping[str, Any]) -> list[str]:
    """What of a template would be ignored here: types and properties."""
    found = []
    for logical_id, resource in template["Resources"].items():
        kind = KINDS.get(resource["Type"])
        if kind is None:
            found.append(f"{logical_id}: {resource['Type']}")
        else:
            found += [f"{logical_id}.{name}" for name in sorted(set(resource["Properties"]) - kind.properties)]
    return found


def reason_of(error: Exception) -> str:
    """Why a resource could not be made, in CloudFormation's manner."""
    if isinstance(error, ClientError):
        said = error.response["Error"]
        service = error.operation_name
        return f'Resource handler returned message: "{said["Message"]} (Service: {service}, Status Code: 400)"'
    return f'Resource handler returned message: "{error}"'
