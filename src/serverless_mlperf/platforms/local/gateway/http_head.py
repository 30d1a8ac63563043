"""The head of an HTTP request: its line, its headers, and how its body ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from serverless_mlperf.platforms.local.gateway.errors import BadRequestError
from serverless_mlperf.platforms.local.gateway.transfer import ChunkedBody

MAX_BODY_BYTES: Final = 512 << 20
"""Above the largest single PUT that an experiment makes (a layer of 250 MiB unzipped) and below the host's memory."""


@dataclass(slots=True)
class Head:
    """A request's line and headers, and how its body ends."""

    method: str
    target: str
    version: str
    headers: dict[str, str]
    length: int
    chunked: ChunkedBody | None

    @property
    def keeps_connection(self) -> bool:
        """Whether the client will send more; HTTP/1.0 has to ask for it (RFC 9112, 9.3)."""
        options = {option.strip() for option in self.headers.get("connection", "").lower().split(",")}
        return "close" not in options and (self.version == "HTTP/1.1" or "keep-alive" in options)


def read_head(text: str) -> Head:
    """Read a request's line and headers; a name that comes twice has its values joined (RFC 9110, 5.3)."""
    first, *lines = text.split("\r\n")
    method, target, version = _request_line(first)
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        # White space before the colon or a folded line is what request smuggling is made of (RFC 9112, 5.1).
        if not colon or not name or name[-1] in " \t" or name[0] in " \t":
            raise BadRequestError(400, "damaged header line")
        name, value = name.lower(), value.strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if headers.get("expect", "100-continue").lower() != "100-continue":
        raise BadRequestError(417, "no expectation but 100-continue is met")
    chunked = _is_chunked(headers)
    length = 0 if chunked else _body_length(headers)
    return Head(method, target, version, headers, length, ChunkedBody(MAX_BODY_BYTES) if chunked else None)


def _request_line(line: str) -> tuple[str, str, str]:
    parts = line.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/"):
        raise BadRequestError(400, "no HTTP request")
    method, target, version = parts
    if version not in {"HTTP/1.1", "HTTP/1.0"}:
        raise BadRequestError(505, f"{version} is not spoken here")
    if target.startswith(("http://", "https://")):  # as through a proxy (RFC 9112, 3.2.2)
        target = "/" + target.split("/", 3)[3] if target.count("/") > 2 else "/"
    return method, target, version


def _is_chunked(headers: Mapping[str, str]) -> bool:
    coding = headers.get("transfer-encoding", "").lower()
    if coding and (coding != "chunked" or "content-length" in headers):
        raise BadRequestError(400, "transfer-encoding must be chunked, without a content-length")
    return bool(coding)


def _body_length(headers: Mapping[str, str]) -> int:
    """Bytes of a body that is not chunked."""
    given = headers.get("content-length", "0")
    if not (given.isascii() and given.isdecimal()):
        raise BadRequestError(400, "content-length is no number")
    if int(given) > MAX_BODY_BYTES:
        raise BadRequestError(413, f"body larger than {MAX_BODY_BYTES} bytes")
    return int(given)
