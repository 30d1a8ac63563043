"""Objects of the function's bucket: few round trips, sizes checked before a body is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, Protocol

import obstore
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError
from obstore.store import S3Store

from serverless_mlperf_sut.protocol import QueryError

# One quick second try: a lost keep-alive connection (an environment may be frozen for minutes) is not worth an
# invocation; more than that is left to the platform's own retries, which are counted.
_RETRIES: Final[Any] = {
    "max_retries": 1,
    "backoff": {"init_backoff": timedelta(milliseconds=50), "max_backoff": timedelta(seconds=1), "base": 2},
    "retry_timeout": timedelta(seconds=20),
}


class StorageError(Exception):
    """The object store did not do its work: the invocation fails, so that the platform retries it."""


class MissingError(QueryError):
    """There is no such object, or it may not be read: S3 says 403 for 404 to who may not list."""

    def __init__(self, key: str) -> None:
        super().__init__("Missing", f"{key} does not exist or may not be read")


class Storage(Protocol):
    """Objects of one bucket, by checked keys. Blocking; used from two threads; nothing to close."""

    def get(self, key: str, max_bytes: int) -> bytes:
        """Read an object; raises MissingError, QueryError when it is larger, StorageError."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object; raises StorageError."""

    def copy(self, source: str, target: str) -> None:
        """Copy an object; raises MissingError, StorageError."""

    def delete(self, key: str) -> None:
        """Remove an object, also one that is gone already; raises StorageError."""


class S3Storage:
    """A bucket of S3; endpoint, region and credentials come from the AWS_* environment."""

    def __init__(self, bucket: str) -> None:
        with _translated("", bucket):
            # No client_options: they would replace what AWS_ALLOW_HTTP says. Timeouts are obstore's 5 s and 30 s.
            # One key is deleted at a time: a plain DELETE spares the XML and digest of DeleteObjects.
            self._store = S3Store(bucket, retry_config=_RETRIES, disable_bulk_delete=True)

    def get(self, key: str, max_bytes: int) -> bytes:
        """Read an object in one request: its size is known from the headers, before the body."""
        with _translated("GET", key):
            answer = obstore.get(self._store, key)
            size = answer.meta["size"]
            if size > max_bytes:
                raise QueryError("TooLarge", f"{key} of {size} bytes is larger than {max_bytes}")
            return bytes(answer.bytes())

    def put(self, key: str, data: bytes) -> None:
        """Write an object in one request, whatever its size."""
        with _translated("PUT", key, missing=False):
            obstore.put(self._store, key, data, use_multipart=False)

    def copy(self, source: str, target: str) -> None:
        """Copy within the bucket, on the server's side."""
        with _translated("COPY", source):
            obstore.copy(self._store, source, target)

    def delete(self, key: str) -> None:
        """Remove an object."""
        with _translated("DELETE", key, missing=False):
            obstore.delete(self._store, key)


class MemoryStorage:
    """Objects in a dictionary: the shipped fake. Keys in `broken` raise StorageError."""

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self.objects = dict(objects or {})
        self.broken: set[str] = set()
        self.log: list[str] = []

    def get(self, key: str, max_bytes: int) -> bytes:
        """Read an object."""
        self._note("GET", key)
        data = self._found(key)
        if len(data) > max_bytes:
            raise QueryError("TooLarge", f"{key} of {len(data)} bytes is larger than {max_bytes}")
        return data

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""
        self._note("PUT", key)
        self.objects[key] = data

    def copy(self, source: str, target: str) -> None:
        """Copy an object."""
        self._note("COPY", source)
        self.objects[target] = self._found(source)

    def delete(self, key: str) -> None:
        """Remove an object."""
        self._note("DELETE", key)
        self.objects.pop(key, None)

    def _note(self, verb: str, key: str) -> None:
        self.log.append(f"{verb} {key}")
        if key in self.broken:
            raise StorageError(f"{verb} {key}: broken on purpose")

    def _found(self, key: str) -> bytes:
        if key not in self.objects:
            raise MissingError(key)
        return self.objects[key]


@contextmanager
def _translated(verb: str, key: str, *, missing: bool = True) -> Iterator[None]:
    """Turn obstore's errors into ours; some of them it raises as Python's own."""
    try:
        yield
    except (NotFoundError, PermissionDeniedError, FileNotFoundError, PermissionError) as error:
        if missing:
            raise MissingError(key) from error
        raise StorageError(f"{verb} {key}: {_line(error)}") from error
    except (BaseError, OSError, ValueError) as error:
        raise StorageError(f"{verb} {key}: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
