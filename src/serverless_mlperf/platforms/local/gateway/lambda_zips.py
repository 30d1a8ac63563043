"""Packages as content-addressed zips."""

import base64
import binascii
from collections.abc import Container, Iterable
from dataclasses import dataclass
import hashlib
import io
from pathlib import Path
from typing import IO, Any
import uuid

from serverless_mlperf.errors import PackageError
from serverless_mlperf.packages.archive import LIMIT_BYTES, unzipped_bytes
from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.lambda_errors import invalid


@dataclass(frozen=True, slots=True)
class StoredZip:
    """A zip in the data folder."""

    sha256: str
    path: Path
    size: int
    """Bytes."""
    unzipped: int
    """Bytes that its members come to, as they are announced."""

    @property
    def code_sha256(self) -> str:
        """As Lambda's API gives it: base64 of the digest."""
        return base64.b64encode(bytes.fromhex(self.sha256)).decode()

    def as_document(self) -> dict[str, Any]:
        """Plain values, without the place: the folder may move."""
        return {"sha256": self.sha256, "size": self.size, "unzipped": self.unzipped}


class ZipFolder:
    """Zips by digest; blocking: call it in a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, content: bytes) -> StoredZip:
        """Keep a zip; ApiError when it is none, or too large."""
        unzipped = _announced(io.BytesIO(content))
        if unzipped > LIMIT_BYTES:
            raise invalid(f"Unzipped size must be smaller than {LIMIT_BYTES} bytes")
        sha256 = hashlib.sha256(content).hexdigest()
        path = self.path(sha256)
        if not path.exists():
            partial = path.with_suffix(f".{uuid.uuid4().hex}")
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                partial.touch(0o600)
                partial.write_bytes(content)
                partial.replace(path)
            except OSError as error:
                partial.unlink(missing_ok=True)
                text = f"{path}: cannot be stored ({error.strerror}); free disk space there"
                raise ApiError(500, "ServiceException", text) from error
        return StoredZip(sha256, path, len(content), unzipped)

    def stored(self, document: dict[str, Any]) -> StoredZip:
        """The zip of a document; whether it is there shows when it is used.

        Blocking where the document comes from a version that did not note what its members come to.
        """
        path, unzipped = self.path(document["sha256"]), document.get("unzipped")
        if unzipped is None:
            unzipped = _measured(path)
        return StoredZip(document["sha256"], path, document["size"], unzipped)

    def find(self, sha256: str) -> bytes | None:
        """Content of a zip; None when there is none of that digest."""
        try:
            return self.path(sha256).read_bytes()
        except FileNotFoundError:
            return None

    def keep_only(self, digests: Container[str]) -> None:
        """Remove all other zips, and what a process that was killed had begun."""
        for path in self._folder.iterdir() if self._folder.exists() else ():
            if path.name.removesuffix(".zip") not in digests:
                path.unlink()

    def path(self, sha256: str) -> Path:
        """Where the zip of a digest lies."""
        return self._folder / f"{sha256}.zip"


def check_together(code: StoredZip, layers: Iterable[StoredZip]) -> None:
    """Refuse a function whose code and layers come to more than Lambda unzips."""
    total = code.unzipped + sum(layer.unzipped for layer in layers)
    if total > LIMIT_BYTES:
        raise invalid(
            f"Function code combined with layers exceeds the maximum allowed size of {LIMIT_BYTES} bytes. The actual "
            f"size is {total} bytes."
        )


def zip_content(encoded: str) -> bytes:
    """A zip sent inline."""
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ApiError(400, "SerializationException", "ZipFile is not base64") from None


def _announced(file: IO[bytes]) -> int:
    try:
        return unzipped_bytes(file)
    except PackageError:
        text = "Could not unzip uploaded file. Please check your file, then try to upload again."
        raise invalid(text) from None


def _measured(path: Path) -> int:
    """What a kept zip comes to; nothing where it is damaged or gone, which is told when its digest is looked at."""
    try:
        with path.open("rb") as file:
            return unzipped_bytes(file)
    except (OSError, PackageError):
        return 0
