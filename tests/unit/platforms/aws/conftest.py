"""AWS in this process, empty for every test, with the credentials that open it."""

from collections.abc import Iterator
from pathlib import Path

from aws_double import AwsDouble, running
import pytest

from serverless_mlperf.platforms.aws.session import Aws, open_session


@pytest.fixture(scope="session")
def double_server() -> Iterator[AwsDouble]:
    """The server, shared."""
    with running() as double:
        yield double


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A host on which nobody has ever logged in to AWS."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def double(double_server: AwsDouble, no_credentials: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsDouble]:
    """The server with nothing in it; boto3's own chain finds it."""
    del no_credentials  # the host's own are not looked at
    monkeypatch.setenv("AWS_ENDPOINT_URL", double_server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    double_server.reset()
    yield double_server
    double_server.cloudformation.join()


@pytest.fixture
def aws(double: AwsDouble) -> Aws:
    """The account as the project opens it."""
    del double  # it must be there
    return open_session()
