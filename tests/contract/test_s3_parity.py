"""The local platform's S3 and moto's, asked the same: same answers, but where moto is not as S3 is."""

from typing import Any

from parity_script import Differences, Told, assert_differs, assert_same
import pytest
from s3_script import run

from local_server import client

DIFFERENCES: Differences = {
    "key of 1025": ((400, "KeyTooLongError"), "moto takes it; userguide/object-keys: 1,024 bytes at most"),
    "metadata of 4 KB": ((400, "MetadataTooLarge"), "moto takes it; userguide/UsingMetadata: 2 KB at most"),
    "odd put t\tn\n": ((200, None), "moto's routes know no line end in a key; userguide/object-keys: any UTF-8"),
    "odd get t\tn\n": ((200, None, b"t\tn\n"), "as above"),
    "odd delete t\tn\n": ((204, None), "as above"),
    "wrong CRC32": ((400, "BadDigest"), "moto verifies nothing; userguide/checking-object-integrity-upload"),
    "wrong MD5": ((400, "BadDigest"), "moto verifies nothing; API/ErrorResponses: BadDigest"),
    "no MD5": ((400, "InvalidDigest"), "moto verifies nothing; API/ErrorResponses: InvalidDigest"),
    "copy if match, other": ((412, "PreconditionFailed"), "moto ignores it; API_CopyObject: CopySourceIfMatch"),
    "copy if none there": ((412, "PreconditionFailed"), "moto ignores it; API_CopyObject: If-None-Match"),
    "part of absent": ((404, "NoSuchKey"), "moto gives no code; API/ErrorResponses: NoSuchKey"),
    "part 0": ((400, "InvalidArgument"), "moto calls it NoSuchUpload; API_UploadPart: 1 to 10,000"),
    "part of no upload": ((404, "NoSuchUpload"), "moto fails with 500; API_UploadPart: NoSuchUpload"),
    "complete, order": (
        (400, "InvalidPartOrder", None, None),
        "moto looks at sizes alone; API_CompleteMultipartUpload: InvalidPartOrder",
    ),
    "big, part 3": (
        (206, None, b"end", 2, "bytes 5242880-5242882/5242883"),
        "moto gives the whole; API_GetObject: partNumber is a ranged GET of that part",
    ),
    "list 1 odd prefix": (
        (200, None, ["c d+e"], None, False, "c+d%2B", None, 1000, None, None),
        "moto leaves Prefix as it is; API_ListObjects, encoding-type: Prefix is encoded too (boto3 does not decode it)",
    ),
    "list 1 three": (
        (200, None, ["a/1", "a/2", "a/b/3"], None, True, None, None, 3, None, None),
        "moto gives a token; API_ListObjects: NextMarker comes with a delimiter only",
    ),
    "list 1 one folder": (
        (200, None, None, ["a/"], True, None, "/", 1, None, "a/"),
        "moto counts keys alone; API_ListObjects: common prefixes count, NextMarker is the last of both",
    ),
    "list 1 from a folder": (
        (200, None, ["b", "c d+e"], ["ü/"], False, None, "/", 1000),
        "moto's two versions differ from each other: a folder that the marker is in is over, as in its version 2",
    ),
    "delete quietly": ((200, None, None), "moto reports deletions; API_DeleteObjects: quiet gives errors alone"),
    "delete 1001": ((400, "MalformedXML"), "moto takes them; API_DeleteObjects: up to 1,000 keys"),
    "encryption": (
        (200, None, [{"SSEAlgorithm": "AES256"}]),
        "moto has none; userguide/default-encryption-faq: SSE-S3 for every bucket since 2023",
    ),
    "new bucket's ownership_controls": ((200, None), "moto has none; userguide/about-object-ownership: the default"),
    "new bucket's access block": ((200, None), "moto has none; userguide/access-control-block-public-access"),
    "put policy": ((204, None), "moto says 200; API_PutBucketPolicy, sample response: 204"),
    "put public acl": (
        (400, "AccessControlListNotSupported"),
        "moto has ACLs; userguide/about-object-ownership: disabled in new buckets",
    ),
    "url expired": ((403, "AccessDenied"), "moto never expires; API/sigv4-query-string-auth: X-Amz-Expires"),
}
"""Call -> what the platform tells, and why it is not moto's answer; pages of docs.aws.amazon.com/AmazonS3/latest."""


@pytest.fixture(scope="module")
def told(s3_url: str, s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What the platform told."""
    return run(s3, s3_url, tmp_path_factory.mktemp("platform"))


@pytest.fixture(scope="module")
def moto_told(moto_url: str, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What moto told."""
    made = client("s3", moto_url)
    found = run(made, moto_url, tmp_path_factory.mktemp("moto"))
    made.close()
    return found


def test_same_calls_tell_the_same(told: Told, moto_told: Told) -> None:
    """Status, code and fields of every call are moto's, but for the calls in the table."""
    assert len(told) > 150
    assert_same(told, moto_told, DIFFERENCES)


@pytest.mark.parametrize("name", DIFFERENCES)
def test_difference_is_as_documented(told: Told, moto_told: Told, name: str) -> None:
    """Where the table says that moto is wrong, the platform tells what the page says, and moto something else."""
    assert_differs(told, moto_told, name, DIFFERENCES[name])
