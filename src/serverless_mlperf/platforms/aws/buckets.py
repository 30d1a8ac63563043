"""A bucket that is looked into, emptied and removed; every request names its owner."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from botocore.exceptions import ClientError

from serverless_mlperf.errors import InputError, PlatformError
from serverless_mlperf.platforms.aws.failures import code_of, is_missing, told
from serverless_mlperf.platforms.aws.session import Aws
from serverless_mlperf.platforms.aws.spec import TAG
from serverless_mlperf.redaction import redacted

BATCH: Final = 1000
"""Objects per request, of a listing and of a deletion."""


@dataclass(frozen=True, slots=True)
class Size:
    """What a bucket holds, as far as it was looked at."""

    objects: int
    size_bytes: int
    whole: bool
    """Whether there is no more than that."""


class Bucket:
    """One bucket of ours; blocking."""

    def __init__(self, aws: Aws, name: str) -> None:
        self.name = name
        self.shown = redacted(name)
        """For lines that somebody may publish: without the account."""
        self._client = aws.client("s3")
        self.owned: Mapping[str, str] = {"Bucket": name, "ExpectedBucketOwner": aws.account}

    def is_there(self) -> bool:
        """Whether the bucket is there; raises InputError when it is somebody else's."""
        with told(f"looking at bucket {self.shown}"):
            try:
                self._client.head_bucket(**self.owned)
            except ClientError as error:
                if is_missing(error):
                    return False
                if code_of(error) == "403":  # HEAD tells no more
                    raise InputError(
                        f"aws: bucket {self.shown} belongs to another account, or s3:ListBucket on it is denied; "
                        "choose another --project, or allow it"
                    ) from error
                raise
        return True

    def silence(self) -> None:
        """Tell nobody of new objects any more."""
        with told(f"taking the triggers off bucket {self.shown}"):
            self._client.put_bucket_notification_configuration(**self.owned, NotificationConfiguration={})

    def has_any(self, prefix: str) -> bool:
        """Whether there is an object below a prefix."""
        with told(f"looking into bucket {self.shown}"):
            return bool(self._client.list_objects_v2(**self.owned, Prefix=prefix, MaxKeys=1).get("Contents"))

    def size(self, pages: int = 10) -> Size:
        """Count what is there, of at most so many pages of a listing, each of which is paid for as a PUT."""
        with told(f"looking into bucket {self.shown}"):
            listed = self._client.get_paginator("list_objects_v2").paginate(**self.owned)
            looked_at = list(islice(listed, pages))
        sizes = [found["Size"] for page in looked_at for found in page.get("Contents", [])]
        return Size(len(sizes), sum(sizes), not looked_at[-1].get("IsTruncated", False))

    def is_tagged(self, project: str) -> bool:
        """Whether it bears our tag."""
        with told(f"reading the tags of bucket {self.shown}"):
            try:
                tags = self._client.get_bucket_tagging(**self.owned)["TagSet"]
            except ClientError as error:
                if is_missing(error):
                    return False
                raise
        return {"Key": TAG, "Value": project} in tags

    def empty(self) -> int:
        """Remove every object with all its versions, and every unfinished upload; how many objects there were."""
        removed = 0
        with told(f"emptying bucket {self.shown}"):
            for page in self._client.get_paginator("list_object_versions").paginate(**self.owned):
                found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
                removed += self._remove([{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found])
            for upload in self._uploads():
                self._client.abort_multipart_upload(**self.owned, Key=upload["Key"], UploadId=upload["UploadId"])
        return removed

    def delete(self) -> None:
        """Remove the empty bucket."""
        with told(f"deleting bucket {self.shown}"):
            self._client.delete_bucket(**self.owned)

    def _remove(self, objects: list[dict[str, str]]) -> int:
        for start in range(0, len(objects), BATCH):
            batch = {"Objects": objects[start : start + BATCH], "Quiet": True}
            refused = self._client.delete_objects(**self.owned, Delete=batch).get("Errors", [])
            if refused:
                first = refused[0]
                raise PlatformError(
                    f"aws: emptying bucket {self.shown}: {len(refused)} objects cannot be deleted, "
                    f"the first is {first['Key']}: {first['Code']}"
                )
        return len(objects)

    def _uploads(self) -> Iterator[Any]:
        for page in self._client.get_paginator("list_multipart_uploads").paginate(**self.owned):
            yield from page.get("Uploads", [])


def remove_bucket(bucket: Bucket, project: str, say: Callable[[str], None]) -> bool:
    """Empty and delete a bucket; whether it was there. One with objects and without our tag is not touched."""
    if not bucket.is_there():
        return False
    if not bucket.is_tagged(project) and bucket.size(1).objects:
        raise PlatformError(
            f"aws: bucket {bucket.shown} has no tag {TAG}={project}, so its objects may be somebody's; "
            "tag it or delete it yourself"
        )
    count = bucket.empty()
    bucket.delete()
    say(f"bucket {bucket.shown}: removed, with {count} objects")
    return True
