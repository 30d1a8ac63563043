"""Buckets and objects, in memory: values without HTTP, XML or events."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
import hashlib
import itertools
from typing import Final

from serverless_mlperf.platforms.local.gateway.errors import ApiError

MAX_KEY_BYTES: Final = 1024
"""AmazonS3/latest/userguide/object-keys."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object as it was put."""

    key: str
    body: bytes
    etag: str
    modified: datetime
    sequencer: str
    """Increases with every write: orders the events of a key."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """content-type, x-amz-meta-* and checksums, given back as they were sent."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A notification: objects created below a prefix are told to a function or a queue."""

    id: str
    kind: str
    """`CloudFunction` or `Queue`, S3's element names."""
    arn: str
    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""

    def matches(self, event: str, key: str) -> bool:
        """Whether an event (`s3:ObjectCreated:Put`) of a key is to be told."""
        named = any(event == e or (e.endswith(":*") and event.startswith(e[:-1])) for e in self.events)
        return named and key.startswith(self.prefix) and key.endswith(self.suffix)


@dataclass(slots=True)
class Upload:
    """A multipart upload that is not complete."""

    key: str
    headers: Mapping[str, str]
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Bucket:
    """One bucket."""

    name: str
    created: datetime
    objects: dict[str, StoredObject] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    uploads: dict[str, Upload] = field(default_factory=dict)


class ObjectStore:
    """All buckets."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}
        self._sequence = itertools.count(1)

    @property
    def buckets(self) -> list[Bucket]:
        """Buckets by name."""
        return [self._buckets[name] for name in sorted(self._buckets)]

    def create(self, name: str) -> Bucket:
        """Make a bucket; one that exists is kept (us-east-1 answers 200 to its owner)."""
        return self._buckets.setdefault(name, Bucket(name, datetime.now(UTC)))

    def bucket(self, name: str) -> Bucket:
        """The bucket; ApiError NoSuchBucket."""
        try:
            return self._buckets[name]
        except KeyError:
            raise ApiError(404, "NoSuchBucket", f"The specified bucket does not exist: {name}") from None

    def delete(self, name: str) -> None:
        """Remove an empty bucket."""
        if self.bucket(name).objects:
            raise ApiError(409, "BucketNotEmpty", "The bucket you tried to delete is not empty")
        del self._buckets[name]

    def put(self, bucket: Bucket, key: str, body: bytes, etag: str, headers: Mapping[str, str]) -> StoredObject:
        """Store an object, replacing one of the same key."""
        if len(key.encode()) > MAX_KEY_BYTES:
            raise ApiError(400, "KeyTooLongError", "Your key is too long")
        stored = StoredObject(key, body, etag, datetime.now(UTC), f"{next(self._sequence):018X}", headers)
        bucket.objects[key] = stored
        return stored

    def get(self, bucket: Bucket, key: str) -> StoredObject:
        """The object; ApiError NoSuchKey."""
        try:
            return bucket.objects[key]
        except KeyError:
            raise ApiError(404, "NoSuchKey", "The specified key does not exist.") from None


def digest(body: bytes) -> str:
    """ETag of a single part: its MD5."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing."""

    objects: tuple[StoredObject, ...]
    prefixes: tuple[str, ...]
    next_after: str | None
    """The last key or prefix of a page that is not the last one."""


def list_objects(bucket: Bucket, prefix: str, delimiter: str, after: str, limit: int) -> Page:
    """A page of objects in key order, those with a delimiter behind the prefix rolled up."""
    objects: list[StoredObject] = []
    prefixes: list[str] = []
    last = after
    for name, stored in _entries(bucket, prefix, delimiter):
        if name <= after:
            continue
        if len(objects) + len(prefixes) >= limit:
            return Page(tuple(objects), tuple(prefixes), last)
        last = name
        if stored is None:
            prefixes.append(name)
        else:
            objects.append(stored)
    return Page(tuple(objects), tuple(prefixes), None)


def _entries(bucket: Bucket, prefix: str, delimiter: str) -> Iterator[tuple[str, StoredObject | None]]:
    """Key -> object, or common prefix -> None, in order, each once."""
    rolled = ""
    for key in sorted(k for k in bucket.objects if k.startswith(prefix)):
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            yield key, bucket.objects[key]
        elif (common := key[: cut + len(delimiter)]) != rolled:
            rolled = common
            yield common, None
