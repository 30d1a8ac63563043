"""Multipart uploads, step by step and through boto3's own transfer."""

from concurrent.futures import ThreadPoolExecutor
import hashlib
import io
import os
from typing import Any

from boto3.s3.transfer import TransferConfig
import pytest

from local_server import raw, refusal

PART = 5 << 20
FIRST, LAST = os.urandom(PART), b"the end"


def md5(body: bytes) -> bytes:
    """The digest."""
    return hashlib.md5(body, usedforsecurity=False).digest()


@pytest.fixture
def upload(s3: Any, bucket: str) -> dict[str, str]:
    """An upload of `k`: the parameters that all its calls have."""
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k", Metadata={"m": "1"}, Tagging="t=1")["UploadId"]
    return {"Bucket": bucket, "Key": "k", "UploadId": upload_id}


def put(s3: Any, upload: dict[str, str], *parts: tuple[int, bytes]) -> list[dict[str, Any]]:
    """Upload parts; what a completion says of them, in order of number."""
    rows = [{"PartNumber": n, "ETag": s3.upload_part(PartNumber=n, Body=b, **upload)["ETag"]} for n, b in parts]
    return sorted(rows, key=lambda row: int(str(row["PartNumber"])))


def complete(s3: Any, upload: dict[str, str], rows: list[dict[str, Any]], **given: Any) -> Any:
    """Complete an upload."""
    return s3.complete_multipart_upload(MultipartUpload={"Parts": rows}, **upload, **given)


def test_parts_in_any_order_make_one_object(s3: Any, bucket: str, upload: dict[str, str]) -> None:
    """Numbers decide the order, the last upload of a number counts, the ETag is the MD5 of MD5s and the count."""
    put(s3, upload, (7, b"replaced"))
    rows = put(s3, upload, (7, LAST), (2, FIRST))
    done = complete(s3, upload, rows)
    assert done["ETag"] == f'"{hashlib.md5(md5(FIRST) + md5(LAST), usedforsecurity=False).hexdigest()}-2"'
    got = s3.get_object(Bucket=bucket, Key="k")
    with got["Body"] as body:
        assert body.read() == FIRST + LAST
    assert (got["Metadata"], got["TagCount"]) == ({"m": "1"}, 1)
    assert refusal(s3.list_parts, **upload) == (404, "NoSuchUpload")


def test_parts_of_a_complete_object_can_be_read(s3: Any, bucket: str, upload: dict[str, str]) -> None:
    """GET and HEAD of a part number give that part and how many there are."""
    complete(s3, upload, put(s3, upload, (1, FIRST), (2, LAST)))
    got = s3.get_object(Bucket=bucket, Key="k", PartNumber=2)
    with got["Body"] as body:
        assert body.read() == LAST
    assert (got["PartsCount"], got["ContentRange"]) == (2, f"bytes {PART}-{PART + 6}/{PART + 7}")
    assert s3.head_object(Bucket=bucket, Key="k", PartNumber=1)["ContentLength"] == PART
    assert refusal(s3.get_object, Bucket=bucket, Key="k", PartNumber=3) == (416, "InvalidPartNumber")
    assert s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectParts"])["ObjectParts"] == {
        "TotalPartsCount": 2
    }  # fmt: skip


def test_wrong_completions_are_refused(s3: Any, bucket: str, upload: dict[str, str]) -> None:
    """Missing, changed and disordered parts, and parts that are too small; the upload survives all of it."""
    first, small, last = put(s3, upload, (1, FIRST), (2, b"small"), (3, LAST))
    wrong = {**first, "ETag": small["ETag"]}
    assert refusal(complete, s3=s3, upload=upload, rows=[first, {**last, "PartNumber": 9}]) == (400, "InvalidPart")
    assert refusal(complete, s3=s3, upload=upload, rows=[wrong]) == (400, "InvalidPart")
    assert refusal(complete, s3=s3, upload=upload, rows=[last, first]) == (400, "InvalidPartOrder")
    assert refusal(complete, s3=s3, upload=upload, rows=[first, first]) == (400, "InvalidPartOrder")
    assert refusal(complete, s3=s3, upload=upload, rows=[first, small, last]) == (400, "EntityTooSmall")
    assert refusal(complete, s3=s3, upload=upload, rows=[]) == (400, "MalformedXML")
    assert refusal(complete, s3=s3, upload=upload, rows=[first, last], MpuObjectSize=3) == (400, "InvalidRequest")
    assert refusal(s3.head_object, Bucket=bucket, Key="k") == (404, "404")
    complete(s3, upload, [first, last], MpuObjectSize=PART + len(LAST))


