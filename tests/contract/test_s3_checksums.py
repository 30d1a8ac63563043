"""What clients promise about a body is verified, kept and given back."""

from base64 import b64encode
import hashlib
import os
from typing import Any
import zlib

from awscrt import checksums
import pytest

from local_server import Answer, raw, refusal

BODY = b"some content"
LARGE = os.urandom(300_000)
"""Hashed in a thread, not inline."""
PART = 5 << 20
ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
OTHERS = ("SHA512", "XXHASH64", "XXHASH3", "XXHASH128")


def coded(value: bytes) -> str:
    """Base64."""
    return b64encode(value).decode()


def crc32(body: bytes) -> str:
    """As headers carry it."""
    return coded(zlib.crc32(body).to_bytes(4, "big"))


def crc64(body: bytes) -> str:
    """As headers carry it."""
    return coded(checksums.crc64nvme(body).to_bytes(8, "big"))


def chunked(body: bytes, *trailers: str, size: int = 5000, signed: bool = False) -> bytes:
    """A body as SDKs send it in chunks; signatures are of the right form and of no secret."""
    signature = b";chunk-signature=" + b"0" * 64 if signed else b""
    pieces = [body[i : i + size] for i in range(0, len(body), size)] + [b""]
    lines = [b"%x%s\r\n%s\r\n" % (len(piece), signature, piece) for piece in pieces[:-1]]
    tail = "".join(f"{trailer}\r\n" for trailer in trailers)
    tail += f"x-amz-trailer-signature:{'0' * 64}\r\n" if signed and trailers else ""
    return b"".join(lines) + b"0" + signature + b"\r\n" + tail.encode() + b"\r\n"


def put_chunked(url: str, path: str, body: bytes, length: int, trailer: str = "", **headers: str) -> Answer:
    """A PUT of a chunked body."""
    sent = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": str(length)}
    sent["x-amz-content-sha256"] = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    sent |= {"x-amz-trailer": trailer} if trailer else {}
    return raw(url, "PUT", path, body, sent | {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, *OTHERS])
@pytest.mark.parametrize("body", [b"", BODY, LARGE], ids=["empty", "small", "large"])
def test_checksum_is_verified_and_given_back(s3: Any, bucket: str, algorithm: str, body: bytes) -> None:
    """boto3's checksum is accepted, returned by PUT, and by GET and HEAD on demand; boto3 verifies what it gets."""
    member = f"Checksum{algorithm}"
    put = s3.put_object(Bucket=bucket, Key="k", Body=body, ChecksumAlgorithm=algorithm)
    assert put["ChecksumType"] == "FULL_OBJECT"
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    with got["Body"] as content:
        assert content.read() == body
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert put[member] == got[member] == head[member]
    assert (got["ChecksumType"], head["ChecksumType"]) == ("FULL_OBJECT", "FULL_OBJECT")
    assert member not in s3.head_object(Bucket=bucket, Key="k")
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == ([algorithm], "FULL_OBJECT")


@pytest.mark.parametrize(("algorithm", "length"), [("CRC32", 4), ("CRC32C", 4), ("CRC64NVME", 8), ("SHA1", 20),
                                                   ("SHA256", 32), ("MD5", 16)])  # fmt: skip
@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
def test_wrong_checksum_is_refused(s3: Any, s3_url: str, bucket: str, algorithm: str, length: int, body: bytes) -> None:
    """A checksum of other bytes is BadDigest, in a header and in a trailer; nothing is stored."""
    header, wrong = f"x-amz-checksum-{algorithm.lower()}", coded(bytes(length))
    answer = raw(s3_url, "PUT", f"/{bucket}/k", body, {header: wrong})
    assert (answer.status, answer.code) == (400, "BadDigest")
    answer = put_chunked(s3_url, f"/{bucket}/k", chunked(body, f"{header}:{wrong}"), len(body), header)
    assert (answer.status, answer.code) == (400, "BadDigest")
    assert refusal(s3.head_object, Bucket=bucket, Key="k") == (404, "404")


