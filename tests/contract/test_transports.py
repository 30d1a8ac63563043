"""What every transport must do, and what the `s3` one does about a misbehaving cloud."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tiny_cloud import TinyCloud
from transport_cases import CLOSED, RUN, SAMPLES, Inbox, image_files, opened, run, wait_until

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.base import Credentials, Target
from serverless_mlperf.transports.base import RunContext, Transport, TransportError
from serverless_mlperf.transports.fake import FakeSettings, FakeTransport
from serverless_mlperf.transports.invoke import InvokeSettings, InvokeTransport
from serverless_mlperf.transports.s3 import S3Transport
from serverless_mlperf.transports.sigv4 import Identity
from serverless_mlperf.transports.table import TRANSPORTS, effective_options, make_transport

NOWHERE = Target("local", "us-east-1", CLOSED, CLOSED, CLOSED, "b", "f", "input/", "output/", "completed/", "q", 1)
CASES = ("fake", "invoke inline", "invoke s3ref", "s3")


@asynccontextmanager
async def against(case: str, folder: Path) -> AsyncIterator[Transport]:
    """Each transport in front of something that answers."""
    name, _, payload = case.partition(" ")
    if name == "fake":
        yield FakeTransport(FakeSettings(delay_s=0.01))
        return
    async with TinyCloud() as cloud:
        if name == "s3":
            yield S3Transport(cloud.target, SAMPLES, RUN)
            return
        context = RunContext(cloud.target, SAMPLES, RUN, sample_paths=image_files(folder))
        yield InvokeTransport(context, InvokeSettings(payload="inline" if payload == "inline" else "s3ref"))


def test_every_transport_is_a_case() -> None:
    """None of them is left out of the contract."""
    assert {case.partition(" ")[0] for case in CASES} == set(TRANSPORTS)


@pytest.mark.parametrize("name", CASES)
def test_every_query_gets_one_reply(name: str, tmp_path: Path) -> None:
    """Each key comes back once, with its result as delivered and stamps in order."""

    async def case() -> None:
        async with against(name, tmp_path) as transport, opened(transport) as inbox:
            keys = [f"{RUN}-{n:08d}" for n in range(30)]
            await asyncio.gather(*(transport.send(key, n % 2) for n, key in enumerate(keys)))
            replies = await inbox.expect(30)
        assert sorted(reply.key for reply in replies) == keys
        for reply in replies:
            assert reply.ok
            assert reply.error is None
            assert reply.body
            assert reply.raw
            assert reply.noticed_ns <= reply.fetched_ns
        assert not any(transport.counts().values())

    run(case)


@pytest.mark.parametrize("name", CASES)
def test_close_is_idempotent_and_silent(name: str, tmp_path: Path) -> None:
    """After `close` no reply comes, and a second `close` does nothing."""

    async def case() -> None:
        async with against(name, tmp_path) as transport, opened(transport) as inbox:
            await transport.send(f"{RUN}-00000000", 0)
            await transport.close()
            seen = len(inbox.replies)
            await transport.close()
            await asyncio.sleep(0.05)
            assert len(inbox.replies) == seen

    run(case)


def test_unknown_transport_is_an_input_error() -> None:
    """The error lists what is known."""
    with pytest.raises(InputError, match="known are s3, invoke, fake"):
        make_transport("pigeon", NOWHERE, SAMPLES, RUN)


def test_table_makes_each_transport() -> None:
    """Settings come as plain values."""

    async def case() -> None:
        fake = make_transport("fake", NOWHERE, SAMPLES, RUN, options={"delay_s": 1.0})
        s3 = make_transport("s3", NOWHERE, SAMPLES, RUN, options={"fetches": 2})
        invoke = make_transport("invoke", NOWHERE, SAMPLES, RUN, options={"payload": "s3ref"})
        assert (type(fake), type(s3), type(invoke)) == (FakeTransport, S3Transport, InvokeTransport)

    run(case)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"payload": "zip"}, "known are inline, s3ref"), ({"colour": 1}, "'colour' is unknown; known are payload")],
)
def test_unknown_option_is_an_input_error(options: dict[str, Any], said: str) -> None:
    """The error lists what is known."""
    with pytest.raises(InputError, match=said):
        make_transport("invoke", NOWHERE, SAMPLES, RUN, options=options)


def test_effective_options_name_the_payload() -> None:
    """What was not given is in a result as well; a transport that does not exist has no defaults."""
    assert effective_options("invoke", {})["payload"] == "inline"
    assert effective_options("invoke", {"payload": "s3ref"})["payload"] == "s3ref"
    assert effective_options("pigeon", {"speed": 3}) == {"speed": 3}


def s3_case(body: Callable[[TinyCloud, S3Transport, Inbox], Awaitable[None]], **cloud_settings: Any) -> None:
    """Run a case against a cloud with some misbehaviour."""

    async def case() -> None:
        async with TinyCloud(**cloud_settings) as cloud:
            transport = S3Transport(cloud.target, SAMPLES, RUN)
            async with opened(transport) as inbox:
                await body(cloud, transport, inbox)

    run(case)


def test_input_is_the_seeds_json() -> None:
    """The function finds the seed's three keys, the image by sample index."""

    async def body(cloud: TinyCloud, transport: S3Transport, inbox: Inbox) -> None:
        await transport.send(f"{RUN}-00000000", 0)
        [reply] = await inbox.expect(1)
        assert reply.body["ImageFilenames"] == [SAMPLES[0]]
        assert "output/c/run1-00000000.json" in cloud.objects
        assert reply.sent_ns > 0

    s3_case(body)


