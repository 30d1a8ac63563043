"""The IAM policy of who deploys and measures: a person, or the role of a continuous integration."""

from importlib import resources
from typing import Final

from serverless_mlperf.platforms.aws.spec import PROJECT

FILE: Final = "deploy_policy.json"


def deploy_policy(project: str = PROJECT) -> str:
    """The policy's JSON for a project: every resource that can be named begins with it."""
    return resources.files(__package__).joinpath(FILE).read_text().replace(PROJECT, project)
