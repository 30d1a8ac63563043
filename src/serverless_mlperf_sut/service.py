"""One environment's work: initialise once, then serve queries, each to exactly one result or error record."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
import hashlib
from time import time_ns
from typing import Any, Final
import uuid

import numpy as np

from serverless_mlperf_sut import images, protocol
from serverless_mlperf_sut.engines.base import Engine, EngineError
from serverless_mlperf_sut.postprocess import check_shape, postprocess
from serverless_mlperf_sut.protocol import Query, QueryError
from serverless_mlperf_sut.settings import Settings
from serverless_mlperf_sut.stopwatch import Stopwatch
from serverless_mlperf_sut.storage import MissingError, Storage

MAX_MODEL_BYTES: Final = 512 * 2**20


@dataclass(slots=True)
class _Attempt:
    """What is known of one query while it is served."""

    event_key: str | None
    """None of a direct invocation, and of a record that names no object."""
    request_id: str
    query: Query
    start_ns: int
    watch: Stopwatch
    finish_ns: int = 0
    source: bytes = b""
    """The input JSON as read."""
    image: bytes | None = None
    """The image that came with the query; None where it lies in the bucket."""
    per_image: list[Stopwatch] = field(default_factory=list)

    def finish(self) -> None:
        """Note when the result was there, then book the images' phases: no longer in the timed region."""
        self.finish_ns = time_ns()
        for watch in self.per_image:
            self.watch.add(watch)


class Service:
    """A loaded engine and a bucket; one query at a time."""

    def __init__(self, settings: Settings, storage: Storage, engine: Engine, init: Stopwatch) -> None:
        self._settings, self._storage, self._engine, self._init = settings, storage, engine, init
        # Not at initialisation: environments restored from one snapshot would share it.
        self._environment_id: str | None = None
        self._invocations = 0
        self._previous_deliver: dict[str, Any] | None = None
        self._pool = ThreadPoolExecutor(1)

    def handle(self, event: object, request_id: str) -> dict[str, Any]:
        """Serve an S3 event (all its records) or an input JSON given directly; raises StorageError.

        Every record of an S3 event ends as an output, an error record or a known duplicate, whatever the others are.
        """
        attempt = _Attempt(None, request_id, protocol.default_query(), time_ns(), Stopwatch())
        self._invocations += 1
        if not protocol.is_s3_event(event):
            return self._answer(event, attempt)
        counts = {"delivered": 0, "errors": 0, "duplicates": 0}
        try:
            records = protocol.event_records(event)
        except QueryError as error:
            counts[self._reject_record(error, attempt, 0)] += 1
            return counts
        for number, record in enumerate(records):
            counts[self._process_record(record, attempt, number)] += 1
            attempt = _Attempt(None, request_id, protocol.default_query(), time_ns(), Stopwatch())
        return counts

    def _answer(self, document: object, attempt: _Attempt) -> dict[str, Any]:
        """Direct invocation: the caller gets the output JSON, or the error record."""
        try:
            if not isinstance(document, Mapping):
                raise QueryError("BadEvent", f"the event is a {type(document).__name__}: send an object")
            attempt.query = protocol.parse_query(document)
            attempt.image = protocol.parse_image_bytes(document, attempt.query)
            if attempt.image is not None:
                attempt.watch.lap("unpack")
            return self._serve(attempt)
        except QueryError as error:
            return self._error_record(error, attempt)

    def _process_record(self, record: object, attempt: _Attempt, number: int) -> str:
        try:
            key = protocol.record_key(record)
        except QueryError as error:
            return self._reject_record(error, attempt, number)
        attempt.event_key, attempt.query = key, protocol.default_query(key)
        return self._process(key, attempt)

    def _reject_record(self, error: QueryError, attempt: _Attempt, number: int) -> str:
        """Nobody reads what an event's invocation returns: a record that names no object is told in the bucket."""
        record = protocol.encode(self._error_record(error, attempt))
        self._storage.put(protocol.malformed_key(attempt.request_id, number), record)
        return "errors"

    def _process(self, key: str, attempt: _Attempt) -> str:
        """S3 event: what comes out is written to the bucket."""
        try:
            protocol.check_event_key(key)
            attempt.source = self._storage.get(key, protocol.MAX_INPUT_BYTES)
            attempt.query = protocol.parse_query(attempt.source, key)
            attempt.watch.lap("fetch_input")
            output = self._serve(attempt)
        except QueryError as error:
            return self._reject(error, attempt)
        self._deliver(output, attempt)
        return "delivered"

    def _serve(self, attempt: _Attempt) -> dict[str, Any]:
        """Run the images of a query through the model; this is the timed region."""
        results = [self._run(name, attempt) for name in attempt.query.image_filenames]
        attempt.finish()
        inf_perf = [self._inf_perf(watch, attempt.watch.milliseconds("unpack")) for watch in attempt.per_image]
        # One image is the seed's only case and gives its rows alone; several give one list each.
        result: list[Any] = results[0] if len(results) == 1 else results
        return protocol.render_output(attempt.query, result, inf_perf, self._sut(attempt))

    def _run(self, image_key: str, attempt: _Attempt) -> list[list[float]]:
        task = self._settings.task
        watch = Stopwatch()
        attempt.per_image.append(watch)
        data = attempt.image
        if data is None:
            data = self._storage.get(image_key, images.MAX_IMAGE_BYTES)
            watch.lap("fetch")
        pixels = images.decode(data)
        watch.lap("decode")
        batch = images.preprocess(task, pixels)
        # Freed while the clock of their phase runs: at the end of this method it would be nobody's time.
        del data, pixels
        watch.lap("preprocess")
        try:
            output = self._engine.infer(batch)
            watch.lap("forward")
            result = postprocess(task, output)
        except EngineError as error:
            raise QueryError("EngineError", str(error)) from error
        del batch, output
        watch.lap("postprocess")
        return result

    def _deliver(self, output: dict[str, Any], attempt: _Attempt) -> None:
        """Write the result, keep the input, and only when both are safe remove it from `input/`."""
        key, watch = attempt.event_key or "", Stopwatch()
        # Written anew, not copied: the bytes are at hand. Side by side with the output: one round trip less to bill.
        kept = self._pool.submit(self._storage.put, protocol.completed_key(attempt.query, key), attempt.source)
        try:
            self._storage.put(protocol.output_key(attempt.query, key), protocol.encode(output))
        finally:
            wait([kept])
        kept.result()
        self._storage.delete(key)
        self._note_delivery(attempt, watch)

    def _reject(self, error: QueryError, attempt: _Attempt) -> str:
        """Write an error record and move the input to `failed/`, unless this was a second delivery of an event."""
        key, watch = attempt.event_key or "", Stopwatch()
        input_missing = isinstance(error, MissingError) and not attempt.source
        if input_missing and self._ended_before(key):
            return "duplicates"
        record = self._error_record(error, attempt)
        self._storage.put(protocol.error_key(attempt.query, key), protocol.encode(record))
        if error.type != "BadEventKey" and not input_missing:
            self._move_to_failed(key)
        self._note_delivery(attempt, watch)
        return "errors"

    def _move_to_failed(self, key: str) -> None:
        try:
            self._storage.copy(key, protocol.failed_key(key))
        except MissingError:
            return  # another delivery of the same event has moved it
        self._storage.delete(key)

    def _ended_before(self, key: str) -> bool:
        """Tell whether a missing input was served or refused before: events come at least once."""
        return any(
            self._exists(kept)
            for kept in (protocol.completed_key(protocol.default_query(key), key), protocol.failed_key(key))
        )

    def _exists(self, key: str) -> bool:
        try:
            self._storage.get(key, protocol.MAX_INPUT_BYTES)
        except MissingError:
            return False
        except QueryError:
            return True  # there, and larger than an input may be: that is why it was refused
        return True

    def _note_delivery(self, attempt: _Attempt, watch: Stopwatch) -> None:
        watch.lap("deliver")
        self._previous_deliver = {
            "request_id": attempt.request_id,
            "wall_ns": watch.wall_ns["deliver"],
            "cpu_ns": watch.cpu_ns["deliver"],
        }

    def _error_record(self, error: QueryError, attempt: _Attempt) -> dict[str, Any]:
        if not attempt.finish_ns:
            attempt.finish()
        return protocol.render_error(attempt.query, error, self._sut(attempt))

    def _inf_perf(self, watch: Stopwatch, unpack_ms: float) -> dict[str, float | None]:
        return {
            "load_model": self._init.milliseconds("load_model", "compile"),
            "image_operations": unpack_ms + watch.milliseconds("fetch", "decode", "preprocess"),
            "forward": watch.milliseconds("forward"),
        }

    def _sut(self, attempt: _Attempt) -> dict[str, Any]:
        self._environment_id = self._environment_id or uuid.uuid4().hex
        return {
            "environment_id": self._environment_id,
            "request_id": attempt.request_id,
            "cold": self._invocations == 1,
            "invocation": self._invocations,
            "start_ns": attempt.start_ns,
            "finish_ns": attempt.finish_ns,
            **attempt.watch.as_json(),
            "init": {"begun_ns": self._init.begun_ns, **self._init.as_json()},
            "engine": self._engine_json(),
            "event_key": attempt.event_key,
            "previous_deliver": self._previous_deliver,
        }

    def _engine_json(self) -> dict[str, Any]:
        return {
            "name": self._engine.name,
            "version": self._engine.version,
            "precision": self._settings.precision,
            "threads": self._settings.threads,
        }


