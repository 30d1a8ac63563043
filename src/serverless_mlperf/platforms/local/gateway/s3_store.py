"""Buckets and objects: values without HTTP, XML or events; every change of them passes through the store.

The store tells its journal of each change in the step that makes it. Who changes a bucket, object or upload otherwise
makes something that a restart forgets.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
import sys
from typing import Any, Final, NamedTuple

from sortedcontainers import SortedDict

from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.s3_checksums import Checksum
from serverless_mlperf.platforms.local.gateway.s3_errors import no_such_bucket, no_such_key
from serverless_mlperf.platforms.local.journal.base import Body, Entry, Journal, NoJournal, Placing, bytes_of
from serverless_mlperf.platforms.local.model import REGION

SEQUENCERS: Final = 1 << 20
"""Reserved at once: a restart goes on behind those, used or not."""


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
    body: Body = b""

    def as_document(self) -> dict[str, Any]:
        """As it is kept, without its body."""
        return {
            "number": self.number,
            "size": self.size,
            "etag": self.etag,
            "checksum": self.checksum.as_row(),
            "declared": self.declared,
            "modified": self.modified.timestamp(),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any], body: Body = b"") -> "Part":
        """The part that was kept."""
        made = {"checksum": Checksum(*document["checksum"]), "modified": moment_of(document["modified"])}
        return cls(**{**document, **made}, body=body)


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of an object and what identifies them."""

    body: Body
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

    def as_document(self) -> dict[str, Any]:
        """As it is kept, without its key and body."""
        content = self.content
        document = {
            "etag": content.etag,
            "checksum": content.checksum.as_row(),
            "modified": self.modified.timestamp(),
            "sequencer": self.sequencer,
            "headers": self.headers,
            "tags": self.tags,
        }
        return {**document, "parts": [part.as_document() for part in content.parts]} if content.parts else document

    @classmethod
    def from_document(cls, key: str, document: Mapping[str, Any], body: Body) -> "StoredObject":
        """The object that was kept."""
        parts = tuple(Part.from_document(part) for part in document.get("parts", ()))
        content = Content(body, document["etag"], Checksum(*document["checksum"]), parts)
        modified = moment_of(document["modified"])
        return cls(key, content, modified, document["sequencer"], document["headers"], document["tags"])

    @property
    def body(self) -> Body:
        """The bytes, or the file that they are in."""
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

    def as_document(self) -> dict[str, Any]:
        """As it is kept, without its id and parts."""
        return {
            "key": self.key,
            "headers": self.headers,
            "tags": self.tags,
            "algorithm": self.algorithm,
            "kind": self.kind,
            "begun": self.begun.timestamp(),
        }

    @classmethod
    def from_document(cls, upload_id: str, document: Mapping[str, Any]) -> "Upload":
        """The upload that was kept."""
        return cls(upload_id, **{**document, "begun": moment_of(document["begun"])})


class Row(NamedTuple):
    """What a completion says of one part."""

    number: int
    etag: str
    checksums: tuple[tuple[str, str], ...]
    """Algorithm and value."""


@dataclass(frozen=True, slots=True)
class CompletedUpload:
    """The answer to a completion, for a client that asks again."""

    id: str
    key: str
    rows: tuple[Row, ...]
    """What the request listed."""
    document: bytes

    def as_document(self) -> dict[str, Any]:
        """As it is kept, without its id and answer."""
        return {"key": self.key, "rows": self.rows}

    @classmethod
    def from_document(cls, upload_id: str, document: Mapping[str, Any], answer: bytes) -> "CompletedUpload":
        """The completion that was kept."""
        rows = tuple(Row(number, etag, tuple(map(tuple, sums))) for number, etag, sums in document["rows"])
        return cls(upload_id, document["key"], rows, answer)


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

    def as_document(self) -> dict[str, Any]:
        """As it is kept, without its name and what is in it."""
        return {
            "created": self.created.timestamp(),
            "region": self.region,
            "rules": [asdict(rule) for rule in self.rules],
            "tags": self.tags,
            # They came as bytes of any kind.
            "configurations": {name: content.decode("latin-1") for name, content in self.configurations.items()},
        }

    @classmethod
    def from_document(cls, name: str, document: Mapping[str, Any]) -> "Bucket":
        """The bucket that was kept."""
        rules = tuple(Rule(**{**rule, "events": tuple(rule["events"])}) for rule in document["rules"])
        made = cls(name, moment_of(document["created"]), document["region"], rules=rules, tags=document["tags"])
        made.configurations = {key: text.encode("latin-1") for key, text in document["configurations"].items()}
        return made

    def keys_from(self, name: str | None) -> Iterator[str]:
        """Keys in order, from a name on; the order of code points is that of UTF-8's bytes, S3's order."""
        ordered: Any = self.objects
        if name is None:
            return iter(())
        keys: Iterator[str] = ordered.irange(name)
        return keys


