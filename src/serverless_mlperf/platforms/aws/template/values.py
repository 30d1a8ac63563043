"""The few intrinsic functions of CloudFormation that the template uses, and the tags of everything that takes them."""

from typing import Any, Final

from serverless_mlperf.platforms.aws.spec import TAG, StackSpec

ACCOUNT: Final = {"Ref": "AWS::AccountId"}


def sub(text: str) -> dict[str, str]:
    """Text with `${AWS::AccountId}` and the like filled in where the stack is made."""
    return {"Fn::Sub": text}


def attribute(logical_id: str, name: str) -> dict[str, list[str]]:
    """What a resource of the template tells of itself."""
    return {"Fn::GetAtt": [logical_id, name]}


def arn_of(logical_id: str) -> dict[str, list[str]]:
    """A resource's ARN."""
    return attribute(logical_id, "Arn")


def tags(spec: StackSpec) -> list[dict[str, Any]]:
    """By which everything of ours is found again."""
    return [{"Key": TAG, "Value": spec.project}]
