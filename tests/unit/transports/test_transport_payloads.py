"""Request bodies of synchronous invocations."""

import hashlib
import json
from pathlib import Path

import pytest

from serverless_mlperf.errors import InputError
from serverless_mlperf.transports.payloads import encode_payloads
from serverless_mlperf_sut.protocol import MAX_REQUEST_BYTES, parse_image_bytes, parse_query

KEYS = ("synthetic/0.jpg", "synthetic/1.jpg")


def files(folder: Path, *contents: bytes) -> list[Path]:
    """One file per content."""
    paths = [folder / f"{n}.jpg" for n in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


def test_function_reads_back_what_is_written(tmp_path: Path) -> None:
    """Key and image of each sample, with the digest of the body as it is sent."""
    contents = (b"first", bytes(range(256)))
    for key, content, payload in zip(KEYS, contents, encode_payloads(KEYS, files(tmp_path, *contents), 1), strict=True):
        event = json.loads(payload.body)
        query = parse_query(event)
        assert query.image_filenames == (key,)
        assert parse_image_bytes(event, query) == content
        assert payload.sha256 == hashlib.sha256(payload.body).hexdigest()


def test_without_paths_the_key_travels_alone() -> None:
    """The function will find no image in the event."""
    events = [json.loads(payload.body) for payload in encode_payloads(KEYS, None, 1)]
    assert [parse_query(event).image_filenames for event in events] == [(key,) for key in KEYS]
    assert parse_image_bytes(events[0], parse_query(events[0])) is None


@pytest.mark.parametrize("size", [MAX_REQUEST_BYTES * 3 // 4, MAX_REQUEST_BYTES])
def test_image_beyond_a_request_is_named(tmp_path: Path, size: int) -> None:
    """The limit counts for the request, whose base64 is a third larger than the image."""
    paths = files(tmp_path, b"small", bytes(size))
    with pytest.raises(InputError, match=rf"synthetic/1\.jpg .* less than {MAX_REQUEST_BYTES}; .* s3ref"):
        encode_payloads(KEYS, paths, 100)


def test_largest_image_fits(tmp_path: Path) -> None:
    """Just below the limit is no error."""
    [payload] = encode_payloads(KEYS[:1], files(tmp_path, bytes(4_718_000)), 100)
    assert MAX_REQUEST_BYTES - 1000 < len(payload.body) < MAX_REQUEST_BYTES


def test_memory_is_bounded(tmp_path: Path) -> None:
    """All bodies together may not take more than was granted."""
    paths = files(tmp_path, bytes(500_000), bytes(500_000))
    with pytest.raises(InputError, match="2 images as inline payloads take more than 1 MiB"):
        encode_payloads(KEYS, paths, 1)


def test_unreadable_image_is_named(tmp_path: Path) -> None:
    """An image that has gone is an input error with its path."""
    with pytest.raises(InputError, match=r"gone\.jpg: cannot be read \(No such file"):
        encode_payloads(KEYS[:1], [tmp_path / "gone.jpg"], 1)
