"""Models and images in the experiment's bucket: sent only when what is there is not the same."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from serverless_mlperf.errors import PlatformError
from serverless_mlperf.packages.archive import digest
from serverless_mlperf.platforms.aws.artefacts import has_object, put_file
from serverless_mlperf.platforms.aws.session import Aws

AT_ONCE: Final = 8


class Objects:
    """Uploads to one bucket; blocking, with some transfers at once."""

    def __init__(self, aws: Aws, bucket: str, say: Callable[[str], None]) -> None:
        self._client = aws.client("s3")
        self._owned = {"Bucket": bucket, "ExpectedBucketOwner": aws.account}
        self._say = say

    def put(self, objects: Mapping[str, Path]) -> int:
        """Send what is absent or different, by digest; how many that were. Raises PlatformError."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            sent = sum(pool.map(self._put, objects.keys(), objects.values()))
        self._say(f"objects: {sent} of {len(objects)} sent, the others were there")
        return sent

    def _put(self, key: str, path: Path) -> bool:
        try:
            size, sha256 = path.stat().st_size, digest(path)
        except OSError as error:
            raise PlatformError(f"aws: {path} cannot be uploaded ({error.strerror}); was it removed?") from error
        if has_object(self._client, self._owned, key, size, sha256):
            return False
        put_file(self._client, self._owned, key, path, sha256)
        return True
