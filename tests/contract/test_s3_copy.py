"""Copies within and between buckets."""

from datetime import timedelta
import hashlib
import os
from typing import Any

import pytest

from local_server import raw, refusal

BODY = b"content" * 100
PART = 5 << 20


@pytest.fixture
def source(s3: Any, bucket: str) -> dict[str, str]:
    """An object with metadata, tags and a SHA-256."""
    s3.put_object(
        Bucket=bucket, Key="from", Body=BODY, ContentType="a/b", Metadata={"m": "1"}, Tagging="t=1",
        ChecksumAlgorithm="SHA256", StorageClass="STANDARD_IA",
    )  # fmt: skip
    return {"Bucket": bucket, "Key": "from"}


def test_copy_takes_everything_but_the_storage_class(s3: Any, bucket: str, source: dict[str, str]) -> None:
    """Bytes, ETag, metadata, tags and checksum come along; the class is STANDARD unless asked for."""
    copied = s3.copy_object(Bucket=bucket, Key="to", CopySource=source)["CopyObjectResult"]
    head = s3.head_object(Bucket=bucket, Key="to", ChecksumMode="ENABLED")
    original = s3.head_object(Bucket=bucket, Key="from", ChecksumMode="ENABLED")
    assert copied["ETag"] == head["ETag"] == original["ETag"]
    assert copied["ChecksumSHA256"] == head["ChecksumSHA256"] == original["ChecksumSHA256"]
    assert (head["Metadata"], head["ContentType"], head["TagCount"]) == ({"m": "1"}, "a/b", 1)
    assert "StorageClass" not in head
    with s3.get_object(Bucket=bucket, Key="to")["Body"] as body:
        assert body.read() == BODY


def test_copy_can_replace_the_description(s3: Any, bucket: str, source: dict[str, str]) -> None:
    """With REPLACE, metadata and tags are the request's; another checksum is computed on demand."""
    replaced = {"MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE"}
    done = s3.copy_object(
        Bucket=bucket, Key="to", CopySource=source, Metadata={"n": "2"}, Tagging="u=2&v=3", ChecksumAlgorithm="CRC32",
        **replaced,
    )  # fmt: skip
    head = s3.head_object(Bucket=bucket, Key="to")
    assert (head["Metadata"], head["ContentType"], head["TagCount"]) == ({"n": "2"}, "binary/octet-stream", 2)
    assert "ChecksumCRC32" in done["CopyObjectResult"]
    assert refusal(s3.copy_object, Bucket=bucket, Key="to", CopySource=source, MetadataDirective="MERGE") == (
        400, "InvalidArgument",
    )  # fmt: skip


def test_copy_of_what_is_absent(s3: Any, bucket: str) -> None:
    """A missing source is NoSuchKey or NoSuchBucket, a source that names no object InvalidArgument."""
    copy = {"Bucket": bucket, "Key": "to"}
    assert refusal(s3.copy_object, CopySource={"Bucket": bucket, "Key": "no"}, **copy) == (404, "NoSuchKey")
    assert refusal(s3.copy_object, CopySource={"Bucket": "absent-bucket", "Key": "no"}, **copy) == (404, "NoSuchBucket")
    assert refusal(s3.copy_object, CopySource="just-a-bucket", **copy) == (400, "InvalidArgument")


def test_copy_onto_itself_must_change_something(s3: Any, bucket: str, source: dict[str, str]) -> None:
    """Without a change InvalidRequest; with other metadata or a storage class it is done."""
    itself = {"Bucket": bucket, "Key": "from", "CopySource": source}
    assert refusal(s3.copy_object, **itself) == (400, "InvalidRequest")
    s3.copy_object(**itself, MetadataDirective="REPLACE", Metadata={"x": "y"})
    assert s3.head_object(Bucket=bucket, Key="from")["Metadata"] == {"x": "y"}
    s3.copy_object(**itself, StorageClass="STANDARD_IA")
    assert s3.head_object(Bucket=bucket, Key="from")["StorageClass"] == "STANDARD_IA"


def test_conditions_on_the_source(s3: Any, bucket: str, source: dict[str, str]) -> None:
    """What does not hold of the source is 412, whichever condition it is."""
    head = s3.head_object(Bucket=bucket, Key="from")
    etag, written = head["ETag"], head["LastModified"]
    copy = {"Bucket": bucket, "Key": "to", "CopySource": source}
    failed = (412, "PreconditionFailed")
    assert refusal(s3.copy_object, CopySourceIfMatch='"other"', **copy) == failed
    assert refusal(s3.copy_object, CopySourceIfNoneMatch=etag, **copy) == failed
    assert refusal(s3.copy_object, CopySourceIfModifiedSince=written, **copy) == failed
    assert refusal(s3.copy_object, CopySourceIfUnmodifiedSince=written - timedelta(days=1), **copy) == failed
    assert refusal(s3.head_object, Bucket=bucket, Key="to") == (404, "404")
    s3.copy_object(CopySourceIfMatch=etag, CopySourceIfUnmodifiedSince=written - timedelta(days=1), **copy)


