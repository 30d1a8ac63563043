"""Buckets and objects, in memory: values without HTTP, XML or events."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
import itertools
import sys
from typing import Any

from sortedcontainers import SortedDict

from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.s3_checksums import Checksum
from serverless_mlperf.platforms.local.gateway.s3_errors import no_such_bucket, no_such_key
from serverless_mlperf.platforms.local.model import REGION


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart upload; of a complete object it keeps no bytes."""

    number: int
    size: int
    etag: str
    checksum: Checksum
    declared: bool
    """Whether the checksum is the client's choice."""
    modified: datetime
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of an object and what identifies them."""

    body: bytes
    etag: str
    checksum: Checksum
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object as it was put."""

    key: str
    content: Content
    modified: datetime
    sequencer: str
    """Increases with every write: orders the events of a key."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """content-type, x-amz-meta-* and the like, given back as they were sent."""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The bytes."""
        return self.content.body

    @property
    def etag(self) -> str:
        """The ETag, without quotes."""
        return self.content.etag

    @property
    def storage_class(self) -> str:
        """The storage class, kept as a header unless it is STANDARD."""
        return self.headers.get("x-amz-storage-class", "STANDARD")


@dataclass(frozen=True, slots=True)
class Rule:
    """A notification: what happens below a prefix is told to a function or a queue."""

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

    id: str
    key: str
    headers: Mapping[str, str]
    tags: Mapping[str, str]
    algorithm: str | None
    """Of the checksum that the client asked for."""
    kind: str
    """COMPOSITE or FULL_OBJECT."""
    begun: datetime
    parts: dict[int, Part] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CompletedUpload:
    """The answer to a completion, for a client that asks again."""

    id: str
    key: str
    rows: tuple[object, ...]
    """What the request listed."""
    document: bytes


@dataclass(slots=True)
class Bucket:
    """One bucket."""

    name: str
    created: datetime
    region: str = REGION
    # SortedDict has no types of its own: it is a dict whose keys are in order.
    objects: dict[str, StoredObject] = field(default_factory=SortedDict)
    rules: tuple[Rule, ...] = ()
    uploads: dict[str, Upload] = field(default_factory=dict)
    completed: dict[str, CompletedUpload] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    configurations: dict[str, bytes] = field(default_factory=dict)
    """Documents that are kept and given back, by sub-resource."""

    def keys_from(self, name: str | None) -> Iterator[str]:
        """Keys in order, from a name on; the order of code points is that of UTF-8's bytes, S3's order."""
        ordered: Any = self.objects
        if name is None:
            return iter(())
        keys: Iterator[str] = ordered.irange(name)
        return keys


class ObjectStore:
    """All buckets."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}
        self._sequence = itertools.count(1)

    @property
    def buckets(self) -> list[Bucket]:
        """Buckets by name."""
        return [self._buckets[name] for name in sorted(self._buckets)]

    def create(self, name: str, region: str = REGION) -> Bucket:
        """Make a bucket; one that exists is kept (us-east-1 answers 200 to its owner)."""
        return self._buckets.setdefault(name, Bucket(name, datetime.now(UTC), region))

    def bucket(self, name: str) -> Bucket:
        """The bucket; ApiError NoSuchBucket."""
        try:
            return self._buckets[name]
        except KeyError:
            raise no_such_bucket(name) from None

    def delete(self, name: str) -> None:
        """Remove an empty bucket."""
        if self.bucket(name).objects:
            raise ApiError(409, "BucketNotEmpty", "The bucket you tried to delete is not empty", {"BucketName": name})
        del self._buckets[name]

    def put(
        self, bucket: Bucket, key: str, content: Content, headers: Mapping[str, str], tags: Mapping[str, str]
    ) -> StoredObject:
        """Store an object, replacing one of the same key; ApiError when its bucket has gone meanwhile."""
        if self.bucket(bucket.name) is not bucket:
            raise no_such_bucket(bucket.name)
        stored = StoredObject(key, content, datetime.now(UTC), self._next_sequencer(), headers, tags)
        bucket.objects[key] = stored
        return stored

    def tag(self, bucket: Bucket, key: str, tags: Mapping[str, str]) -> StoredObject:
        """Replace the tags of an object, which does not change its modification time."""
        stored = replace(self.get(bucket, key), tags=tags, sequencer=self._next_sequencer())
        bucket.objects[key] = stored
        return stored

    def get(self, bucket: Bucket, key: str) -> StoredObject:
        """The object; ApiError NoSuchKey."""
        try:
            return bucket.objects[key]
        except KeyError:
            raise no_such_key(key) from None

    def remove(self, bucket: Bucket, key: str) -> StoredObject | None:
        """Delete an object; what it was, under the sequencer of its removal, or None when it was not there."""
        stored = bucket.objects.pop(key, None)
        return stored and replace(stored, modified=datetime.now(UTC), sequencer=self._next_sequencer())

    def _next_sequencer(self) -> str:
        return f"{next(self._sequence):018X}"


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
    for name, stored in _entries(bucket, prefix, delimiter, after):
        if len(objects) + len(prefixes) >= limit:
            # A page that was to hold nothing is not called truncated: asking for the next would never end.
            return Page(tuple(objects), tuple(prefixes), last if limit else None)
        last = name
        if stored is None:
            prefixes.append(name)
        else:
            objects.append(stored)
    return Page(tuple(objects), tuple(prefixes), None)


def _entries(bucket: Bucket, prefix: str, delimiter: str, after: str) -> Iterator[tuple[str, StoredObject | None]]:
    """Key -> object, or common prefix -> None, behind `after`, in order, each once.

    What follows a common prefix is found by a jump: a listing of folders does not walk through their keys.
    """
    rolled = common_prefix(after, prefix, delimiter)
    keys = bucket.keys_from(_behind(rolled) if rolled else max(after, prefix))
    while (key := next(keys, None)) is not None and key.startswith(prefix):
        if key == after:
            continue
        common = common_prefix(key, prefix, delimiter)
        if common:
            yield common, None
            keys = bucket.keys_from(_behind(common))
        else:
            yield key, bucket.objects[key]


def common_prefix(name: str, prefix: str, delimiter: str) -> str:
    """The name up to the first delimiter behind the prefix; empty when there is none."""
    if not delimiter or not name.startswith(prefix):
        return ""
    cut = name.find(delimiter, len(prefix))
    return name[: cut + len(delimiter)] if cut >= 0 else ""


def _behind(prefix: str) -> str | None:
    """The first text that sorts behind everything with a prefix; None when nothing does."""
    stem = prefix.rstrip(chr(sys.maxunicode))
    return stem[:-1] + chr(ord(stem[-1]) + 1) if stem else None
