"""What the `invoke` transport does about refusals, failures and lost connections, and what it puts into requests."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_cloud import TinyCloud
from transport_cases import CLOSED, RUN, SAMPLES, Inbox, image_files, opened, run, wait_until

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.base import Credentials
from serverless_mlperf.transports.base import RunContext, TransportError
from serverless_mlperf.transports.invoke import InvokeSettings, InvokeTransport
from serverless_mlperf.transports.sigv4 import Identity

KEY = f"{RUN}-00000000"
S3REF = InvokeSettings(payload="s3ref")


def case(
    body: Callable[[TinyCloud, InvokeTransport, Inbox], Awaitable[None]],
    deadline_s: float = 20.0,
    **cloud_settings: Any,
) -> None:
    """Run a case against a function with some misbehaviour, images in the bucket."""

    async def whole() -> None:
        async with TinyCloud(**cloud_settings) as cloud:
            transport = InvokeTransport(RunContext(cloud.target, SAMPLES, RUN, deadline_s=deadline_s), S3REF)
            async with opened(transport) as inbox:
                await body(cloud, transport, inbox)

    run(whole)


def test_reply_carries_what_lambda_says() -> None:
    """The reply is there when `send` returns, its stamps are in order, and the log's REPORT line is read."""

    async def body(_: TinyCloud, transport: InvokeTransport, inbox: Inbox) -> None:
        await transport.send(KEY, 1)
        [reply] = inbox.replies
        assert (reply.key, reply.ok, reply.error, reply.sent_ns) == (KEY, True, None, 0)
        assert reply.body["ImageFilenames"] == [SAMPLES[1]]
        assert 0 < reply.asked_ns <= reply.noticed_ns <= reply.fetched_ns
        assert reply.report is not None
        assert (reply.report.request_id, reply.report.billed_ms, reply.report.init_ms) == ("request-1", 13, None)

    case(body)


def test_payloads_carry_the_image_or_its_key(tmp_path: Path) -> None:
    """Inline, the bytes of the sample's own file are in the event; by reference, its key alone."""

    async def whole() -> None:
        paths = image_files(tmp_path)
        async with TinyCloud() as cloud:
            for settings in (InvokeSettings(), S3REF):
                context = RunContext(cloud.target, SAMPLES, RUN, sample_paths=paths)
                async with opened(transport := InvokeTransport(context, settings)):
                    await transport.send(KEY, 1)
        inline, by_key = cloud.invocations
        assert by_key == {"ImageFilenames": [SAMPLES[1]]}
        assert inline["ImageFilenames"] == [SAMPLES[1]]
        assert base64.b64decode(inline["ImageBytes"]) == paths[1].read_bytes()

    run(whole)


def test_large_image_travels_whole(tmp_path: Path) -> None:
    """Megabytes arrive as they are; they are sent piece by piece."""

    async def whole() -> None:
        path = tmp_path / "large.jpg"
        path.write_bytes(bytes(range(256)) * 16_000)
        async with TinyCloud() as cloud:
            context = RunContext(cloud.target, SAMPLES[:1], RUN, sample_paths=[path])
            async with opened(transport := InvokeTransport(context)):
                await transport.send(KEY, 0)
        assert base64.b64decode(cloud.invocations[0]["ImageBytes"]) == path.read_bytes()

    run(whole)


def test_throttled_and_unready_requests_are_repeated() -> None:
    """What Lambda says it has not run is asked again, and counted by its reason; the wait is before `asked_ns`."""

    async def body(cloud: TinyCloud, transport: InvokeTransport, inbox: Inbox) -> None:
        await transport.send(KEY, 0)
        assert transport.counts() == {
            "throttles": 2,
            "throttles: ReservedFunctionConcurrentInvocationLimitExceeded": 2,
            "not_ready": 1,
        }
        assert (len(cloud.invocations), cloud.executed, len(inbox.replies)) == (4, 1, 1)

    case(body, faults=("throttle", "not_ready", "throttle"))


def test_throttled_query_ends_at_its_deadline() -> None:
    """A limit that stays reached ends the query, with the reason and the certainty that it has not run."""

    async def body(cloud: TinyCloud, transport: InvokeTransport, _: Inbox) -> None:
        with pytest.raises(TransportError, match=r"until its deadline: HTTP 429 TooManyReq.*: throttle.*has not run"):
            await transport.send(KEY, 0)
        assert cloud.executed == 0
        assert transport.counts()["throttles"] == len(cloud.invocations) > 1

    case(body, deadline_s=0.2, faults=("throttle",) * 1000)


