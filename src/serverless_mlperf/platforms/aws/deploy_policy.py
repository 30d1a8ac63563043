"""The IAM policy of who deploys and measures: a person, or the role of a continuous integration."""

from importlib import resources
from typing import Final

from serverless_mlperf.platforms.aws.spec import PROJECT

FILE: Final = "deploy_policy.json"


def deploy_policy(project: str = PROJECT, partition: str = "aws") -> str:
    """The policy's JSON for a project: every resource that can be named begins with it."""
    text = resources.files(__package__).joinpath(FILE).read_text()
    return text.replace(PROJECT, project).replace("arn:aws:", f"arn:{partition}:")