def start(settings: Settings, storage: Storage, engine: Engine, init: Stopwatch) -> Service:
    """Fetch and load the model and run it once; whatever fails here fails the environment's initialisation."""
    files = [storage.get(key, MAX_MODEL_BYTES) for key in settings.model_keys]
    init.lap("fetch_model")
    _check_digests(settings, files)
    init.lap("verify_model")
    engine.load(files, settings.threads, settings.precision)
    init.lap("load_model")
    engine.compile()
    init.lap("compile")
    _first_inference(settings.task, engine)
    init.lap("first_inference")
    return Service(settings, storage, engine, init)


def _first_inference(task: str, engine: Engine) -> None:
    """Let everything lazy happen once (decoder plug-ins, the engine's kernels and threads), on a grey picture."""
    size = images.INPUT_SIZES[task]
    pixels = images.decode(images.encode(np.full((size, size, 3), 128, np.uint8)))
    output = engine.infer(images.preprocess(task, pixels))
    check_shape(task, output)
    postprocess(task, output)


def _check_digests(settings: Settings, files: Sequence[bytes]) -> None:
    """Hold the files against what was deployed: engines load altered weights without a word and answer wrongly."""
    for key, data, wanted in zip(settings.model_keys, files, settings.model_sha256, strict=False):
        found = hashlib.sha256(data).hexdigest()
        if found != wanted:
            raise EngineError(
                f"{key} is not the file that was deployed ({len(data)} bytes, SHA-256 {found[:12]} instead of "
                f"{wanted[:12]}): upload the model again"
            )
