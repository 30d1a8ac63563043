"""Our signer against botocore's."""

import calendar
import time
from urllib.parse import quote

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
import pytest

from serverless_mlperf.platforms.base import Credentials
from serverless_mlperf.transports.sigv4 import Identity, Signer, digested

HOST = "s3.eu-west-1.amazonaws.com"


def _boto(auth: type[SigV4Auth], service: str, token: str | None, request: AWSRequest) -> dict[str, str]:
    credentials = BotoCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", token)
    auth(credentials, service, "eu-west-1").add_auth(request)
    return {name.lower(): str(value) for name, value in request.headers.items()}


def _ours(
    service: str, token: str | None, method: str, path: str, headers: dict[str, str], body: bytes, at: str
) -> str:
    signer = Signer(Identity(Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", token)), "eu-west-1", service)
    now = calendar.timegm(time.strptime(at, "%Y%m%dT%H%M%SZ"))
    return signer.sign(method, HOST, path, headers, body, now)["authorization"]


@pytest.mark.parametrize("token", [None, "session+token="])
@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
@pytest.mark.parametrize("key", ["input/c/r-00000001.json", "imagenet/a b+c~é.jpg"])
def test_s3_signature_is_botocores(method: str, key: str, token: str | None) -> None:
    """Path, headers and signature of S3 requests agree, payload unsigned over https."""
    path = f"/bucket/{quote(key)}"
    request = AWSRequest(method=method, url=f"https://{HOST}{path}", data=b"{}" if method == "PUT" else b"")
    request.context["client_config"] = None
    request.context["payload_signing_enabled"] = False
    request.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
    theirs = _boto(_Unsigned, "s3", token, request)
    ours = _ours("s3", token, method, path, {}, b"{}", theirs["x-amz-date"])
    assert ours == theirs["authorization"]


@pytest.mark.parametrize("token", [None, "session+token="])
def test_sqs_signature_is_botocores(token: str | None) -> None:
    """A queue request is signed with its target, type and body."""
    headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": "AmazonSQS.ReceiveMessage"}
    body = b'{"QueueUrl":"https://sqs/q"}'
    request = AWSRequest(method="POST", url=f"https://{HOST}/", data=body, headers=dict(headers))
    theirs = _boto(SigV4Auth, "sqs", token, request)
    assert _ours("sqs", token, "POST", "/", headers, body, theirs["x-amz-date"]) == theirs["authorization"]


@pytest.mark.parametrize("function", ["serverless-mlperf-x", "serverless-mlperf-x:live"])
def test_lambda_signature_is_botocores(function: str) -> None:
    """An invocation is signed with its headers and body, also when its path holds what is quoted twice."""
    path = f"/2015-03-31/functions/{quote(function, safe='')}/invocations"
    headers = {"x-amz-invocation-type": "RequestResponse", "x-amz-log-type": "Tail"}
    body = b'{"ImageFilenames":["coco/1.jpg"]}'
    request = AWSRequest(method="POST", url=f"https://{HOST}{path}", data=body, headers=dict(headers))
    theirs = _boto(SigV4Auth, "lambda", None, request)
    assert _ours("lambda", None, "POST", path, headers, body, theirs["x-amz-date"]) == theirs["authorization"]


def test_known_digest_gives_the_same_signature() -> None:
    """A body whose digest was computed before is signed like the body."""
    signer = Signer(Identity(Credentials("AKID", "secret")), "us-east-1", "lambda")
    plain, known = (signer.sign("POST", HOST, "/p", {}, body, 0.0) for body in (b"body", digested(b"body")))
    assert plain == known


def test_signing_key_follows_the_day() -> None:
    """The cached key is derived anew when the date changes, and reused within it."""
    signer = Signer(Identity(Credentials("AKID", "secret")), "us-east-1", "s3")
    first, again, next_day = (
        signer.sign("GET", HOST, "/b/k", {}, b"", now)["authorization"] for now in (0.0, 0.0, 86400.0)
    )
    assert first == again != next_day
    assert "19700102" in next_day


def test_secrets_do_not_show() -> None:
    """A repr in a log holds neither secret nor token."""
    shown = repr(Credentials("AKID", "very-secret", "very-token"))
    assert "AKID" in shown
    assert "very" not in shown


class _Unsigned(S3SigV4Auth):
    def payload(self, request: AWSRequest) -> str:  # noqa: ARG002 - botocore's name
        return "UNSIGNED-PAYLOAD"
