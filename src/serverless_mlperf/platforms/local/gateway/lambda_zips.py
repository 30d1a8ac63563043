"""Packages as content-addressed zips."""

import base64
import binascii
from collections.abc import Container
from dataclasses import dataclass
import hashlib
import io
from pathlib import Path
from typing import Any
import uuid
import zipfile

from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.lambda_errors import invalid


@dataclass(frozen=True, slots=True)
class StoredZip:
    """A zip in the data folder."""

    sha256: str
    path: Path
    size: int
    """Bytes."""

    @property
    def code_sha256(self) -> str:
        """As Lambda's API gives it: base64 of the digest."""
        return base64.b64encode(bytes.fromhex(self.sha256)).decode()

    def as_document(self) -> dict[str, Any]:
        """Plain values, without the place: the folder may move."""
        return {"sha256": self.sha256, "size": self.size}


class ZipFolder:
    """Zips by digest; blocking: call it in a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, content: bytes) -> StoredZip:
        """Keep a zip; ApiError when it is none."""
        if not zipfile.is_zipfile(io.BytesIO(content)):
            raise invalid("Could not unzip uploaded file. Please check your file, then try to upload again.")
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
        return StoredZip(sha256, path, len(content))

    def stored(self, document: dict[str, Any]) -> StoredZip:
        """The zip of a document; whether it is there shows when it is used."""
        return StoredZip(document["sha256"], self.path(document["sha256"]), document["size"])

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


def zip_content(encoded: str) -> bytes:
    """A zip sent inline."""
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ApiError(400, "SerializationException", "ZipFile is not base64") from None
