"""Where a package comes from: inline, or from a bucket; and where it can be had again."""

import asyncio
from typing import Any, Final

from serverless_mlperf.platforms.local.gateway.errors import ApiError, not_implemented
from serverless_mlperf.platforms.local.gateway.lambda_errors import invalid
from serverless_mlperf.platforms.local.gateway.lambda_zips import StoredZip, ZipFolder, zip_content
from serverless_mlperf.platforms.local.gateway.s3_store import ObjectStore
from serverless_mlperf.platforms.local.journal.base import Body, bytes_of

MEMBERS: Final = ("ZipFile", "S3Bucket", "S3Key")
DOWNLOADS: Final = "/_platform/zips/"
"""Where this server gives packages back, by digest."""
MAX_ZIPPED_BYTES: Final = 50 << 20
"""Of an inline package (lambda/latest/dg/gettingstarted-limits)."""


class CodeSource:
    """Takes packages and names the addresses where they are given back."""

    def __init__(self, store: ObjectStore, zips: ZipFolder, base_url: str) -> None:
        self._store = store
        self._zips = zips
        self._base_url = base_url

    async def take(self, code: dict[str, Any]) -> StoredZip:
        """The zip of a Code, Content or UpdateFunctionCode document."""
        if code.get("ZipFile"):
            content = zip_content(str(code["ZipFile"]))
            if len(content) > MAX_ZIPPED_BYTES:
                text = f"Zipped size must be smaller than {MAX_ZIPPED_BYTES} bytes"
                raise ApiError(413, "RequestEntityTooLargeException", text)
        elif code.get("S3Bucket") and code.get("S3Key"):
            content = await asyncio.to_thread(bytes_of, self._from_bucket(str(code["S3Bucket"]), str(code["S3Key"])))
        elif code.get("ImageUri"):
            raise not_implemented("container images")
        else:
            raise invalid("Please provide a source for function code.")
        return await asyncio.to_thread(self._zips.add, content)

    def address(self, content: StoredZip) -> str:
        """A URL that gives the zip."""
        return f"{self._base_url}{DOWNLOADS}{content.sha256}.zip"

    def _from_bucket(self, bucket: str, key: str) -> Body:
        try:
            return self._store.get(self._store.bucket(bucket), key).body
        except ApiError as error:
            text = f"Error occurred while GetObject. S3 Error Code: {error.code}. S3 Error Message: {error.message}"
            raise invalid(text) from None
