"""Presigned URLs of boto3 and the `aws` command: taken until they expire."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from local_server import aws, client, raw

BODY = b"content"


def path_of(url: str) -> str:
    """Path and query of a URL."""
    return "/" + url.split("/", 3)[3]


def signed(begun: datetime, expires: object = 60, **changes: str | None) -> str:
    """The query of a version 4 signature."""
    fields: dict[str, Any] = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": "test/20260101/us-east-1/s3/aws4_request",
        "X-Amz-Date": begun.strftime("%Y%m%dT%H%M%SZ"), "X-Amz-Expires": expires, "X-Amz-SignedHeaders": "host",
        "X-Amz-Signature": "0" * 64,
    }  # fmt: skip
    fields |= {f"X-Amz-{name}": value for name, value in changes.items()}
    return urlencode({name: value for name, value in fields.items() if value is not None})


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_presigned_urls_work(s3_url: str, bucket: str, version: str) -> None:
    """PUT, GET with an override, HEAD and DELETE by URL alone, in both versions of the signature."""
    signer = client("s3", s3_url, signature_version=version)
    try:
        parameters = {"Bucket": bucket, "Key": "a b+ü"}

        def url(operation: str, **more: str) -> str:
            return path_of(signer.generate_presigned_url(operation, Params={**parameters, **more}, ExpiresIn=60))

        assert raw(s3_url, "PUT", url("put_object"), BODY).status == 200
        got = raw(s3_url, "GET", url("get_object", ResponseContentType="x/y"))
        assert (got.status, got.body, got.headers["content-type"]) == (200, BODY, "x/y")
        assert raw(s3_url, "HEAD", url("head_object")).headers["content-length"] == str(len(BODY))
        assert raw(s3_url, "DELETE", url("delete_object")).status == 204
        assert raw(s3_url, "GET", url("get_object")).code == "NoSuchKey"
        listing = path_of(signer.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket}, ExpiresIn=60))
        assert b"<KeyCount>0</KeyCount>" in raw(s3_url, "GET", listing).body
    finally:
        signer.close()


def test_aws_presign_gives_a_working_url(s3_url: str, s3: Any, bucket: str, tmp_path: Path) -> None:
    """`aws s3 presign` of an object can be fetched without credentials."""
    s3.put_object(Bucket=bucket, Key="k", Body=BODY)
    done = aws(s3_url, "s3", "presign", f"s3://{bucket}/k", "--expires-in", "60", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert raw(s3_url, "GET", path_of(done.stdout.strip())).body == BODY


def test_expired_url_is_refused(s3_url: str, s3: Any, bucket: str) -> None:
    """After its time a URL is AccessDenied, `Request has expired`; before its time too."""
    s3.put_object(Bucket=bucket, Key="k", Body=BODY)
    now = datetime.now(UTC)
    late = raw(s3_url, "GET", f"/{bucket}/k?{signed(now - timedelta(seconds=90))}")
    assert (late.status, late.code) == (403, "AccessDenied")
    assert b"<Message>Request has expired</Message>" in late.body
    early = raw(s3_url, "GET", f"/{bucket}/k?{signed(now + timedelta(hours=1))}")
    assert (early.status, early.code) == (403, "AccessDenied")
    old = urlencode({"AWSAccessKeyId": "t", "Signature": "x", "Expires": int(now.timestamp()) - 5})
    assert raw(s3_url, "GET", f"/{bucket}/k?{old}").code == "AccessDenied"
    assert raw(s3_url, "GET", f"/{bucket}/k?{signed(now - timedelta(seconds=30))}").body == BODY


@pytest.mark.parametrize(
    "change",
    [{"Signature": None}, {"Date": "yesterday"}, {"Expires": "soon"}, {"Expires": "-1"}, {"Expires": "604801"},
     {"Algorithm": "HS256"}, {"Credential": "test"}],
)  # fmt: skip
def test_damaged_signature_is_refused(s3_url: str, bucket: str, change: dict[str, str | None]) -> None:
    """Missing and impossible parameters are S3's AuthorizationQueryParametersError."""
    answer = raw(s3_url, "GET", f"/{bucket}/k?{signed(datetime.now(UTC), **change)}")
    assert (answer.status, answer.code) == (400, "AuthorizationQueryParametersError")


def test_parameters_can_stand_for_headers(s3_url: str, s3: Any, bucket: str) -> None:
    """Some SDKs move x-amz- headers into the URL: metadata and checksums count from there."""
    given = {"x-amz-meta-colour": "red", "x-amz-checksum-crc32": "AAAAAA==", "x-amz-sdk-checksum-algorithm": "CRC32"}
    path = f"/{bucket}/k?{signed(datetime.now(UTC))}&{urlencode(given)}&x-id=PutObject"
    assert raw(s3_url, "PUT", path, BODY).code == "BadDigest"
    assert raw(s3_url, "PUT", path, b"").status == 200
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {"colour": "red"}