class ObjectStore:
    """All buckets."""

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal or NoJournal()
        self._buckets: dict[str, Bucket] = {}
        self._sequence = self._reserved = 0

    def load(self, kept: Mapping[str, list[Entry]]) -> None:
        """Take what an earlier process kept, by kind; before anything else."""
        for entry in kept.get("sequence", ()):
            self._sequence = self._reserved = entry.document["reserved"]
        for entry in kept.get("bucket", ()):
            name = entry.name[1]
            self._buckets[name] = Bucket.from_document(name, entry.document)
        for entry in kept.get("object", ()):
            _, bucket, key = entry.name
            self._buckets[bucket].objects[key] = StoredObject.from_document(key, entry.document, entry.body)
        for entry in sorted(kept.get("upload", ()), key=lambda e: e.document["begun"]):
            _, bucket, upload_id = entry.name
            self._buckets[bucket].uploads[upload_id] = Upload.from_document(upload_id, entry.document)
        for entry in kept.get("part", ()):
            _, bucket, upload_id, _ = entry.name
            part = Part.from_document(entry.document, entry.body)
            self._buckets[bucket].uploads[upload_id].parts[part.number] = part
        for entry in kept.get("completed", ()):
            _, bucket, upload_id = entry.name
            done = CompletedUpload.from_document(upload_id, entry.document, bytes_of(entry.body))
            self._buckets[bucket].completed[upload_id] = done

    @property
    def buckets(self) -> list[Bucket]:
        """Buckets by name."""
        return [self._buckets[name] for name in sorted(self._buckets)]

    def create(self, name: str, region: str = REGION) -> Bucket:
        """Make a bucket; one that exists is kept (us-east-1 answers 200 to its owner)."""
        if name not in self._buckets:
            made = self._buckets[name] = Bucket(name, datetime.now(UTC), region)
            self._journal.save(("bucket", name), made.as_document, partial(self._buckets.pop, name))
        return self._buckets[name]

    def bucket(self, name: str) -> Bucket:
        """The bucket; ApiError NoSuchBucket."""
        try:
            return self._buckets[name]
        except KeyError:
            raise no_such_bucket(name) from None

    def delete(self, name: str) -> None:
        """Remove an empty bucket."""
        bucket = self.bucket(name)
        if bucket.objects:
            raise ApiError(409, "BucketNotEmpty", "The bucket you tried to delete is not empty", {"BucketName": name})
        for upload in list(bucket.uploads.values()):
            self.end_upload(bucket, upload)
        for upload_id in list(bucket.completed):
            self._forget_completed(bucket, upload_id)
        del self._buckets[name]
        self._journal.remove(("bucket", name), partial(self._buckets.__setitem__, name, bucket))

    def configure(self, bucket: Bucket, **changes: Any) -> None:
        """Give fields of a bucket new values; ApiError when it has gone meanwhile."""
        self._check_present(bucket)
        former = {name: getattr(bucket, name) for name in changes}
        _set_fields(bucket, changes)
        self._journal.save(("bucket", bucket.name), bucket.as_document, partial(_set_fields, bucket, former))

    def place(self, body: bytes) -> Placing:
        """Put a body where bodies are kept, for the object or part that it will be of."""
        return self._journal.place(body)

    def put(
        self, bucket: Bucket, key: str, content: Content, headers: Mapping[str, str], tags: Mapping[str, str]
    ) -> StoredObject:
        """Store an object, replacing one of the same key; ApiError when its bucket has gone meanwhile."""
        self._check_present(bucket)
        return self._store(bucket, StoredObject(key, content, datetime.now(UTC), self._next_sequencer(), headers, tags))

    def tag(self, bucket: Bucket, key: str, tags: Mapping[str, str]) -> StoredObject:
        """Replace the tags of an object, which does not change its modification time."""
        return self._store(bucket, replace(self.get(bucket, key), tags=tags, sequencer=self._next_sequencer()))

    def get(self, bucket: Bucket, key: str) -> StoredObject:
        """The object; ApiError NoSuchKey."""
        try:
            return bucket.objects[key]
        except KeyError:
            raise no_such_key(key) from None

    def remove(self, bucket: Bucket, key: str) -> StoredObject | None:
        """Delete an object; what it was, under the sequencer of its removal, or None when it was not there."""
        stored = bucket.objects.pop(key, None)
        if stored is None:
            return None
        self._journal.remove(("object", bucket.name, key), partial(bucket.objects.__setitem__, key, stored))
        return replace(stored, modified=datetime.now(UTC), sequencer=self._next_sequencer())

    def begin_upload(self, bucket: Bucket, upload: Upload) -> None:
        """Note a multipart upload."""
        bucket.uploads[upload.id] = upload
        name = ("upload", bucket.name, upload.id)
        self._journal.save(name, upload.as_document, partial(bucket.uploads.pop, upload.id))

    def keep_part(self, bucket: Bucket, upload: Upload, part: Part) -> None:
        """Add a part, replacing one of the same number."""
        undo = partial(_put_back, upload.parts, part.number, upload.parts.get(part.number))
        upload.parts[part.number] = part
        self._journal.save(_part_name(bucket, upload, part), part.as_document, undo, part.body)

    def end_upload(self, bucket: Bucket, upload: Upload) -> None:
        """Forget an upload and its parts: it is complete or aborted."""
        del bucket.uploads[upload.id]
        for part in upload.parts.values():
            self._journal.remove(_part_name(bucket, upload, part), _nothing)
        undo = partial(bucket.uploads.__setitem__, upload.id, upload)
        self._journal.remove(("upload", bucket.name, upload.id), undo)

    def remember_completed(self, bucket: Bucket, done: CompletedUpload, most: int) -> None:
        """Keep the answer to a completion, and no more than the last so many of a bucket."""
        bucket.completed[done.id] = done
        name = ("completed", bucket.name, done.id)
        self._journal.save(name, done.as_document, partial(bucket.completed.pop, done.id), done.document)
        if len(bucket.completed) > most:
            self._forget_completed(bucket, next(iter(bucket.completed)))

    def _forget_completed(self, bucket: Bucket, upload_id: str) -> None:
        done = bucket.completed.pop(upload_id)
        undo = partial(bucket.completed.__setitem__, upload_id, done)
        self._journal.remove(("completed", bucket.name, upload_id), undo)

    def _check_present(self, bucket: Bucket) -> None:
        if self._buckets.get(bucket.name) is not bucket:
            raise no_such_bucket(bucket.name)

    def _store(self, bucket: Bucket, stored: StoredObject) -> StoredObject:
        key = stored.key
        undo = partial(_put_back, bucket.objects, key, bucket.objects.get(key))
        bucket.objects[key] = stored
        self._journal.save(("object", bucket.name, key), stored.as_document, undo, stored.content.body)
        return stored

    def _next_sequencer(self) -> str:
        self._sequence += 1
        if self._sequence > self._reserved:
            self._reserve(self._sequence + SEQUENCERS)
        return f"{self._sequence:018X}"

    def _reserve(self, reserved: int) -> None:
        former, self._reserved = self._reserved, reserved
        self._journal.save(("sequence",), lambda: {"reserved": reserved}, partial(setattr, self, "_reserved", former))


def moment_of(timestamp_s: float) -> datetime:
    """A time as documents have it."""
    return datetime.fromtimestamp(timestamp_s, UTC)


def _part_name(bucket: Bucket, upload: Upload, part: Part) -> tuple[str, ...]:
    return ("part", bucket.name, upload.id, str(part.number))


def _put_back(entries: dict[Any, Any], key: object, former: object) -> None:
    """Undo a change of one entry."""
    if former is None:
        del entries[key]
    else:
        entries[key] = former


def _set_fields(bucket: Bucket, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(bucket, name, value)


def _nothing() -> None:
    """The parts of an upload come back with it."""


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
