"""Bodies in AWS's chunked signing form, as SDKs send them with trailing checksums."""

from collections.abc import Mapping

from serverless_mlperf.platforms.local.gateway.errors import ApiError


def plain_body(body: bytes, headers: Mapping[str, str]) -> bytes:
    """The content of a body that may be `aws-chunked`; signatures and trailers are dropped.

    Chunks are `<hex size>[;chunk-signature=...]`, a line end, the data, a line end; the last has size 0 and may be
    followed by trailers (AmazonS3/latest/API/sigv4-streaming).
    """
    coded = "aws-chunked" in headers.get("content-encoding", "")
    if not coded and not headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
        return body
    content, position = bytearray(), 0
    while True:
        end = body.find(b"\r\n", position)
        try:
            size = int(body[position:end].split(b";")[0], 16) if end >= 0 else -1
        except ValueError:
            size = -1
        if size < 0 or end + 2 + size > len(body):
            raise ApiError(400, "IncompleteBody", "The aws-chunked body is damaged")
        if size == 0:
            return bytes(content)
        content += body[end + 2 : end + 2 + size]
        position = end + 4 + size
