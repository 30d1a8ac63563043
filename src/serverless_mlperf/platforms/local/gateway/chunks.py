"""Bodies in AWS's chunked signing form, as SDKs send them with trailing checksums."""

from collections.abc import Mapping

from serverless_mlperf.platforms.local.gateway.errors import ApiError


def is_chunked(headers: Mapping[str, str]) -> bool:
    """Whether a body is `aws-chunked`."""
    return headers.get("x-amz-content-sha256", "").startswith("STREAMING-") or "aws-chunked" in headers.get(
        "content-encoding", ""
    )


def read_chunks(body: bytes) -> tuple[bytes, dict[str, str]]:
    """The content of an `aws-chunked` body, and its trailers; signatures are not checked: nobody has a secret here.

    Chunks are `<hex size>[;chunk-signature=...]`, a line end, the data, a line end; the last has size 0 and may be
    followed by trailers (AmazonS3/latest/API/sigv4-streaming-trailers).
    """
    pieces: list[memoryview] = []
    view, position = memoryview(body), 0
    while True:
        end = body.find(b"\r\n", position)
        size = _size(body[position:end]) if end >= 0 else -1
        if size == 0:
            return b"".join(pieces), _trailers(body[end + 2 :])
        if size < 0 or body[end + 2 + size : end + 4 + size] != b"\r\n":
            raise ApiError(400, "IncompleteBody", "The request body terminated unexpectedly")
        pieces.append(view[end + 2 : end + 2 + size])
        position = end + 4 + size


def _size(line: bytes) -> int:
    """A chunk's size; -1 when there is none."""
    digits = line.split(b";")[0]
    try:
        return int(digits, 16) if digits.isalnum() else -1
    except ValueError:
        return -1


def _trailers(tail: bytes) -> dict[str, str]:
    """Trailer lines up to an empty one, names in lower case."""
    trailers: dict[str, str] = {}
    for line in tail.decode("latin-1").split("\n"):
        name, colon, value = line.strip("\r").partition(":")
        if not name:
            break
        if not colon:
            raise malformed_trailer()
        trailers[name.strip().lower()] = value.strip()
    return trailers


def malformed_trailer() -> ApiError:
    """Trailers are not what the headers promised."""
    return ApiError(
        400,
        "MalformedTrailerError",
        "The request contained trailing data that was not well-formed or did not conform to our published schema.",
    )