def test_object_without_checksum_gets_one(s3: Any, s3_url: str, bucket: str) -> None:
    """As on S3, CRC64NVME is computed for a body that came without any."""
    assert raw(s3_url, "PUT", f"/{bucket}/k", BODY).headers["x-amz-checksum-crc64nvme"] == crc64(BODY)
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (head["ChecksumCRC64NVME"], head["ChecksumType"]) == (crc64(BODY), "FULL_OBJECT")


def test_range_carries_no_checksum(s3: Any, bucket: str) -> None:
    """The whole object's checksum would be wrong for some of its bytes."""
    s3.put_object(Bucket=bucket, Key="k", Body=BODY)
    got = s3.get_object(Bucket=bucket, Key="k", Range="bytes=0-3", ChecksumMode="ENABLED")
    with got["Body"] as content:
        assert content.read() == BODY[:4]
    assert not [name for name in got if name.startswith("Checksum")]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content-md5": coded(hashlib.md5(BODY, usedforsecurity=False).digest())}, ""),
        ({"content-md5": coded(bytes(16))}, "BadDigest"),
        ({"content-md5": "not base64!"}, "InvalidDigest"),
        ({"content-md5": coded(bytes(15))}, "InvalidDigest"),
        ({"x-amz-content-sha256": hashlib.sha256(BODY).hexdigest()}, ""),
        ({"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, ""),
        ({"x-amz-content-sha256": "0" * 64}, "XAmzContentSHA256Mismatch"),
        ({"x-amz-content-sha256": "something"}, "InvalidArgument"),
        ({"x-amz-checksum-crc32": "AAAA"}, "InvalidRequest"),
        ({"x-amz-checksum-crc32": "%%%"}, "InvalidRequest"),
        ({"x-amz-checksum-crc17": crc32(BODY)}, "InvalidRequest"),
        ({"x-amz-checksum-crc32": crc32(BODY), "x-amz-checksum-crc64nvme": crc64(BODY)}, "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, "InvalidRequest"),
        ({"x-amz-decoded-content-length": "5"}, "IncompleteBody"),
        ({"x-amz-trailer": "x-amz-checksum-crc32"}, "MalformedTrailerError"),
    ],
)  # fmt: skip
def test_promises_of_a_plain_body(s3_url: str, bucket: str, headers: dict[str, str], code: str) -> None:
    """Each header about the bytes is checked, with S3's code for each way to be wrong."""
    answer = raw(s3_url, "PUT", f"/{bucket}/k", BODY, headers)
    assert (answer.status, answer.code) == (400 if code else 200, code)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("body", [b"", BODY, LARGE], ids=["empty", "small", "large"])
def test_chunked_body_is_decoded(s3: Any, s3_url: str, bucket: str, body: bytes, signed: bool) -> None:
    """Chunks with and without signatures, with a trailing checksum, give the bytes; `aws-chunked` is not kept."""
    name = "x-amz-checksum-crc32"
    kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" if signed else "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    message = chunked(body, f"{name}:{crc32(body)}", signed=signed)
    answer = put_chunked(
        s3_url, f"/{bucket}/k", message, len(body), name, x_amz_content_sha256=kind,
        content_encoding="aws-chunked,gzip", x_amz_sdk_checksum_algorithm="CRC32",
    )  # fmt: skip
    assert (answer.status, answer.headers.get(name)) == (200, crc32(body)), answer.body
    got = s3.get_object(Bucket=bucket, Key="k")
    with got["Body"] as content:
        assert content.read() == body
    assert got["ContentEncoding"] == "gzip"


def test_chunks_without_trailers(s3: Any, s3_url: str, bucket: str) -> None:
    """The older signed form has no trailers."""
    kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    answer = put_chunked(s3_url, f"/{bucket}/k", chunked(BODY, signed=True), len(BODY), x_amz_content_sha256=kind)
    assert answer.status == 200
    assert "ContentEncoding" not in s3.head_object(Bucket=bucket, Key="k")


CRC_TRAILER = f"x-amz-checksum-crc32:{crc32(BODY)}"


@pytest.mark.parametrize(
    ("message", "length", "trailer", "status", "code"),
    [
        (chunked(BODY), len(BODY) + 1, "", 400, "IncompleteBody"),
        (chunked(BODY)[:-10], len(BODY), "", 400, "IncompleteBody"),
        (b"zz\r\n", 0, "", 400, "IncompleteBody"),
        (b"-5\r\nabcde\r\n0\r\n\r\n", 5, "", 400, "IncompleteBody"),
        (b"5\r\nabcdeXX0\r\n\r\n", 5, "", 400, "IncompleteBody"),
        (b"", 0, "", 400, "IncompleteBody"),
        (chunked(BODY), len(BODY), "x-amz-checksum-crc32", 400, "MalformedTrailerError"),
        (chunked(BODY, CRC_TRAILER), len(BODY), "", 400, "MalformedTrailerError"),
        (chunked(BODY, "no colon"), len(BODY), "x-amz-checksum-crc32", 400, "MalformedTrailerError"),
    ],
)  # fmt: skip
def test_damaged_chunks_are_refused(
    s3_url: str, bucket: str, message: bytes, length: int, trailer: str, status: int, code: str
) -> None:
    """Lengths, chunk ends and trailers must be as promised."""
    answer = put_chunked(s3_url, f"/{bucket}/k", message, length, trailer)
    assert (answer.status, answer.code) == (status, code)


def test_chunked_body_must_tell_its_length(s3_url: str, bucket: str) -> None:
    """Without x-amz-decoded-content-length a chunked body is MissingContentLength."""
    headers = {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "content-encoding": "aws-chunked"}
    answer = raw(s3_url, "PUT", f"/{bucket}/k", chunked(BODY), headers)
    assert (answer.status, answer.code) == (411, "MissingContentLength")


def upload_with(s3: Any, bucket: str, algorithm: str, kind: str, pieces: list[bytes], **sent: Any) -> Any:
    """A multipart upload with checksums; the answer to its completion."""
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, ChecksumType=kind)
    assert (begun["ChecksumAlgorithm"], begun["ChecksumType"]) == (algorithm, kind)
    common = {"Bucket": bucket, "Key": "k", "UploadId": begun["UploadId"]}
    member, rows = f"Checksum{algorithm}", []
    for number, piece in enumerate(pieces, 1):
        done = s3.upload_part(PartNumber=number, Body=piece, ChecksumAlgorithm=algorithm, **common)
        rows.append({"PartNumber": number, "ETag": done["ETag"], member: done[member]})
    listed = s3.list_parts(**common)
    assert listed["ChecksumAlgorithm"] == algorithm
    assert [part[member] for part in listed["Parts"]] == [row[member] for row in rows]
    return s3.complete_multipart_upload(MultipartUpload={"Parts": rows}, **common, **sent)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256"])
