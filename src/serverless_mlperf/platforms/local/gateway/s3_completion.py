"""The completion of a multipart upload: which parts, whether they fit, and what object they make."""

from base64 import b64decode
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final
import xml.etree.ElementTree as ET

from serverless_mlperf.platforms.local.gateway import s3_checksums
from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.http import Request
from serverless_mlperf.platforms.local.gateway.s3_checksums import Checksum
from serverless_mlperf.platforms.local.gateway.s3_errors import invalid_request, malformed_xml
from serverless_mlperf.platforms.local.gateway.s3_payload import bad_checksum, checksum_headers, read_payload
from serverless_mlperf.platforms.local.gateway.s3_store import Content, Part, Row, Upload
from serverless_mlperf.platforms.local.gateway.s3_xml import parse
from serverless_mlperf.platforms.local.journal.base import bytes_of

MIN_PART_BYTES: Final = 5 << 20
"""Of every part but the last (AmazonS3/latest/userguide/qfacts)."""
ELEMENT: Final = "Checksum"


@dataclass(frozen=True, slots=True)
class Completion:
    """Parts that passed all checks that need no hashing."""

    upload: Upload
    parts: tuple[Part, ...]
    wanted: Checksum | None
    """What the client says the whole object's checksum is."""

    @property
    def size(self) -> int:
        """Bytes of the object."""
        return sum(part.size for part in self.parts)

    def content(self) -> Content:
        """Join the parts; blocking for large ones.

        Raises ApiError BadDigest, FileNotFoundError when the upload was aborted meanwhile, DamagedBodyError.
        """
        body = b"".join(bytes_of(part.body) for part in self.parts)
        digests = b"".join(bytes.fromhex(part.etag) for part in self.parts)
        etag = f"{s3_checksums.raw_digest('MD5', digests).hex()}-{len(self.parts)}"
        chosen = self.upload.algorithm is not None
        parts = tuple(replace(part, body=b"", declared=chosen) for part in self.parts)
        return Content(body, etag, self._checksum(body), parts)

    def _checksum(self, body: bytes) -> Checksum:
        algorithm = self.upload.algorithm or s3_checksums.DEFAULT
        if self.upload.kind == s3_checksums.COMPOSITE:
            checksum = s3_checksums.composite(algorithm, (b64decode(part.checksum.value) for part in self.parts))
        else:
            checksum = s3_checksums.checksum_of(algorithm, body)
        if self.wanted is not None:
            same = self.wanted.algorithm == algorithm
            computed = checksum if same else s3_checksums.checksum_of(self.wanted.algorithm, body)
            if computed.value != self.wanted.value:
                raise bad_checksum(self.wanted.algorithm)
        return checksum


def read_rows(request: Request) -> tuple[Row, ...]:
    """The parts that a CompleteMultipartUpload lists; ApiError MalformedXML, InvalidPartOrder."""
    # An x-amz-checksum- header is about the object here, not about this document.
    about_body = {k: v for k, v in request.headers.items() if not k.startswith(s3_checksums.PREFIX)}
    document = read_payload(about_body, request.body, s3_checksums.DEFAULT).body
    # Old clients send the root element that some versions of the documentation have.
    root = parse(document, "CompleteMultipartUpload", "CompleteMultipartUploadResult")
    rows = tuple(_row(node) for node in root.findall("Part"))
    if not rows:
        raise malformed_xml()
    if any(one.number >= other.number for one, other in pairwise(rows)):
        raise ApiError(
            400,
            "InvalidPartOrder",
            "The list of parts was not in ascending order. Parts must be ordered by part number.",
        )
    return rows


def _row(node: ET.Element) -> Row:
    number, etag = node.findtext("PartNumber") or "", node.findtext("ETag")
    if not (number.isascii() and number.isdecimal()) or len(number) > 9 or etag is None:
        raise malformed_xml()
    sums = tuple((n.tag.removeprefix(ELEMENT), n.text) for n in node if n.tag.startswith(ELEMENT) and n.text)
    return Row(int(number), etag.strip().strip('"'), sums)


def completion_of(request: Request, upload: Upload, rows: tuple[Row, ...]) -> Completion:
    """Check what is listed against what was uploaded; ApiError as S3's."""
    parts = tuple(_part(row, upload) for row in rows)
    _check_sizes(parts)
    completion = Completion(upload, parts, checksum_headers(request.headers))
    _check_headers(request, completion)
    return completion


def _part(row: Row, upload: Upload) -> Part:
    part, given = upload.parts.get(row.number), dict(row.checksums)
    if part is None or part.etag != row.etag:
        raise _invalid_part(upload, row)
    if part.declared and given and given.get(part.checksum.algorithm) != part.checksum.value:
        raise _invalid_part(upload, row)
    if upload.algorithm and upload.kind == s3_checksums.COMPOSITE and not given:
        raise invalid_request(
            f"The upload was created using a {upload.algorithm.lower()} checksum. The complete request must include "
            f"the checksum for each part. It was missing for part {row.number} in the request."
        )
    return part


def _invalid_part(upload: Upload, row: Row) -> ApiError:
    return ApiError(
        400,
        "InvalidPart",
        "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified "
        "entity tag may not match the part's entity tag.",
        {"UploadId": upload.id, "PartNumber": row.number, "ETag": row.etag},
    )


def _check_sizes(parts: tuple[Part, ...]) -> None:
    for part in parts[:-1]:
        if part.size < MIN_PART_BYTES:
            raise ApiError(
                400,
                "EntityTooSmall",
                "Your proposed upload is smaller than the minimum allowed size",
                {
                    "ETag": part.etag,
                    "MinSizeAllowed": MIN_PART_BYTES,
                    "ProposedSize": part.size,
                    "PartNumber": part.number,
                },
            )


def _check_headers(request: Request, completion: Completion) -> None:
    """ApiError when the request says something else about the object than its upload."""
    headers, upload, wanted = request.headers, completion.upload, completion.wanted
    size = headers.get("x-amz-mp-object-size")
    if size is not None and size != str(completion.size):
        raise invalid_request(
            f"The provided 'x-amz-mp-object-size' header value {size} does not match what was computed: "
            f"{completion.size}"
        )
    if headers.get("x-amz-checksum-type", upload.kind).upper() != upload.kind:
        raise ApiError(
            400,
            "BadDigest",
            f"The upload was created using the {upload.kind} checksum mode. The complete request must use the same "
            "checksum mode.",
        )
    if wanted and upload.algorithm and wanted.algorithm != upload.algorithm:
        raise invalid_request(
            f"Checksum Type mismatch occurred, expected checksum Type: {upload.algorithm.lower()}, "
            f"actual checksum Type: {wanted.algorithm.lower()}"
        )