def test_told_messages_are_deleted() -> None:
    """Every message is deleted, in batches."""

    async def body(cloud: TinyCloud, transport: S3Transport, inbox: Inbox) -> None:
        await asyncio.gather(*(transport.send(f"{RUN}-{n:08d}", 0) for n in range(25)))
        await inbox.expect(25)
        await transport.close()
        assert len(cloud.deleted) == 25
        batches = sum(what == "DeleteMessageBatch" for _, what, _ in cloud.requests)
        assert batches < 15

    s3_case(body)


def test_busy_store_is_asked_again() -> None:
    """A 503 is repeated and counted."""

    async def body(_: TinyCloud, transport: S3Transport, inbox: Inbox) -> None:
        await transport.send(f"{RUN}-00000000", 0)
        await inbox.expect(1)
        assert transport.counts() == {"retries": 2}

    s3_case(body, refuse_puts=2)


@pytest.mark.parametrize("faults", [{"forbid_puts": True}, {"refuse_puts": 100}])
def test_refused_put_raises(faults: dict[str, Any]) -> None:
    """A store that says no, or stays busy, has not accepted the query."""

    async def body(_: TinyCloud, transport: S3Transport, __: Inbox) -> None:
        with pytest.raises(TransportError, match="refused"):
            await transport.send(f"{RUN}-00000000", 0)

    s3_case(body, **faults)


def test_failing_queue_is_asked_again_and_counted() -> None:
    """Receives that fail are repeated with back-off; nothing is lost, nothing is silent."""

    async def body(_: TinyCloud, transport: S3Transport, inbox: Inbox) -> None:
        await transport.send(f"{RUN}-00000000", 0)
        await inbox.expect(1)
        assert transport.counts()["queue_errors"] == 3

    s3_case(body, refuse_receives=3)


def test_error_record_is_a_reply_that_is_not_ok() -> None:
    """What lies below `errors/` carries its reason."""

    async def body(_: TinyCloud, transport: S3Transport, inbox: Inbox) -> None:
        await transport.send(f"{RUN}-00000000", 0)
        [reply] = await inbox.expect(1)
        assert (reply.key, reply.ok, reply.error) == (f"{RUN}-00000000", False, "BadImage: not a JPEG")

    s3_case(body, error_records=True)


@pytest.mark.parametrize("fault", ["broken_results", "cut_results"])
def test_unreadable_result_is_a_reply_that_is_not_ok(fault: str) -> None:
    """A damaged output, or one that does not come to its end, ends its query as an error, not as silence."""

    async def body(_: TinyCloud, transport: S3Transport, inbox: Inbox) -> None:
        await transport.send(f"{RUN}-00000000", 0)
        [reply] = await inbox.expect(1)
        assert not reply.ok
        assert reply.error is not None
        assert reply.error.startswith("result not read")

    s3_case(body, **{fault: True})


def test_notice_delivered_twice_is_no_second_execution() -> None:
    """The same sequencer is the same write: counted, not replied."""

    async def body(_: TinyCloud, transport: S3Transport, inbox: Inbox) -> None:
        await transport.send(f"{RUN}-00000000", 0)
        await wait_until(lambda: transport.counts().get("redelivered") == 1)
        assert len(await inbox.expect(1)) == 1

    s3_case(body, redeliver=True)


def test_second_execution_is_a_second_reply() -> None:
    """Another sequencer is another write of the output: the receiver must hear of it."""

    async def body(_: TinyCloud, transport: S3Transport, inbox: Inbox) -> None:
        await transport.send(f"{RUN}-00000000", 0)
        replies = await inbox.expect(2)
        assert {reply.key for reply in replies} == {f"{RUN}-00000000"}

    s3_case(body, execute_twice=True)


def test_notices_of_other_runs_are_deleted_and_counted() -> None:
    """A stale result never reaches the receiver; nor does S3's test event, nor rubbish."""

    async def body(cloud: TinyCloud, transport: S3Transport, inbox: Inbox) -> None:
        cloud.notify("output/c/other-00000001.json", "1")
        cloud.notify("output/d/run1-00000001.json", "2")
        cloud.messages += ['{"Event": "s3:TestEvent"}', "rubbish", "[1]", '{"Records": [{}]}']
        await transport.send(f"{RUN}-00000000", 0)
        await inbox.expect(1)
        await transport.close()
        assert len(inbox.replies) == 1
        assert transport.counts() == {"stale": 2, "unreadable_messages": 3}
        assert len(cloud.deleted) == 7

    s3_case(body)


def test_requests_are_signed_with_credentials() -> None:
    """With credentials every request carries a signature of its service, and never the secret."""

    async def case() -> None:
        async with TinyCloud() as cloud:
            identity = Identity(Credentials("AKID", "secret-key", "token"))
            transport = S3Transport(cloud.target, SAMPLES, RUN, identity)
            async with opened(transport) as inbox:
                await transport.send(f"{RUN}-00000000", 0)
                await inbox.expect(1)
            for method, _, headers in cloud.requests:
                service = "sqs" if method == "POST" else "s3"
                assert f"/us-east-1/{service}/aws4_request" in headers["authorization"]
                assert headers["x-amz-security-token"] == "token"
                assert "secret-key" not in str(headers)

    run(case)


def test_no_server_is_a_transport_error() -> None:
    """Opening against a closed port fails at once, with the address."""

    async def case() -> None:
        transport = S3Transport(NOWHERE, SAMPLES, RUN)
        with pytest.raises(TransportError, match=r"127\.0\.0\.1:1"):
            await transport.open(Inbox().receive)

    run(case)
