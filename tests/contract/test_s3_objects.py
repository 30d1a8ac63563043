"""Objects as boto3 puts, gets, describes and deletes them."""

from datetime import UTC, datetime, timedelta
import hashlib
from typing import Any

import pytest

from local_server import raw, refusal

BODY = bytes(range(256)) * 4


def read(answer: dict[str, Any]) -> bytes:
    """The body of a GET, closed."""
    with answer["Body"] as body:
        return bytes(body.read())


def test_object_comes_back_with_its_description(s3: Any, bucket: str) -> None:
    """Bytes, ETag, times, metadata and system headers come back from GET and HEAD alike."""
    given: dict[str, Any] = {
        "CacheControl": "max-age=5", "ContentDisposition": "inline", "ContentEncoding": "gzip", "ContentLanguage": "de",
        "ContentType": "image/png", "Expires": datetime(2030, 1, 1, tzinfo=UTC), "Metadata": {"a": "1", "b-c": "2"},
        "StorageClass": "STANDARD_IA", "ServerSideEncryption": "AES256", "WebsiteRedirectLocation": "/other",
    }  # fmt: skip
    put = s3.put_object(Bucket=bucket, Key="k", Body=BODY, **given)
    got, head = s3.get_object(Bucket=bucket, Key="k"), s3.head_object(Bucket=bucket, Key="k")
    assert read(got) == BODY
    assert put["ETag"] == got["ETag"] == head["ETag"] == f'"{hashlib.md5(BODY, usedforsecurity=False).hexdigest()}"'
    for answer in (got, head):
        assert {name: answer[name] for name in given if name != "Expires"} == {
            name: value for name, value in given.items() if name != "Expires"
        }
        assert answer["ExpiresString"] == "Tue, 01 Jan 2030 00:00:00 GMT"
        assert answer["ContentLength"] == len(BODY)
        assert datetime.now(UTC) - answer["LastModified"] < timedelta(minutes=1)


def test_defaults_of_a_bare_object(s3: Any, bucket: str) -> None:
    """An object without headers is a binary stream of the standard class, which is not named."""
    s3.put_object(Bucket=bucket, Key="empty")
    got = s3.get_object(Bucket=bucket, Key="empty")
    assert read(got) == b""
    assert (got["ContentType"], got["ContentLength"], got["Metadata"]) == ("binary/octet-stream", 0, {})
    assert "StorageClass" not in got
    assert got["AcceptRanges"] == "bytes"


@pytest.mark.parametrize(
    "key",
    ["a b", "a+b", "100%", "%2F", "a//b", "/lead", "//", "../up", "a/../b", "a/./b", "äöü/日本", "😀", "q?x=1&y#z",
     "'\"<>&", "tab\tline\n", "trail/", "~!@$^*(){}[]|\\:;,.", "k" * 1024, "ü" * 512],
)  # fmt: skip
def test_odd_key_is_kept(s3: Any, bucket: str, key: str) -> None:
    """A key of any characters names the object in GET, copy, listings of both versions, and delete."""
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert read(s3.get_object(Bucket=bucket, Key=key)) == key.encode()
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"]] == [key]
    assert [o["Key"] for o in s3.list_objects(Bucket=bucket, Prefix=key[:1])["Contents"]] == [key]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    assert read(s3.get_object(Bucket=bucket, Key="copy")) == key.encode()
    s3.delete_object(Bucket=bucket, Key=key)
    assert refusal(s3.get_object, Bucket=bucket, Key=key) == (404, "NoSuchKey")


def test_too_long_key_is_refused(s3: Any, bucket: str) -> None:
    """1,025 bytes are one too many, in characters of one byte or two."""
    for key in ("k" * 1025, "ü" * 513):
        assert refusal(s3.put_object, Bucket=bucket, Key=key, Body=b"") == (400, "KeyTooLongError")