def test_conditions_on_the_destination(s3: Any, bucket: str, source: dict[str, str]) -> None:
    """If-None-Match and If-Match are about the object that the copy would replace."""
    copy = {"Bucket": bucket, "Key": "to", "CopySource": source}
    s3.copy_object(IfNoneMatch="*", **copy)
    assert refusal(s3.copy_object, IfNoneMatch="*", **copy) == (412, "PreconditionFailed")
    assert refusal(s3.copy_object, IfMatch='"other"', **copy) == (412, "PreconditionFailed")


def test_owner_of_the_source_is_checked(s3: Any, bucket: str, source: dict[str, str]) -> None:
    """A source of somebody else's is not copied."""
    copy = {"Bucket": bucket, "Key": "to", "CopySource": source, "ExpectedSourceBucketOwner": "111111111111"}
    assert refusal(s3.copy_object, **copy) == (403, "AccessDenied")


def test_copy_of_an_object_in_parts_is_one_object(s3: Any, bucket: str) -> None:
    """The copy has the MD5 of its bytes as ETag and a checksum of the whole."""
    body = os.urandom(PART + 1)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="from", ChecksumAlgorithm="CRC32")["UploadId"]
    common = {"Bucket": bucket, "Key": "from", "UploadId": upload}
    parts = []
    for number, piece in ((1, body[:PART]), (2, body[PART:])):
        done = s3.upload_part(PartNumber=number, Body=piece, ChecksumAlgorithm="CRC32", **common)
        parts.append({"PartNumber": number, "ETag": done["ETag"], "ChecksumCRC32": done["ChecksumCRC32"]})
    s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **common)
    s3.copy_object(Bucket=bucket, Key="to", CopySource={"Bucket": bucket, "Key": "from"})
    head = s3.head_object(Bucket=bucket, Key="to", ChecksumMode="ENABLED")
    assert head["ETag"] == f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
    assert head["ChecksumType"] == "FULL_OBJECT"
    assert "-" not in head["ChecksumCRC32"]


def test_part_can_be_copied(s3: Any, bucket: str) -> None:
    """UploadPartCopy takes the whole source or an exact range of it."""
    body = os.urandom(PART + 1000)
    s3.put_object(Bucket=bucket, Key="from", Body=body)
    source = {"Bucket": bucket, "Key": "from"}
    upload = s3.create_multipart_upload(Bucket=bucket, Key="to")["UploadId"]
    common = {"Bucket": bucket, "Key": "to", "UploadId": upload}
    ranges: tuple[tuple[int, dict[str, str]], ...] = ((1, {}), (2, {"CopySourceRange": "bytes=10-19"}))
    etags = [
        s3.upload_part_copy(PartNumber=n, CopySource=source, **given, **common)["CopyPartResult"]["ETag"]
        for n, given in ranges
    ]
    parts = [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(etags, 1)]
    s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **common)
    with s3.get_object(Bucket=bucket, Key="to")["Body"] as content:
        assert content.read() == body + body[10:20]


@pytest.mark.parametrize("wanted", ["bytes=0-100", "bytes=5-1", "bytes=0-", "bytes=-5", "0-1"])
def test_wrong_range_of_a_copied_part(s3: Any, s3_url: str, bucket: str, wanted: str) -> None:
    """A range that is not whole or not inside is InvalidArgument."""
    s3.put_object(Bucket=bucket, Key="from", Body=b"x" * 100)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="to")["UploadId"]
    headers = {"x-amz-copy-source": f"{bucket}/from", "x-amz-copy-source-range": wanted}
    answer = raw(s3_url, "PUT", f"/{bucket}/to?partNumber=1&uploadId={upload}", headers=headers)
    assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_plus_in_a_source_is_a_plus(s3: Any, s3_url: str, bucket: str) -> None:
    """The source's name is percent-coded: a plus sign stands for itself."""
    s3.put_object(Bucket=bucket, Key="a+b c", Body=b"1")
    answer = raw(s3_url, "PUT", f"/{bucket}/to", headers={"x-amz-copy-source": f"/{bucket}/a+b%20c?versionId=null"})
    assert answer.status == 200, answer.body
