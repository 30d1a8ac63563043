"""Lambda's synchronous way: one Invoke request per query, whose response is the result.

`send` lasts until the response, so what is in flight is bounded by how many sends the caller runs at once: no more
than the target's concurrency, or Lambda answers 429. What waits for a free place waits in the client, and is measured
there (phase `client_wait`).

At most one execution per query: only what Lambda says it has not run is asked again. A connection that is lost after
the request was sent ends its query, for the function may have run.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
import json
import random
import time
from typing import Any, Final, get_args
from urllib.parse import quote

import aiohttp

from serverless_mlperf.errors import InputError
from serverless_mlperf.transports.base import Reply, RunContext, TransportError, error_text
from serverless_mlperf.transports.client import Answer, ServiceClient
from serverless_mlperf.transports.payloads import PayloadMode, encode_payloads
from serverless_mlperf.transports.sigv4 import Digested

_HEADERS: Final = {
    "content-type": "application/json",
    "x-amz-invocation-type": "RequestResponse",
    "x-amz-log-type": "Tail",
}
_DRY_RUN: Final = {"x-amz-invocation-type": "DryRun"}
_THROTTLED: Final = 429
_NOT_RUN: Final = frozenset(
    {
        "CodeArtifactUserPendingException",
        "EC2ThrottledException",
        "ENINotReadyException",
        "ResourceConflictException",
        "ResourceNotReadyException",
        "SnapStartNotReadyException",
    }
)
"""Errors of which Lambda says that the function is not ready to be invoked, and that one may try again (API_Invoke)."""
_PAUSE_S: Final = (0.02, 2.0)
"""First and longest pause before a refused request is repeated."""


@dataclass(frozen=True, slots=True)
class InvokeSettings:
    """How queries are put into requests."""

    payload: PayloadMode = "inline"
    timeout_s: float = 910.0
    """Of one request: more than the longest timeout a function can have, 900 s."""
    max_payload_mib: int = 1024
    """Memory that all request bodies together may take."""

    def __post_init__(self) -> None:
        if self.payload not in get_args(PayloadMode):
            known = ", ".join(get_args(PayloadMode))
            raise InputError(f"transport invoke: payload {self.payload!r} is unknown; known are {known}")


class InvokeTransport:
    """Queries as requests, results as their responses; implements transports.base.Transport."""

    def __init__(self, context: RunContext, settings: InvokeSettings | None = None) -> None:
        """Inline payloads need the context's `sample_paths`."""
        self._settings = settings or InvokeSettings()
        self._context = context
        target = context.target
        self._function = target.function_name
        self._path = f"/2015-03-31/functions/{quote(target.function_name, safe='')}/invocations"
        self._endpoint = target.lambda_endpoint_url
        self._client = ServiceClient(self._endpoint, "lambda", target.region, context.identity, target.concurrency)
        self._payloads: list[Digested] = []
        self._counts: Counter[str] = Counter()
        self._on_reply: Callable[[Reply], None] | None = None

    async def open(self, on_reply: Callable[[Reply], None]) -> None:
        """Write all request bodies, connect, and see that the function may be invoked; raises InputError."""
        self._payloads = await asyncio.to_thread(self._encode)
        await self._client.open()
        try:
            answers = await self._client.warm(self._path, "POST", _DRY_RUN)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            await self.close()
            raise TransportError(f"no answer from {self._endpoint}: {error}; is it up?") from error
        refused = [answer for answer in answers if 400 <= answer.status < 500 and answer.status != _THROTTLED]
        if refused:
            await self.close()
            raise TransportError(f"function {self._function} cannot be invoked: {_refusal(refused[0])}")
        self._on_reply = on_reply

    async def send(self, key: str, sample_index: int) -> None:
        """Invoke, wait for the response and reply; raises TransportError when there is none."""
        asked_ns, answer = await self._ask(self._payloads[sample_index])
        noticed_ns = time.time_ns()
        body, error = _read(answer)
        if self._on_reply is not None:
            log_result = answer.headers.get("x-amz-log-result", "")
            stamps = {"asked_ns": asked_ns, "noticed_ns": noticed_ns, "fetched_ns": time.time_ns()}
            self._on_reply(Reply(key, error is None, body, answer.body, error, **stamps, log_result=log_result))

    async def close(self) -> None:
        """Give up what is in flight and release connections; idempotent."""
        self._on_reply = None
        await self._client.close()

    def counts(self) -> Mapping[str, int]:
        """429 answers (also by their reason), functions not ready, service errors and lost connections so far."""
        return dict(self._counts)

    def _encode(self) -> list[Digested]:
        paths = self._context.sample_paths
        if self._settings.payload == "s3ref":
            paths = None
        elif paths is None:
            raise InputError("transport invoke: payload inline needs the image files; use payload s3ref without them")
        return encode_payloads(self._context.samples, paths, self._settings.max_payload_mib)

    async def _ask(self, payload: Digested) -> tuple[int, Answer]:
        """Ask until the request is accepted; returns when the accepted one began, and the response."""
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + self._context.deadline_s
        pauses = _pauses()
        while True:
            asked_ns = time.time_ns()
            answer = await self._exchange(payload)
            if answer.status == 200:
                return asked_ns, answer
            self._check_repeatable(answer)
            pause_s = max(next(pauses), _retry_after_s(answer))
            if loop.time() + pause_s >= give_up_s:
                raise TransportError(f"refused until its deadline: {_refusal(answer)}; the function has not run")
            await asyncio.sleep(pause_s)

    async def _exchange(self, payload: Digested) -> Answer:
        try:
            return await self._client.exchange("POST", self._path, payload, _HEADERS, self._settings.timeout_s)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            self._counts["no_connection"] += 1
            raise TransportError(f"no connection to {self._endpoint}: {error}; the function has not run") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._counts["lost_connections"] += 1
            raise TransportError(
                f"connection lost after the request was sent ({error!r}); the function may have run"
            ) from error

    def _check_repeatable(self, answer: Answer) -> None:
        """Count a refusal; raises TransportError unless Lambda says that it has not run and may be asked again."""
        if answer.status == _THROTTLED:
            self._counts["throttles"] += 1
            self._counts[f"throttles: {_error_field(answer, 'Reason') or 'no reason given'}"] += 1
        elif _error_type(answer) in _NOT_RUN:
            self._counts["not_ready"] += 1
        elif answer.status >= 500:
            self._counts["service_errors"] += 1
            raise TransportError(f"{_refusal(answer)}; the function may have run")
        else:
            raise TransportError(f"refused: {_refusal(answer)}")