def test_metadata_has_a_limit(s3: Any, bucket: str) -> None:
    """Names and values of 2 KB together are taken, a byte more is not."""
    s3.put_object(Bucket=bucket, Key="k", Metadata={"n": "v" * 2047})
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Metadata={"n": "v" * 2048}) == (400, "MetadataTooLarge")


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [("bytes=5-9", 5, 9), ("bytes=1000-", 1000, 1023), ("bytes=-3", 1021, 1023), ("bytes=1000-99999", 1000, 1023),
     ("bytes=-99999", 0, 1023), ("bytes=0-0", 0, 0), ("bytes=5-99999999999999999999999999", 5, 1023)],
)  # fmt: skip
def test_range_gives_those_bytes(s3: Any, bucket: str, wanted: str, first: int, last: int) -> None:
    """A range is answered with 206, its bytes and where they are; HEAD says the same."""
    s3.put_object(Bucket=bucket, Key="k", Body=BODY)
    got = s3.get_object(Bucket=bucket, Key="k", Range=wanted)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert (read(got), got["ContentRange"]) == (BODY[first : last + 1], f"bytes {first}-{last}/1024")
    head = s3.head_object(Bucket=bucket, Key="k", Range=wanted)
    assert (head["ContentLength"], head["ResponseMetadata"]["HTTPStatusCode"]) == (last + 1 - first, 206)


@pytest.mark.parametrize("wanted", ["bytes=1024-", "bytes=5000-6000", "bytes=-0"])
def test_range_beyond_the_end_is_refused(s3: Any, s3_url: str, bucket: str, wanted: str) -> None:
    """A range without any byte is 416 InvalidRange with the size; HEAD is 416 without a body."""
    s3.put_object(Bucket=bucket, Key="k", Body=BODY)
    answer = raw(s3_url, "GET", f"/{bucket}/k", headers={"Range": wanted})
    assert (answer.status, answer.code) == (416, "InvalidRange")
    assert b"<ActualObjectSize>1024</ActualObjectSize>" in answer.body
    assert f"<RangeRequested>{wanted}</RangeRequested>".encode() in answer.body
    assert refusal(s3.head_object, Bucket=bucket, Key="k", Range=wanted) == (416, "416")


@pytest.mark.parametrize("wanted", ["bytes=0-1,5-6", "bytes=9-5", "items=0-1", "bytes=-", "bytes=a-b"])
def test_range_that_is_none_gives_the_whole(s3_url: str, s3: Any, bucket: str, wanted: str) -> None:
    """Several ranges and nonsense are answered with the whole object and 200."""
    s3.put_object(Bucket=bucket, Key="k", Body=BODY)
    answer = raw(s3_url, "GET", f"/{bucket}/k", headers={"Range": wanted})
    assert (answer.status, answer.body) == (200, BODY)


def test_if_range_of_another_object_gives_the_whole(s3_url: str, s3: Any, bucket: str) -> None:
    """A range of an object that has changed meanwhile is not served."""
    etag = s3.put_object(Bucket=bucket, Key="k", Body=BODY)["ETag"]
    for tag, status in ((etag, 206), ('"other"', 200)):
        answer = raw(s3_url, "GET", f"/{bucket}/k", headers={"Range": "bytes=0-1", "If-Range": tag})
        assert answer.status == status


def test_whole_object_is_its_first_part(s3: Any, bucket: str) -> None:
    """Part 1 of an object that was put at once is all of it, with 206; there is no part 2."""
    s3.put_object(Bucket=bucket, Key="k", Body=BODY)
    got = s3.get_object(Bucket=bucket, Key="k", PartNumber=1)
    assert (read(got), got["ContentRange"]) == (BODY, "bytes 0-1023/1024")
    assert "PartsCount" not in got
    assert refusal(s3.get_object, Bucket=bucket, Key="k", PartNumber=2) == (416, "InvalidPartNumber")
    both = {"PartNumber": 1, "Range": "bytes=0-1"}
    assert refusal(s3.get_object, Bucket=bucket, Key="k", **both) == (400, "InvalidRequest")


