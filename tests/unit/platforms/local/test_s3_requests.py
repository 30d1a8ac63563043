"""S3's operations under requests that no client would send, and listings against a plain model of them."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from serverless_mlperf.platforms.local.gateway.chunks import read_chunks
from serverless_mlperf.platforms.local.gateway.errors import ApiError, BadRequestError
from serverless_mlperf.platforms.local.gateway.http import Request, Response
from serverless_mlperf.platforms.local.gateway.http_head import read_head
from serverless_mlperf.platforms.local.gateway.lambda_state import LambdaState
from serverless_mlperf.platforms.local.gateway.lambda_zips import ZipFolder
from serverless_mlperf.platforms.local.gateway.notification_guard import NotificationGuard
from serverless_mlperf.platforms.local.gateway.notifications import Notifier
from serverless_mlperf.platforms.local.gateway.s3_api import S3Api
from serverless_mlperf.platforms.local.gateway.s3_checksums import checksum_of
from serverless_mlperf.platforms.local.gateway.s3_ranges import wanted_span
from serverless_mlperf.platforms.local.gateway.s3_store import Content, ObjectStore, list_objects
from serverless_mlperf.platforms.local.gateway.transfer import ChunkedBody

CONTENT = Content(b"x", "9dd4e461268c8034f5c8564e155c67a6", checksum_of("CRC32", b"x"))
PARAMETERS = [
    "", "list-type", "prefix", "delimiter", "max-keys", "continuation-token", "start-after", "marker", "encoding-type",
    "uploads", "uploadId", "partNumber", "max-parts", "part-number-marker", "key-marker", "upload-id-marker",
    "versions", "versionId", "tagging", "acl", "attributes", "delete", "policy", "policyStatus", "lifecycle",
    "notification", "location", "publicAccessBlock", "encryption", "cors", "response-content-type",
    "response-expires", "max-buckets",
    "X-Amz-Algorithm", "X-Amz-Signature", "X-Amz-Expires", "X-Amz-Date", "X-Amz-Credential", "X-Amz-SignedHeaders",
    "AWSAccessKeyId", "Signature", "Expires", "x-amz-checksum-crc32", "x-id",
]  # fmt: skip
HEADERS = [
    "range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "content-md5",
    "content-encoding", "content-type", "x-amz-acl", "x-amz-checksum-algorithm", "x-amz-checksum-crc32",
    "x-amz-checksum-mode", "x-amz-checksum-sha256", "x-amz-checksum-type", "x-amz-content-sha256", "x-amz-copy-source",
    "x-amz-copy-source-if-match", "x-amz-copy-source-if-modified-since", "x-amz-copy-source-range",
    "x-amz-decoded-content-length", "x-amz-max-parts", "x-amz-meta-a", "x-amz-metadata-directive",
    "x-amz-mp-object-size", "x-amz-object-attributes", "x-amz-part-number-marker", "x-amz-sdk-checksum-algorithm",
    "x-amz-server-side-encryption", "x-amz-storage-class", "x-amz-tagging", "x-amz-tagging-directive", "x-amz-trailer",
    "host", "authorization",
]  # fmt: skip
VALUES = st.one_of(
    st.sampled_from([
        "", "0", "1", "2", "-1", "10000", "99999999999999999999", "bytes=0-0", "bytes=5-", "bytes=-0", "*", "COPY",
        "REPLACE", "ENABLED", "/bucket/k", "bucket/absent", "bucket/k?versionId=null", "AAAAAA==", "CRC32", "SHA256",
        "COMPOSITE", "FULL_OBJECT", "null", "url", "a=b&c=d", "Wed, 21 Oct 2015 07:28:00 GMT", "20260101T000000Z",
        "Wed, 99 Oct 99999 07:28:00 GMT", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "aws-chunked", "bucket.localhost:1",
        "Thu, 01 Jan 1970 00:00:00 -2500", "٣", "²",
    ]),
    st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=8),
)  # fmt: skip
BODIES = st.one_of(
    st.sampled_from([
        b"", b"<Delete><Object><Key>k</Key></Object></Delete>", b"<Tagging><TagSet/></Tagging>", b"<Tagging/>",
        b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
        b"<CompleteMultipartUpload/>", b"<CreateBucketConfiguration/>", b"<NotificationConfiguration/>",
        b"<NotificationConfiguration><QueueConfiguration/></NotificationConfiguration>", b"5\r\nabcde\r\n0\r\n\r\n",
        b'{"Statement": []}', b"[1]", b"<LifecycleConfiguration><Rule/></LifecycleConfiguration>",
    ]),
    st.binary(max_size=30),
)  # fmt: skip


async def ask(request: Request) -> Response:
    """The answer of an S3 with one object and one upload."""
    store = ObjectStore()
    guard = NotificationGuard(LambdaState(ZipFolder(Path("unused"))), lambda _: None)
    api = S3Api(store, Notifier(lambda *_: None, lambda *_: None, guard))
    store.put(store.create("bucket"), "k", CONTENT, {}, {})
    begun = await api.handle(Request("POST", "/bucket/k?uploads", {}, b""))
    upload = bytes(begun.body).partition(b"<UploadId>")[2].partition(b"<")[0].decode()
    return await api.handle(
        Request(request.method, request.target.replace("UPLOAD", upload), request.headers, request.body)
    )


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(["GET", "PUT", "HEAD", "DELETE", "POST", "OPTIONS"]),
    st.sampled_from(["/", "/bucket", "/bucket/", "/bucket/k", "/bucket/new", "/new-bucket", "//", "/%ff", "/b/%00"]),
    st.dictionaries(st.sampled_from(PARAMETERS), st.one_of(VALUES, st.just("UPLOAD")), max_size=4),
    st.dictionaries(st.sampled_from(HEADERS), VALUES, max_size=4),
    BODIES,
)  # fmt: skip
def test_every_request_has_an_answer_of_s3(
    method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes
) -> None:
    """No combination of method, parameters, headers and body makes an operation fail in itself."""
    target = path + ("?" + "&".join(f"{name}={quote(value)}" for name, value in query.items()) if query else "")
    answer = asyncio.run(ask(Request(method, target, headers, body)))
    assert answer.status < 500 or (answer.status == 501 and (b"NotImplemented" in answer.body or method == "HEAD"))
    for name, value in answer.headers.items():
        assert not {"\r", "\n"} & {*name, *value}


def naive(keys: set[str], prefix: str, delimiter: str, after: str) -> list[str]:
    """Keys and common prefixes behind a name, by going through all of them."""
    names = set()
    for key in keys:
        if key.startswith(prefix):
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            names.add(key if cut < 0 else key[: cut + len(delimiter)])
    return sorted(name for name in names if name > after)


@settings(max_examples=500, deadline=None)
@given(
    st.sets(st.text("ab/\U0010ffff", min_size=1, max_size=5), max_size=12),
    st.text("ab/", max_size=2),
    st.sampled_from(["", "/", "b/", "a", "\U0010ffff"]),
    st.integers(1, 4),
    st.text("ab/", max_size=3),
)
def test_pages_are_those_of_a_plain_model(keys: set[str], prefix: str, delimiter: str, limit: int, after: str) -> None:
    """Pages of any size, one after the other, give what a walk through all keys gives."""
    store = ObjectStore()
    bucket = store.create("bucket")
    for key in keys:
        store.put(bucket, key, CONTENT, {}, {})
    expected, found = naive(keys, prefix, delimiter, after), []
    position: str | None = after
    while position is not None:
        page = list_objects(bucket, prefix, delimiter, position, limit)
        found += sorted([*(stored.key for stored in page.objects), *page.prefixes])
        assert page.next_after is None or page.next_after == found[-1]
        position = page.next_after
    assert found == expected


@given(
    st.lists(st.binary(min_size=1, max_size=20)),
    st.dictionaries(st.from_regex("[a-z-]{1,9}", fullmatch=True), st.from_regex("[!-~]{0,9}", fullmatch=True)),
)
def test_chunks_are_joined(pieces: list[bytes], trailers: dict[str, str]) -> None:
    """The content of chunks is theirs in order, the trailers are by name."""
    lines = b"".join(b"%x;chunk-signature=0\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    tail = "".join(f"{name}:{value}\r\n" for name, value in trailers.items()).encode()
    assert read_chunks(lines + b"0\r\n" + tail + b"\r\n") == (b"".join(pieces), trailers)


def outcome(work: Callable[[], Any]) -> tuple[int, Any]:
    """What work gives, with 200, or the status that it is refused with; anything else is a failure."""
    try:
        return 200, work()
    except (ApiError, BadRequestError) as error:
        return error.status, None


@given(st.binary(max_size=60))
def test_noise_is_no_chunked_body(noise: bytes) -> None:
    """Noise is refused or read, and never anything else."""
    assert outcome(lambda: read_chunks(noise))[0] in {200, 400}


@given(st.lists(st.binary(max_size=9)), st.lists(st.integers(1, 7), min_size=1))
def test_http_chunks_come_in_any_pieces(chunks: list[bytes], cuts: list[int]) -> None:
    """However the network cuts them, chunks make the same body, and what follows stays in the buffer."""
    wire = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n\r\nNEXT"
    body, buffer, found, position = ChunkedBody(1000), bytearray(), None, 0
    while found is None:
        step = cuts[position % len(cuts)]
        buffer += wire[position : position + step]
        position += step
        found = body.take(buffer)
    assert found == b"".join(chunks)
    assert bytes(buffer) + wire[position:] == b"NEXT"


@given(st.text(st.characters(max_codepoint=255), max_size=60))
def test_noise_is_no_request(noise: str) -> None:
    """A head that is none is refused with a status, and never anything else."""
    status, head = outcome(lambda: read_head(noise))
    assert status in {400, 413, 417, 505} if head is None else head.version in {"HTTP/1.0", "HTTP/1.1"}


@pytest.mark.parametrize("size", [0, 1, 10])
@given(first=st.one_of(st.just(""), st.integers(0, 12)), last=st.one_of(st.just(""), st.integers(0, 12)))
def test_range_is_inside_the_object(size: int, first: Any, last: Any) -> None:
    """A range that is answered is not empty and lies inside; one beyond the end is refused."""
    status, span = outcome(lambda: wanted_span(f"bytes={first}-{last}", size))
    assert status in {200, 416}
    beyond = first >= size if first != "" else last == 0 or size == 0
    sensible = (first, last) != ("", "") and (first == "" or last == "" or first <= last)
    assert (status == 416) == (beyond and sensible)
    assert span is None or 0 <= span[0] < span[1] <= size