def test_composite_checksum_of_parts(s3: Any, bucket: str, algorithm: str) -> None:
    """The checksum of the parts' checksums with their count, at completion, HEAD, attributes and part."""
    pieces = [os.urandom(PART), b"end"]
    done = upload_with(s3, bucket, algorithm, "COMPOSITE", pieces)
    member = f"Checksum{algorithm}"
    assert done["ChecksumType"] == "COMPOSITE"
    assert done[member].endswith("-2")
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (head[member], head["ChecksumType"]) == (done[member], "COMPOSITE")
    got = s3.get_object(Bucket=bucket, Key="k", PartNumber=2, ChecksumMode="ENABLED")
    with got["Body"] as content:
        assert content.read() == b"end"
    parts = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectParts"])["ObjectParts"]
    assert [part["Size"] for part in parts["Parts"]] == [PART, 3]
    assert parts["Parts"][1][member] == got[member]


def test_composite_checksum_is_s3s_formula(s3: Any, bucket: str) -> None:
    """SHA-256 over the parts' raw SHA-256 digests, as the user guide says."""
    pieces = [os.urandom(PART), b"end"]
    digests = b"".join(hashlib.sha256(piece).digest() for piece in pieces)
    expected = coded(hashlib.sha256(digests).digest()) + "-2"
    assert upload_with(s3, bucket, "SHA256", "COMPOSITE", pieces)["ChecksumSHA256"] == expected


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_checksum_of_a_whole_object_in_parts(s3: Any, bucket: str, algorithm: str) -> None:
    """FULL_OBJECT is the checksum of all bytes, which boto3 verifies on the way back."""
    pieces = [os.urandom(PART), b"end"]
    done = upload_with(s3, bucket, algorithm, "FULL_OBJECT", pieces)
    member = f"Checksum{algorithm}"
    s3.put_object(Bucket=bucket, Key="at-once", Body=b"".join(pieces), ChecksumAlgorithm=algorithm)
    assert done[member] == s3.head_object(Bucket=bucket, Key="at-once", ChecksumMode="ENABLED")[member]
    with s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["Body"] as content:
        assert content.read() == b"".join(pieces)