def test_answers_can_override_headers(s3: Any, s3_url: str, bucket: str) -> None:
    """`response-*` parameters replace headers of the answer; what no header can carry is refused."""
    s3.put_object(Bucket=bucket, Key="k", Body=BODY, ContentType="text/plain")
    got = s3.get_object(Bucket=bucket, Key="k", ResponseContentType="a/b", ResponseContentDisposition='x; n="é"')
    assert (got["ContentType"], got["ContentDisposition"]) == ("a/b", 'x; n="é"')
    got["Body"].close()
    for value in ("a%0d%0ax-injected:%20yes", "%E6%97%A5"):
        answer = raw(s3_url, "GET", f"/{bucket}/k?response-content-type={value}")
        assert (answer.status, answer.code) == (400, "InvalidArgument")
        assert "x-injected" not in answer.headers


def test_read_conditions(s3: Any, bucket: str) -> None:
    """ETags and dates decide between 200, 304 and 412; an ETag outranks a date."""
    etag = s3.put_object(Bucket=bucket, Key="k", Body=BODY)["ETag"]
    written = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    before, after = written - timedelta(days=1), written
    fine: list[dict[str, Any]] = [
        {"IfMatch": etag}, {"IfMatch": "*"}, {"IfMatch": f'"other", {etag}'}, {"IfMatch": etag.strip('"')},
        {"IfNoneMatch": '"other"'}, {"IfModifiedSince": before}, {"IfUnmodifiedSince": after},
        {"IfMatch": etag, "IfUnmodifiedSince": before}, {"IfNoneMatch": '"other"', "IfModifiedSince": after},
    ]  # fmt: skip
    not_modified: list[dict[str, Any]] = [
        {"IfNoneMatch": etag}, {"IfNoneMatch": "*"}, {"IfModifiedSince": after},
        {"IfNoneMatch": etag, "IfModifiedSince": before},
    ]  # fmt: skip
    failed: list[dict[str, Any]] = [{"IfMatch": '"other"'}, {"IfUnmodifiedSince": before}]
    for conditions in fine:
        s3.head_object(Bucket=bucket, Key="k", **conditions)
    for call in (s3.get_object, s3.head_object):
        for conditions in not_modified:
            assert refusal(call, Bucket=bucket, Key="k", **conditions) == (304, "304")
    for conditions in failed:
        assert refusal(s3.get_object, Bucket=bucket, Key="k", **conditions) == (412, "PreconditionFailed")
        assert refusal(s3.head_object, Bucket=bucket, Key="k", **conditions) == (412, "412")


def test_not_modified_has_validators_and_no_body(s3: Any, s3_url: str, bucket: str) -> None:
    """304 carries ETag and Last-Modified, neither body nor content-length; a damaged date is ignored."""
    etag = s3.put_object(Bucket=bucket, Key="k", Body=BODY)["ETag"]
    answer = raw(s3_url, "GET", f"/{bucket}/k", headers={"If-None-Match": etag})
    assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
    assert "last-modified" in answer.headers
    assert "content-length" not in answer.headers
    assert raw(s3_url, "GET", f"/{bucket}/k", headers={"If-Modified-Since": "yesterday"}).status == 200


def test_write_conditions(s3: Any, bucket: str) -> None:
    """If-None-Match: * writes what is not there, If-Match what is as expected; both fail with S3's codes."""
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    put = {"Bucket": bucket, "Body": b"2"}
    assert refusal(s3.put_object, Key="k", IfNoneMatch="*", **put) == (412, "PreconditionFailed")
    assert refusal(s3.put_object, Key="k", IfMatch='"other"', **put) == (412, "PreconditionFailed")
    assert refusal(s3.put_object, Key="absent", IfMatch=etag, **put) == (404, "NoSuchKey")
    assert refusal(s3.put_object, Key="k", IfNoneMatch=etag, **put) == (501, "NotImplemented")
    s3.put_object(Key="k", IfMatch=etag, **put)
    assert read(s3.get_object(Bucket=bucket, Key="k")) == b"2"
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket, Prefix="absent")


