"""The seed's way: a PUT of an input JSON triggers the function, its output object tells the end.

Completion is noticed through a queue that the platform tells of every object below `output/<cell>/`; the same
code serves AWS and the local platform.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
import json
import time
from typing import Final
from urllib.parse import quote

import aiohttp

from serverless_mlperf.platforms.base import Target
from serverless_mlperf.transports.base import Reply, RunContext, TransportError, error_text
from serverless_mlperf.transports.client import ServiceClient
from serverless_mlperf.transports.queue import CompletionQueue
from serverless_mlperf.transports.sigv4 import Identity
from serverless_mlperf_sut.protocol import Query, render_query

_BUSY: Final = (500, 502, 503, 504)
"""S3's transient answers; SDKs repeat these as well."""
_TRIES: Final = 4
_BACK_OFF_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Bounds of the client."""

    connections: int = 16
    """To S3, warmed before the first query; PUTs at once are bounded by the driver's `senders`."""
    fetches: int = 8
    """Results read at once."""
    pollers: int = 2
    """One may be handing over a message while another one waits for the next."""


class S3Transport:
    """Queries as input objects, results as output objects; implements transports.base.Transport."""

    def __init__(
        self,
        target: Target,
        samples: Sequence[str],
        run: str,
        identity: Identity | None = None,
        settings: S3Settings | None = None,
    ) -> None:
        """`samples` are object keys of images by sample index; keys of queries begin with `run-`.

        Without an identity requests are not signed: the local platform does not check signatures.
        """
        settings = settings or S3Settings()
        self._target, self._run = target, run
        self._samples = samples
        self._s3 = ServiceClient(target.s3_endpoint_url, "s3", target.region, identity, settings.connections)
        self._sqs = ServiceClient(target.sqs_endpoint_url, "sqs", target.region, identity, settings.pollers + 1)
        self._queue = CompletionQueue(self._sqs, target.queue_url, settings.pollers, self._notice)
        self._fetching = asyncio.Semaphore(settings.fetches)
        self._fetches: set[asyncio.Task[None]] = set()
        self._told: set[tuple[str, str]] = set()
        self._sent_ns: dict[str, int] = {}
        self._counts: Counter[str] = Counter()
        self._on_reply: Callable[[Reply], None] | None = None

    async def open(self, on_reply: Callable[[Reply], None]) -> None:
        """Connect, warm the pool and start to listen."""
        self._on_reply = on_reply
        await self._s3.open()
        await self._sqs.open()
        try:
            await self._s3.warm(self._path(f"{self._target.input_prefix}warm"))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            await self.close()
            raise TransportError(f"no answer from {self._target.s3_endpoint_url}: {error}; is it up?") from error
        self._queue.open()

    async def send(self, key: str, sample_index: int) -> None:
        """PUT one input JSON; a busy S3 is asked again, any other refusal raises TransportError."""
        query = Query((self._samples[sample_index],), self._target.output_prefix, self._target.completed_prefix)
        name = f"{self._target.input_prefix}{key}.json"
        status, answer = await self._patiently("PUT", self._path(name), render_query(query))
        if status != 200:
            raise TransportError(f"PUT of {name} refused: HTTP {status} {answer[:200].decode(errors='replace')}")
        self._sent_ns[key] = time.time_ns()

    async def close(self) -> None:
        """Stop listening and release connections; idempotent."""
        await self._queue.close()
        fetches = list(self._fetches)
        for task in fetches:
            task.cancel()
        await asyncio.gather(*fetches, return_exceptions=True)
        await self._s3.close()
        await self._sqs.close()

    def counts(self) -> Mapping[str, int]:
        """Stale, redelivered and unreadable notices, retries and queue errors so far."""
        return dict(self._counts + self._queue.counts)

    def _notice(self, object_key: str, sequencer: str, noticed_ns: int) -> None:
        name = object_key.rpartition("/")[2].removesuffix(".json")
        if not object_key.startswith(self._target.output_prefix) or name.rpartition("-")[0] != self._run:
            self._counts["stale"] += 1
            return
        # One write of an object has one sequencer: the same again is the same notice delivered twice, while a
        # second execution writes the object again.
        if sequencer and (object_key, sequencer) in self._told:
            self._counts["redelivered"] += 1
            return
        self._told.add((object_key, sequencer))
        task = asyncio.get_running_loop().create_task(self._fetch(object_key, name, noticed_ns))
        self._fetches.add(task)
        task.add_done_callback(self._fetches.discard)

    async def _fetch(self, object_key: str, key: str, noticed_ns: int) -> None:
        ok = not object_key.startswith(f"{self._target.output_prefix}errors/")
        body, raw, error = {}, b"", None
        async with self._fetching:
            try:
                status, raw = await self._patiently("GET", self._path(object_key))
                if status != 200:
                    raise TransportError(f"GET of {object_key}: HTTP {status}")
                body = json.loads(raw)
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError, TransportError) as reason:
                ok, error = False, f"result not read: {reason}"
        if not isinstance(body, dict):
            ok, body, error = False, {}, "result not read: not a JSON object"
        if self._on_reply is not None:
            error = error or (None if ok else error_text(body))
            sent_ns = self._sent_ns.get(key, 0)
            self._on_reply(Reply(key, ok, body, raw, error, sent_ns, noticed_ns, fetched_ns=time.time_ns()))

    async def _patiently(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        pause_s = _BACK_OFF_S
        for _ in range(_TRIES - 1):
            status, answer = await self._s3.request(method, path, body)
            if status not in _BUSY:
                return status, answer
            self._counts["retries"] += 1
            await asyncio.sleep(pause_s)
            pause_s *= 2
        return await self._s3.request(method, path, body)

    def _path(self, object_key: str) -> str:
        return f"/{self._target.bucket}/{quote(object_key)}"


SETTINGS: Final = S3Settings


def make(context: RunContext, settings: S3Settings) -> S3Transport:
    """Make one for a run."""
    return S3Transport(context.target, context.samples, context.run, context.identity, settings)