def test_completion_verifies_the_whole(s3: Any, bucket: str) -> None:
    """A wrong checksum or type at the completion is BadDigest."""
    wrong = coded(bytes(8))
    parameters = {"s3": s3, "bucket": bucket, "algorithm": "CRC64NVME", "kind": "FULL_OBJECT", "pieces": [BODY]}
    assert refusal(upload_with, **parameters, ChecksumCRC64NVME=wrong) == (400, "BadDigest")
    assert refusal(upload_with, **parameters, ChecksumType="COMPOSITE") == (400, "BadDigest")
    upload_with(**parameters, ChecksumCRC64NVME=crc64(BODY), ChecksumType="FULL_OBJECT")


def test_parts_must_have_the_uploads_checksum(s3: Any, s3_url: str, bucket: str) -> None:
    """Another algorithm, none at all, or a completion without the parts' checksums is InvalidRequest."""
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="SHA256")
    common = {"Bucket": bucket, "Key": "k", "UploadId": begun["UploadId"]}
    part = {"PartNumber": 1, "Body": BODY, **common}
    assert refusal(s3.upload_part, ChecksumAlgorithm="CRC32", **part) == (400, "InvalidRequest")
    answer = raw(s3_url, "PUT", f"/{bucket}/k?partNumber=1&uploadId={begun['UploadId']}", BODY)
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    row = {"PartNumber": 1, "ETag": s3.upload_part(ChecksumAlgorithm="SHA256", **part)["ETag"]}
    complete = s3.complete_multipart_upload
    assert refusal(complete, MultipartUpload={"Parts": [row]}, **common) == (400, "InvalidRequest")
    row["ChecksumSHA256"] = coded(bytes(32))
    assert refusal(complete, MultipartUpload={"Parts": [row]}, **common) == (400, "InvalidPart")


@pytest.mark.parametrize(
    ("algorithm", "kind"), [("SHA256", "FULL_OBJECT"), ("CRC64NVME", "COMPOSITE"), ("CRC17", None), (None, "COMPOSITE")]
)  # fmt: skip
def test_impossible_checksums_of_an_upload(s3_url: str, bucket: str, algorithm: str | None, kind: str | None) -> None:
    """Only CRCs can be of a whole object in parts, CRC64NVME of nothing else."""
    headers = {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": kind}
    sent = {name: value for name, value in headers.items() if value}
    answer = raw(s3_url, "POST", f"/{bucket}/k?uploads", headers=sent)
    assert (answer.status, answer.code) == (400, "InvalidRequest")