def test_conditional_delete(s3: Any, bucket: str) -> None:
    """A delete with If-Match takes only the object that it names; without, what is absent is deleted too."""
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    assert refusal(s3.delete_object, Bucket=bucket, Key="k", IfMatch='"other"') == (412, "PreconditionFailed")
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=etag)
    assert refusal(s3.delete_object, Bucket=bucket, Key="k", IfMatch=etag) == (404, "NoSuchKey")
    s3.delete_object(Bucket=bucket, Key="k")


def test_tags_of_an_object(s3: Any, bucket: str) -> None:
    """Tags are put with the object or after it, counted, replaced and deleted; the object stays as it was."""
    s3.put_object(Bucket=bucket, Key="k", Body=BODY, Tagging="a=1&b=x%20y")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [
        {"Key": "a", "Value": "1"}, {"Key": "b", "Value": "x y"}
    ]  # fmt: skip
    before = s3.head_object(Bucket=bucket, Key="k")
    assert before["TagCount"] == 2
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "c", "Value": ""}]})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "c", "Value": ""}]
    assert s3.head_object(Bucket=bucket, Key="k")["LastModified"] == before["LastModified"]
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    assert "TagCount" not in s3.head_object(Bucket=bucket, Key="k")
    assert refusal(s3.get_object_tagging, Bucket=bucket, Key="absent") == (404, "NoSuchKey")


def test_wrong_tags_are_refused(s3: Any, bucket: str) -> None:
    """Too many, too long, double and reserved tags have S3's codes."""
    s3.put_object(Bucket=bucket, Key="k")

    def put(*tags: tuple[str, str]) -> tuple[int, str]:
        rows = [{"Key": key, "Value": value} for key, value in tags]
        return refusal(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging={"TagSet": rows})

    assert put(*((str(n), "") for n in range(11))) == (400, "BadRequest")
    assert put(("a", "1"), ("a", "2")) == (400, "InvalidTag")
    assert put(("k" * 129, "")) == (400, "InvalidTag")
    assert put(("k", "v" * 257)) == (400, "InvalidTag")
    assert put(("aws:x", "")) == (400, "InvalidTag")
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Tagging="novalue") == (400, "InvalidArgument")


def test_attributes_of_an_object(s3: Any, bucket: str) -> None:
    """GetObjectAttributes gives what was asked for and nothing else."""
    etag = s3.put_object(Bucket=bucket, Key="k", Body=BODY, ChecksumAlgorithm="SHA256")["ETag"]
    wanted = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    got = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=wanted)
    assert (got["ETag"], got["ObjectSize"], got["StorageClass"]) == (etag.strip('"'), 1024, "STANDARD")
    assert set(got["Checksum"]) == {"ChecksumSHA256", "ChecksumType"}
    assert "ObjectParts" not in got
    only = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectSize"])
    assert only.keys() - {"ResponseMetadata", "LastModified"} == {"ObjectSize"}
    odd = {"Bucket": bucket, "Key": "k", "ObjectAttributes": ["Colour"]}
    assert refusal(s3.get_object_attributes, **odd) == (400, "InvalidArgument")


def test_versions_are_null(s3: Any, bucket: str) -> None:
    """Version `null` is the object, any other is refused."""
    s3.put_object(Bucket=bucket, Key="k", Body=BODY)
    assert read(s3.get_object(Bucket=bucket, Key="k", VersionId="null")) == BODY
    assert refusal(s3.get_object, Bucket=bucket, Key="k", VersionId="v1") == (400, "InvalidArgument")
    s3.delete_object(Bucket=bucket, Key="k", VersionId="null")
    assert refusal(s3.head_object, Bucket=bucket, Key="k") == (404, "404")


@pytest.mark.parametrize(
    "settings",
    [{"ServerSideEncryption": "aws:kms"}, {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32},
     {"StorageClass": "GLACIER"}, {"ObjectLockLegalHoldStatus": "ON"}],
)  # fmt: skip
def test_what_is_not_there_is_refused(s3: Any, s3_url: str, bucket: str, settings: dict[str, str]) -> None:
    """Keys, locks and archives are NotImplemented, and nothing is stored."""
    headers = {
        "ServerSideEncryption": "x-amz-server-side-encryption", "StorageClass": "x-amz-storage-class",
        "SSECustomerAlgorithm": "x-amz-server-side-encryption-customer-algorithm",
        "ObjectLockLegalHoldStatus": "x-amz-object-lock-legal-hold",
    }  # fmt: skip
    sent = {headers[name]: value for name, value in settings.items() if name in headers}
    answer = raw(s3_url, "PUT", f"/{bucket}/k", b"x", sent)
    assert (answer.status, answer.code) == (501, "NotImplemented")
    assert refusal(s3.head_object, Bucket=bucket, Key="k") == (404, "404")