def test_completion_can_be_conditional(s3: Any, bucket: str, upload: dict[str, str]) -> None:
    """If-None-Match and If-Match hold at the completion; a failed one leaves upload and object as they were."""
    rows = put(s3, upload, (1, LAST))
    assert refusal(complete, s3=s3, upload=upload, rows=rows, IfMatch='"x"') == (404, "NoSuchKey")
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"old")["ETag"]
    assert refusal(complete, s3=s3, upload=upload, rows=rows, IfNoneMatch="*") == (412, "PreconditionFailed")
    assert s3.head_object(Bucket=bucket, Key="k")["ETag"] == etag
    complete(s3, upload, rows, IfMatch=etag)


def test_repeated_completion_has_the_same_answer(s3: Any, bucket: str, upload: dict[str, str]) -> None:
    """Completions at the same time and again later make one object; another list of parts finds no upload."""
    rows = put(s3, upload, (1, FIRST), (2, LAST))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: complete(s3, upload, rows), range(4)))
    written = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    answers.append(complete(s3, upload, rows))
    assert len({answer["ETag"] for answer in answers}) == 1
    assert s3.head_object(Bucket=bucket, Key="k")["LastModified"] == written
    assert refusal(complete, s3=s3, upload=upload, rows=rows[:1]) == (404, "NoSuchUpload")


def test_abort_forgets_the_upload(s3: Any, upload: dict[str, str]) -> None:
    """After an abort there is no upload for any call; another abort is NoSuchUpload."""
    rows = put(s3, upload, (1, LAST))
    s3.abort_multipart_upload(**upload)
    gone = (404, "NoSuchUpload")
    assert refusal(s3.abort_multipart_upload, **upload) == gone
    assert refusal(s3.upload_part, PartNumber=1, Body=b"", **upload) == gone
    assert refusal(complete, s3=s3, upload=upload, rows=rows) == gone


def test_upload_belongs_to_its_key(s3: Any, upload: dict[str, str]) -> None:
    """The id of one key's upload is none for another key."""
    other = {**upload, "Key": "other"}
    assert refusal(s3.upload_part, PartNumber=1, Body=b"", **other) == (404, "NoSuchUpload")


@pytest.mark.parametrize("number", ["0", "10001", "-1", "x", ""])
def test_part_number_has_limits(s3_url: str, bucket: str, upload: dict[str, str], number: str) -> None:
    """Parts are numbered from 1 to 10,000."""
    path = f"/{bucket}/k?uploadId={upload['UploadId']}&partNumber={number}"
    answer = raw(s3_url, "PUT", path, b"x")
    assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_parts_are_listed_in_pages(s3: Any, upload: dict[str, str]) -> None:
    """ListParts gives number, size and ETag of each part, page after page."""
    rows = put(s3, upload, *((n, b"x" * n) for n in (5, 3, 1, 4)))
    page = s3.list_parts(MaxParts=3, **upload)
    assert ([p["PartNumber"] for p in page["Parts"]], page["IsTruncated"]) == ([1, 3, 4], True)
    pages = s3.get_paginator("list_parts").paginate(PaginationConfig={"PageSize": 3}, **upload)
    listed = [part for page in pages for part in page["Parts"]]
    assert [(p["PartNumber"], p["Size"]) for p in listed] == [(1, 1), (3, 3), (4, 4), (5, 5)]
    assert [p["ETag"] for p in listed] == [row["ETag"] for row in rows]


def test_uploads_are_listed_in_pages(s3: Any, bucket: str) -> None:
    """ListMultipartUploads is in order of key and begin, rolls up, and its pages miss none."""
    keys = ["a/1", "a/2", "b", "b", "b", "c d+é"]
    begun = [(key, s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]) for key in keys]
    for size in (1, 2, 1000):
        paginator = s3.get_paginator("list_multipart_uploads")
        pages = paginator.paginate(Bucket=bucket, PaginationConfig={"PageSize": size}, EncodingType="url")
        found = [(u["Key"], u["UploadId"]) for page in pages for u in page.get("Uploads", [])]
        assert found == [(key.replace("c d+é", "c+d%2B%C3%A9"), upload) for key, upload in begun]
    rolled = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/", MaxUploads=1)
    assert [p["Prefix"] for p in rolled["CommonPrefixes"]] == ["a/"]
    rest = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/", KeyMarker=rolled["NextKeyMarker"])
    assert ("CommonPrefixes" in rest, len(rest["Uploads"])) == (False, 4)
    assert len(s3.list_multipart_uploads(Bucket=bucket, Prefix="a/")["Uploads"]) == 2


def test_transfer_of_boto3_round_trips(s3: Any, bucket: str) -> None:
    """upload_fileobj and download_fileobj in parallel parts give the same bytes."""
    content = os.urandom(2 * PART + 12345)
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=4)
    s3.upload_fileobj(io.BytesIO(content), bucket, "big", Config=config)
    found = io.BytesIO()
    s3.download_fileobj(bucket, "big", found, Config=config)
    assert found.getvalue() == content
    s3.copy({"Bucket": bucket, "Key": "big"}, bucket, "copied", Config=config)
    assert s3.head_object(Bucket=bucket, Key="copied")["ContentLength"] == len(content)