@pytest.mark.parametrize(
    ("fault", "said", "count"),
    [
        ("service", "HTTP 500 ServiceException: service on purpose; the function may have run", {"service_errors": 1}),
        ("reset", "connection lost after the request was sent .* the function may have run", {"lost_connections": 1}),
        ("denied", "refused: HTTP 403 AccessDeniedException: denied on purpose", {}),
    ],
)
def test_what_may_have_run_is_never_repeated(fault: str, said: str, count: dict[str, int]) -> None:
    """One request each, and an error that says whether the function may have run."""

    async def body(cloud: TinyCloud, transport: InvokeTransport, inbox: Inbox) -> None:
        with pytest.raises(TransportError, match=said):
            await transport.send(KEY, 0)
        assert (len(cloud.invocations), inbox.replies, transport.counts()) == (1, [], count)
        await transport.send(KEY, 0)
        assert inbox.replies[0].ok

    case(body, faults=(fault,))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("function_error", "function error: ValueError: no good"),
        ("error_record", "BadImage: not a JPEG"),
        ("rubbish", "result not read: Expecting value"),
        ("cut", "result not read: the response broke off"),
    ],
)
def test_failed_execution_is_a_reply_that_is_not_ok(fault: str, error: str) -> None:
    """The function has run: there is a reply, it says what is wrong, and what it cost is known."""

    async def body(_: TinyCloud, transport: InvokeTransport, inbox: Inbox) -> None:
        await transport.send(KEY, 0)
        [reply] = inbox.replies
        assert not reply.ok
        assert reply.error is not None
        assert reply.error.startswith(error)
        assert reply.report is not None
        assert reply.report.billed_ms == 13

    case(body, faults=(fault,))


def test_slow_response_times_out_with_clear_words() -> None:
    """A response that does not come within the request's timeout leaves open whether the function has run."""

    async def whole() -> None:
        async with TinyCloud(faults=("slow",)) as cloud:
            settings = InvokeSettings(payload="s3ref", timeout_s=0.2)
            transport = InvokeTransport(RunContext(cloud.target, SAMPLES, RUN), settings)
            async with opened(transport) as inbox:
                with pytest.raises(TransportError, match=r"Timeout.* the function may have run"):
                    await transport.send(KEY, 0)
                assert inbox.replies == []

    run(whole)


def test_close_ends_what_is_in_flight() -> None:
    """A send that waits for its response ends with an error, and no reply comes of it."""

    async def body(cloud: TinyCloud, transport: InvokeTransport, inbox: Inbox) -> None:
        sending = asyncio.ensure_future(transport.send(KEY, 0))
        await wait_until(lambda: cloud.executed == 1)
        await transport.close()
        with pytest.raises(TransportError):
            await sending
        cloud.released.set()
        assert inbox.replies == []

    case(body, faults=("slow",))


def test_function_that_may_not_be_invoked_fails_the_opening() -> None:
    """It is asked before the first query, without running it."""

    async def whole() -> None:
        async with TinyCloud(deny_dry_runs=True) as cloud:
            transport = InvokeTransport(RunContext(cloud.target, SAMPLES, RUN), S3REF)
            with pytest.raises(TransportError, match="function f cannot be invoked: HTTP 403 AccessDenied"):
                await transport.open(Inbox().receive)
            assert cloud.executed == 0

    run(whole)


def test_no_server_is_a_transport_error() -> None:
    """Opening against a closed port fails at once, with the address; so does a query when the server has gone."""

    async def whole() -> None:
        async with TinyCloud() as cloud:
            lost = InvokeTransport(RunContext(cloud.target, SAMPLES, RUN), S3REF)
            await lost.open(Inbox().receive)
        with pytest.raises(TransportError, match=r"has not run|may have run"):
            await lost.send(KEY, 0)
        with pytest.raises(TransportError, match=r"no connection .* the function has not run"):
            await lost.send(KEY, 0)
        await lost.close()
        nowhere = InvokeTransport(RunContext(replace(cloud.target, lambda_endpoint_url=CLOSED), SAMPLES, RUN), S3REF)
        with pytest.raises(TransportError, match=r"127\.0\.0\.1:1"):
            await nowhere.open(Inbox().receive)

    run(whole)


def test_inline_without_files_is_an_input_error() -> None:
    """Who has no files is told of the other payload, before anything is sent."""

    async def whole() -> None:
        async with TinyCloud() as cloud:
            with pytest.raises(InputError, match="payload s3ref"):
                await InvokeTransport(RunContext(cloud.target, SAMPLES, RUN)).open(Inbox().receive)
            assert cloud.requests == []

    run(whole)


def test_requests_are_signed_with_credentials() -> None:
    """With credentials every request carries a signature for Lambda, and never the secret."""

    async def whole() -> None:
        async with TinyCloud() as cloud:
            identity = Identity(Credentials("AKID", "secret-key", "token"))
            context = RunContext(cloud.target, SAMPLES, RUN, identity)
            async with opened(transport := InvokeTransport(context, S3REF)):
                await transport.send(KEY, 0)
            for _, _, headers in cloud.requests:
                assert "/us-east-1/lambda/aws4_request" in headers["authorization"]
                assert "x-amz-invocation-type" in headers["authorization"]
                assert headers["x-amz-security-token"] == "token"
                assert "secret-key" not in str(headers)

    run(whole)
