"""The local platform's SQS and moto's, asked the same: same answers, but where moto is not as SQS is."""

from contextlib import closing
from pathlib import Path

from parity_script import Differences, Told, assert_differs, assert_same
import pytest
from sqs_script import run

from local_server import client

DIFFERENCES: Differences = {
    "create, wrong value": ((400, "InvalidAttributeValue"), "moto takes it; API_CreateQueue, errors"),
    "create, wrong attribute": ((400, "InvalidAttributeName"), "moto takes it; API_CreateQueue, errors"),
    "set wrong value": ((400, "InvalidAttributeValue"), "moto takes it; API_SetQueueAttributes, errors"),
    "set wrong attribute": ((400, "InvalidAttributeName"), "moto takes it; API_SetQueueAttributes, errors"),
    "hide deleted": (
        (400, "InvalidParameterValue"),
        "moto calls the handle invalid; it is one, of a message that is not there any more",
    ),
    "send nothing": ((400, "MissingParameter"), "moto takes it; API_SendMessage: at least one character"),
    "send what XML cannot hold": ((400, "InvalidMessageContents"), "moto takes it; API_SendMessage, errors"),
    "redrive to absent": (
        (400, "InvalidParameterValue"),
        "moto says that the queue of the request does not exist, which it does",
    ),
}
"""Call -> what the platform tells, and why it is not moto's answer; pages of SQS's API reference."""


def answers(url: str, folder: Path) -> Told:
    """What the script was told by a server."""
    with closing(client("sqs", url, parameter_validation=False)) as sqs:
        return run(sqs, url, folder)


@pytest.fixture(scope="module")
def told(s3_url: str, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What the platform told."""
    return answers(s3_url, tmp_path_factory.mktemp("platform"))


@pytest.fixture(scope="module")
def moto_told(moto_url: str, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What moto told."""
    return answers(moto_url, tmp_path_factory.mktemp("moto"))


def test_same_calls_tell_the_same(told: Told, moto_told: Told) -> None:
    """Status, code and fields of every call are moto's, but for the calls in the table."""
    assert len(told) > 60
    assert_same(told, moto_told, DIFFERENCES)


@pytest.mark.parametrize("name", DIFFERENCES)
def test_difference_is_as_documented(told: Told, moto_told: Told, name: str) -> None:
    """Where the table says that moto is wrong, the platform tells what the page says, and moto something else."""
    assert_differs(told, moto_told, name, DIFFERENCES[name])