def _read(answer: Answer) -> tuple[dict[str, Any], str | None]:
    """Body of a response, and what is wrong with it."""
    if answer.cut is not None:
        return {}, f"result not read: the response broke off ({answer.cut}); the function has run"
    try:
        body = json.loads(answer.body)
    except ValueError as error:
        return {}, f"result not read: {error}"
    if not isinstance(body, dict):
        return {}, "result not read: not a JSON object"
    if "x-amz-function-error" in answer.headers:
        return body, f"function error: {body.get('errorType')}: {body.get('errorMessage')}"
    return body, error_text(body) if "error" in body else None


def _pauses() -> Iterator[float]:
    """Growing pauses, each shortened at random, so that those who were refused together do not come back together."""
    pause_s, longest_s = _PAUSE_S
    while True:
        yield pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
        pause_s = min(2 * pause_s, longest_s)


def _retry_after_s(answer: Answer) -> float:
    given = answer.headers.get("retry-after", "")
    return float(given) if given.isdecimal() else 0.0


def _refusal(answer: Answer) -> str:
    message = _error_field(answer, "message") or _error_field(answer, "Message") or answer.body[:200].decode("latin-1")
    return f"HTTP {answer.status} {_error_type(answer)}: {message}".strip()


def _error_type(answer: Answer) -> str:
    """`TooManyRequestsException` of `TooManyRequestsException:http://...`."""
    return answer.headers.get("x-amzn-errortype", "").partition(":")[0]


def _error_field(answer: Answer, name: str) -> str:
    try:
        document = json.loads(answer.body)
    except ValueError:
        return ""
    return str(document.get(name) or "") if isinstance(document, dict) else ""


SETTINGS: Final = InvokeSettings


def make(context: RunContext, settings: InvokeSettings) -> InvokeTransport:
    """Make one for a run."""
    return InvokeTransport(context, settings)