def test_acl_is_the_owners(s3: Any, bucket: str) -> None:
    """Lists can be read; another than the owner's is refused, as in every new bucket of S3."""
    s3.put_object(Bucket=bucket, Key="k", ACL="bucket-owner-full-control")
    for acl in (s3.get_object_acl(Bucket=bucket, Key="k"), s3.get_bucket_acl(Bucket=bucket)):
        assert [grant["Permission"] for grant in acl["Grants"]] == ["FULL_CONTROL"]
        assert acl["Grants"][0]["Grantee"]["ID"] == acl["Owner"]["ID"]
    refused = (400, "AccessControlListNotSupported")
    assert refusal(s3.put_object, Bucket=bucket, Key="k", ACL="public-read") == refused
    assert refusal(s3.put_object_acl, Bucket=bucket, Key="k", ACL="public-read") == refused
    assert refusal(s3.put_bucket_acl, Bucket=bucket, ACL="public-read") == refused


def test_expected_owner_is_checked(s3: Any, bucket: str) -> None:
    """A bucket of somebody else's is not touched."""
    s3.put_object(Bucket=bucket, Key="k", ExpectedBucketOwner="000000000000")
    assert refusal(s3.put_object, Bucket=bucket, Key="k", ExpectedBucketOwner="111111111111") == (403, "AccessDenied")


@pytest.mark.parametrize(
    ("method", "query"),
    [("GET", "torrent"), ("GET", "legal-hold"), ("GET", "retention"), ("PUT", "legal-hold"), ("POST", "restore"),
     ("POST", "select&select-type=2"), ("PUT", "renameObject"), ("GET", "tagging&uploadId=1"), ("PATCH", ""),
     ("GET", "nonsense")],
)  # fmt: skip
def test_unknown_operation_is_not_implemented(s3: Any, s3_url: str, bucket: str, method: str, query: str) -> None:
    """What is not there answers NotImplemented: no success, no 500."""
    s3.put_object(Bucket=bucket, Key="k")
    answer = raw(s3_url, method, f"/{bucket}/k?{query}")
    assert (answer.status, answer.code) == (501, "NotImplemented")


def test_errors_say_what_and_name_the_request(s3_url: str, s3: Any, bucket: str) -> None:
    """An error document carries the ids of its headers and its subject; HEAD has the headers alone."""
    answer = raw(s3_url, "GET", f"/{bucket}/absent%20key")
    assert (answer.status, answer.code) == (404, "NoSuchKey")
    assert f"<RequestId>{answer.headers['x-amz-request-id']}</RequestId>".encode() in answer.body
    assert f"<HostId>{answer.headers['x-amz-id-2']}</HostId>".encode() in answer.body
    assert b"<Key>absent key</Key>" in answer.body
    head = raw(s3_url, "HEAD", f"/{bucket}/absent")
    assert (head.status, head.body) == (404, b"")
    assert head.headers["x-amz-request-id"] != answer.headers["x-amz-request-id"]
    good = s3.list_objects_v2(Bucket=bucket)["ResponseMetadata"]
    assert good["RequestId"]
    assert good["HostId"]


@pytest.mark.parametrize("path", ["/%ff", "/%c3%28"])
def test_key_that_is_no_utf8_is_refused(s3_url: str, bucket: str, path: str) -> None:
    """Bytes that are no UTF-8 would not come back as they were."""
    answer = raw(s3_url, "PUT", f"/{bucket}{path}", b"x")
    assert (answer.status, answer.code) == (400, "InvalidURI")
