"""Whose account it is, and that tests and real keys never meet."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
import logging
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import boto3
import pytest

from serverless_mlperf.errors import InputError, PlatformError
from serverless_mlperf.platforms.aws.session import Aws, open_session
from serverless_mlperf.platforms.aws.stack import Stack

REAL = "AKIAIOSFODNN7EXAMPLE"


def test_account_and_region_are_known(aws: Aws) -> None:
    """They are asked of AWS, and shown with four digits of the account."""
    assert (aws.account, aws.region, aws.partition) == ("123456789012", "us-east-1", "aws")
    assert aws.shown == "account ********9012, region us-east-1"
    assert aws.is_local


@pytest.mark.usefixtures("double")
def test_region_of_the_command_wins() -> None:
    """--region counts more than the environment."""
    assert open_session(region="eu-west-1").client("s3").meta.region_name == "eu-west-1"


def test_requests_are_repeated_with_back_off(aws: Aws) -> None:
    """The mode `standard` with eight tries: a throttled request is not a failure yet."""
    assert aws.client("cloudformation").meta.config.retries == {"mode": "standard", "total_max_attempts": 8}


class Throttling(BaseHTTPRequestHandler):
    """An AWS that has no time."""

    def do_POST(self) -> None:
        """Refuse."""
        body = b"<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>"
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the library
        """Nobody reads it."""


@pytest.fixture
def busy_url() -> Iterator[str]:
    """Where everything is throttled."""
    server = HTTPServer(("127.0.0.1", 0), Throttling)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_throttled_is_told_after_eight_tries(aws: Aws, busy_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each try waits longer, at random, than the one before may; then it is said."""
    waits: list[float] = []
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", busy_url)
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=waits.append))
    with pytest.raises(PlatformError, match=r"throttled \(Throttling\), also after 8 tries with back-off"):
        Stack(aws, "serverless-mlperf", lambda _: None).status()
    assert len(waits) == 7
    assert all(0 <= wait <= min(20, 2**number) for number, wait in enumerate(waits))
    assert sum(waits) > 0


@pytest.mark.usefixtures("no_credentials")
def test_nobody_is_logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials that is said, before anything is sent."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with pytest.raises(InputError, match="no credentials; run `aws configure`"):
        open_session()


@pytest.mark.usefixtures("no_credentials")
def test_no_region_is_known() -> None:
    """Without a region that is said."""
    with pytest.raises(InputError, match="no region; give --region"):
        open_session()


@pytest.mark.usefixtures("no_credentials")
@pytest.mark.parametrize("region", ["nowhere", "us east 1", "us-east-1/..", "US-EAST-1"])
def test_region_must_be_a_name_of_one(region: str) -> None:
    """What cannot be a region is refused, before it becomes part of a host's name."""
    with pytest.raises(InputError, match="not a region's name"):
        open_session(region=region)


@pytest.mark.usefixtures("double")
def test_unknown_profile_is_named() -> None:
    """--profile that no file has."""
    with pytest.raises(InputError, match=r"\(nobody\) could not be found"):
        open_session("nobody")


@pytest.mark.usefixtures("double")
def test_root_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of the root user may do everything, also what this project must not."""
    from moto.sts.responses import TokenResponse

    def root(_: TokenResponse) -> str:
        return (
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:root</Arn>"
            "<UserId>1</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
        )

    monkeypatch.setattr(TokenResponse, "get_caller_identity", root)
    with pytest.raises(InputError, match="root user"):
        open_session()


@pytest.mark.usefixtures("double")
def test_real_keys_are_kept_from_a_test_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server on this host never gets what looks like a real key."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", REAL)
    with pytest.raises(InputError, match="look like real ones"):
        open_session()


@pytest.mark.usefixtures("no_credentials")
def test_test_keys_are_kept_from_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS is never asked with what cannot be a key."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with pytest.raises(InputError, match="these are test credentials"):
        open_session(region="us-east-1")


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("key", [REAL, "testing"])
@pytest.mark.parametrize("url", ["http://192.0.2.1:4566", "https://example.org", "http://sts.us-east-1.amazonaws.com"])
def test_endpoint_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch, url: str, key: str) -> None:
    """An endpoint is AWS's, over TLS, or on this host."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    with pytest.raises(InputError, match="neither AWS's nor on this host"):
        open_session()


@pytest.mark.usefixtures("double")
def test_secrets_are_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Neither the value's repr nor the project's log at its finest has key, secret or token."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "swordfish")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "passepartout")
    with caplog.at_level(logging.DEBUG, "serverless_mlperf"):
        shown = repr(open_session())
    said = shown + "".join(r.getMessage() for r in caplog.records if r.name.startswith("serverless_mlperf"))
    assert [word for word in ("swordfish", "passepartout", "testing") if word in said] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("region", ["us-east-1", "cn-north-1", "us-gov-west-1", "eu-central-2"])
@pytest.mark.parametrize("service", ["s3", "sts", "lambda", "cloudformation", "sqs", "resourcegroupstaggingapi"])
@pytest.mark.usefixtures("no_credentials")
def test_own_endpoints_of_aws_are_known(region: str, service: str) -> None:
    """No endpoint that botocore itself makes up is taken for a stranger's."""
    from serverless_mlperf.platforms.aws.session import _is_aws

    client = boto3.client(  # type: ignore[call-overload]
        service, region_name=region, aws_access_key_id="a", aws_secret_access_key="b"
    )
    assert _is_aws(client.meta.endpoint_url)
