"""Bodies of synchronous invocations, written once before the run: nothing is encoded in the timed region."""

from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Literal

from serverless_mlperf.errors import InputError
from serverless_mlperf.transports.sigv4 import Digested, digested
from serverless_mlperf_sut.protocol import MAX_REQUEST_BYTES, render_invocation

PayloadMode = Literal["inline", "s3ref"]
"""`inline`: the image travels in the request; `s3ref`: the function reads it from the bucket by its key."""


def encode_payloads(samples: Sequence[str], paths: Sequence[Path] | None, limit_mib: int) -> list[Digested]:
    """Write one request body per sample, with the image in it where there are paths.

    Blocking (reads all images). Raises InputError for an image that cannot be read or does not fit into a request,
    and when all bodies together would take more than `limit_mib` of memory.
    """
    payloads, size = [], 0
    for key, path in _pairs(samples, paths):
        body = render_invocation(key, None if path is None else _image(key, path))
        _check_request(key, len(body))
        size += len(body)
        if size > limit_mib << 20:
            raise InputError(
                f"{len(samples)} images as inline payloads take more than {limit_mib} MiB of the client's memory; "
                "use fewer images or payload s3ref"
            )
        payloads.append(digested(body))
    return payloads


def _pairs(samples: Sequence[str], paths: Sequence[Path] | None) -> Iterator[tuple[str, Path | None]]:
    if paths is None:
        return zip(samples, repeat(None), strict=False)
    return zip(samples, paths, strict=True)


def _image(key: str, path: Path) -> bytes:
    try:
        # Before it is read: a file may be far larger than a request.
        _check_request(key, path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"image {path}: cannot be read ({error.strerror}); repair or remove it") from error


def _check_request(key: str, size: int) -> None:
    if size >= MAX_REQUEST_BYTES:
        raise InputError(
            f"image {key} makes a request of {size} bytes or more, and Lambda's Invoke takes less than "
            f"{MAX_REQUEST_BYTES}; use a smaller image or payload s3ref"
        )
