"""Who may talk to the local server, and how a token is kept."""

import asyncio
import json
from pathlib import Path

import boto3
from botocore.client import Config
from botocore.exceptions import ClientError
import pytest

from local_server import CREDENTIALS, PLATFORM, client, raw, serving
from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.local.access import TOKEN_VARIABLE, Access, access_of
from serverless_mlperf.platforms.local.runtime_api import RuntimeApi

TOKEN = "a-token-of-the-tests"


@pytest.mark.parametrize(
    ("headers", "served"),
    [
        ({"host": "127.0.0.1:4566"}, True),
        ({"host": "bucket.localhost:4566", "origin": "http://localhost:3000", "sec-fetch-site": "cross-site"}, True),
        ({"host": "rebound.example:4566"}, False),
        ({"host": "127.0.0.1:4566", "origin": "https://page.example"}, False),
        ({"host": "127.0.0.1:4566", "origin": "null"}, False),
        ({"host": "127.0.0.1:4566", "sec-fetch-site": "cross-site"}, False),
        ({"host": "127.0.0.1:4566", "sec-fetch-site": "none"}, True),
        ({"host": "[broken"}, False),
    ],
)
def test_pages_of_other_sites_are_refused(headers: dict[str, str], served: bool) -> None:
    """By a foreign Host (DNS rebinding), a foreign Origin, or the browser's word that it is cross-site."""
    assert (Access().refusal(headers, "/") is None) == served


@pytest.mark.parametrize(
    ("headers", "target", "served"),
    [
        ({}, "/", False),
        ({"authorization": f"Bearer {TOKEN}"}, "/", True),
        ({"authorization": f"Bearer {TOKEN}x"}, "/", False),
        ({"authorization": f"AWS4-HMAC-SHA256 Credential={TOKEN}/20260101/x/s3/aws4_request"}, "/", True),
        ({"authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/x/s3/aws4_request"}, "/", False),
        ({}, f"/b/k?X-Amz-Credential={TOKEN}%2F20260101%2Fx%2Fs3%2Faws4_request", True),
        ({"authorization": f"Bearer {TOKEN}", "origin": "https://page.example"}, "/", False),
        ({"authorization": f"Bearer {TOKEN}", "host": "bench.example"}, "/", True),
        ({"authorization": "Bearer \xe9"}, "/", False),
    ],
)
def test_token_is_asked_of_every_request(headers: dict[str, str], target: str, served: bool) -> None:
    """As access key id, also of a presigned URL, or as a bearer token; whoever has it may use any Host."""
    assert (Access("0.0.0.0", TOKEN).refusal(headers, target) is None) == served  # noqa: S104


def test_token_beyond_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One is taken from the environment or a file, which is made for us alone; else one is made and told once."""
    assert access_of("127.0.0.1", None, 0) == Access()
    made = access_of("0.0.0.0", None, 0)  # noqa: S104
    assert made.token is not None
    assert made.token in capsys.readouterr().err
    file = tmp_path / "token"
    kept = access_of("127.0.0.1", file, 0).token
    assert (file.stat().st_mode & 0o777, file.read_text(), access_of("::", file, 0).token) == (0o600, kept, kept)
    file.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        access_of("127.0.0.1", file, 0)
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert access_of("192.0.2.1", None, 4566).addresses == ("127.0.0.1", "192.0.2.1")
    with pytest.raises(InputError, match="give a --port"):
        access_of("192.0.2.1", None, 0)
    monkeypatch.setenv(TOKEN_VARIABLE, "short")
    with pytest.raises(InputError, match="16 to 128"):
        access_of("127.0.0.1", None, 0)


def test_clients_send_the_token_as_access_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with a token serves boto3 that has it, also presigned, and refuses everybody else."""
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    with serving(*PLATFORM) as url:
        config = Config(s3={"addressing_style": "path"})
        s3 = boto3.client("s3", endpoint_url=url, config=config, **{**CREDENTIALS, "aws_access_key_id": TOKEN})  # type: ignore[call-overload]
        s3.create_bucket(Bucket="mine")
        s3.put_object(Bucket="mine", Key="k", Body=b"x")
        presigned = s3.generate_presigned_url("get_object", {"Bucket": "mine", "Key": "k"})
        assert raw(url, "GET", presigned.removeprefix(url)).body == b"x"
        s3.close()
        other = client("s3", url)
        with pytest.raises(ClientError, match="403"):
            other.get_object(Bucket="mine", Key="k")
        other.close()
        assert raw(url, "GET", "/_platform/status").status == 403
        status = raw(url, "GET", "/_platform/status", headers={"Authorization": f"Bearer {TOKEN}"})
        assert json.loads(status.body)["executor"]["uid"] != 0


class Idle:
    """A runtime that nobody asks."""

    def on_next(self) -> bool:
        """Not asked."""
        return False

    def on_response(self, request_id: str, body: bytes, error_type: str | None, too_large: bool) -> bool:  # noqa: ARG002
        """Not asked."""
        return False

    def on_init_error(self, body: bytes) -> None:
        """Not asked."""


@pytest.mark.parametrize(
    "header", ["Host: rebound.example", "Origin: https://page.example", "Sec-Fetch-Site: cross-site"]
)
def test_runtime_api_refuses_pages(header: str) -> None:
    """A page in a browser can neither take an environment's invocation nor answer it."""

    async def scenario() -> bytes:
        api = RuntimeApi(Idle())
        reader, writer = await asyncio.open_connection("127.0.0.1", await api.open())
        writer.write(f"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n{header}\r\n\r\n".encode())
        line = await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        await api.close()
        return line

    assert b" 400 " in asyncio.run(scenario())
