"""Faults on demand as clients meet them: S3's errors and broken answers, lost events, the command that sets them."""

from collections.abc import Iterator, Mapping
import http.client
import json
import subprocess
import sys
from typing import Any

import boto3
from botocore.client import Config
from botocore.exceptions import ConnectionClosedError, IncompleteReadError, ResponseStreamingError
import pytest

from local_server import CREDENTIALS, PLATFORM, client, queue_policy, raw, refusal, serving

PAGE = "/_platform/faults"
BODY = b"0123456789" * 1000


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server of this module's own, which begins with faults."""
    with serving(*PLATFORM, "--faults", "s3-error=1,seed=3,prefix=never/") as found:
        yield found


@pytest.fixture(scope="module")
def s3(url: str) -> Iterator[Any]:
    """A client that tries once."""
    made = client("s3", url)
    made.create_bucket(Bucket="faults")
    yield made
    made.close()


def put_faults(url: str, **document: Any) -> None:
    """Set faults."""
    answer = raw(url, "PUT", PAGE, json.dumps(document).encode())
    assert answer.status == 200, answer.body


def injected(url: str) -> Mapping[str, int]:
    """How often each kind has struck."""
    found: Mapping[str, int] = json.loads(raw(url, "GET", PAGE).body)["injected"]
    return found


def command(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`serverless-mlperf local faults` against the server."""
    words = [sys.executable, "-m", "serverless_mlperf", "local", "faults", *arguments, "--endpoint-url", url]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_server_begins_with_faults(url: str, s3: Any) -> None:
    """What `--faults` asks for is set at once, and shown by the status page."""
    s3.put_object(Bucket="faults", Key="spared", Body=BODY)
    assert refusal(s3.put_object, Bucket="faults", Key="never/a", Body=BODY) == (500, "InternalError")
    status = json.loads(raw(url, "GET", "/_platform/status").body)["faults"]
    assert status["faults"]["rates"] == {"s3-error": 1}
    assert status["injected"] == {"s3-error": 1}


@pytest.mark.parametrize(("kind", "answer"), [("s3-error", (500, "InternalError")), ("s3-slowdown", (503, "SlowDown"))])
def test_s3_refuses(url: str, s3: Any, kind: str, answer: tuple[int, str]) -> None:
    """A refused PUT stores nothing, a refused DELETE removes nothing; a bucket's own operations are spared."""
    raw(url, "DELETE", PAGE)
    s3.put_object(Bucket="faults", Key="kept", Body=BODY)
    put_faults(url, rates={kind: 1})
    for call in (s3.get_object, s3.delete_object, s3.put_object):
        assert refusal(call, Bucket="faults", Key="kept") == answer
    assert refusal(s3.head_object, Bucket="faults", Key="kept")[0] == answer[0]
    listed = s3.list_objects_v2(Bucket="faults", Prefix="kept")["Contents"]
    assert [row["Size"] for row in listed] == [len(BODY)]
    assert injected(url) == {kind: 4}


def test_get_is_broken_off(url: str, s3: Any) -> None:
    """The head promises the whole body, half of it comes, and then the connection is closed."""
    put_faults(url, rates={"s3-truncate": 1})
    s3.put_object(Bucket="faults", Key="long", Body=BODY)
    with pytest.raises((IncompleteReadError, ResponseStreamingError)):
        s3.get_object(Bucket="faults", Key="long")["Body"].read()
    with pytest.raises(http.client.IncompleteRead) as error:
        raw(url, "GET", "/faults/long")
    assert error.value.partial == BODY[: len(BODY) // 2]
    assert s3.head_object(Bucket="faults", Key="long")["ContentLength"] == len(BODY)
    assert injected(url) == {"s3-truncate": 2}


def test_put_is_stored_but_not_answered(url: str, s3: Any) -> None:
    """The connection is closed without a byte, and the object is there."""
    put_faults(url, rates={"s3-cut": 1})
    with pytest.raises(ConnectionClosedError):
        s3.put_object(Bucket="faults", Key="unanswered", Body=BODY)
    with pytest.raises(http.client.RemoteDisconnected):
        raw(url, "PUT", "/faults/unanswered-raw", b"x")
    for key in ("unanswered", "unanswered-raw"):
        s3.head_object(Bucket="faults", Key=key)
    assert json.loads(raw(url, "GET", f"{PAGE}?kind=s3-cut").body) == ["PUT unanswered", "PUT unanswered-raw"]


def test_s3_is_slow(url: str, s3: Any) -> None:
    """A slow answer is the right one."""
    put_faults(url, rates={"s3-slow": 1}, s3_delay_s=0.01)
    s3.put_object(Bucket="faults", Key="slow", Body=BODY)
    assert s3.get_object(Bucket="faults", Key="slow")["Body"].read() == BODY
    assert injected(url) == {"s3-slow": 2}


def test_sdk_with_retries_sees_none_of_it(url: str, s3: Any) -> None:
    """boto3 as it is by default comes through one fault in five, and the objects are whole."""
    config = Config(s3={"addressing_style": "path"}, retries={"mode": "standard", "total_max_attempts": 8})
    s3.head_bucket(Bucket="faults")
    put_faults(url, rates={"s3-error": 0.1, "s3-slowdown": 0.1, "s3-cut": 0.1}, seed=1)
    patient = boto3.client("s3", endpoint_url=url, config=config, **CREDENTIALS)  # type: ignore[call-overload]
    try:
        for number in range(12):
            patient.put_object(Bucket="faults", Key=f"patient/{number}", Body=BODY)
            assert patient.head_object(Bucket="faults", Key=f"patient/{number}")["ContentLength"] == len(BODY)
    finally:
        patient.close()
    assert sum(injected(url).values()) > 0


def test_events_to_a_queue_are_lost_as_counted(url: str, s3: Any) -> None:
    """Every PUT is acknowledged, and the queue lacks exactly the keys that the platform says it has lost."""
    sqs = client("sqs", url)
    queue_url = sqs.create_queue(QueueName="told")["QueueUrl"]
    arn = "arn:aws:sqs:us-east-1:000000000000:told"
    rule = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes=queue_policy(arn, "faults"))
    s3.put_bucket_notification_configuration(Bucket="faults", NotificationConfiguration={"QueueConfigurations": [rule]})
    (test,) = sqs.receive_message(QueueUrl=queue_url)["Messages"]
    assert json.loads(test["Body"])["Event"] == "s3:TestEvent"
    put_faults(url, rates={"lose": 0.3}, seed=7, prefix="told/")
    for number in range(20):
        s3.put_object(Bucket="faults", Key=f"told/{number:02}", Body=b"")
    lost = json.loads(raw(url, "GET", f"{PAGE}?kind=lose").body)
    told = []
    while messages := sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages"):
        told += [json.loads(message["Body"])["Records"][0]["s3"]["object"]["key"] for message in messages]
    sqs.close()
    assert lost
    assert sorted([*told, *lost]) == [f"told/{number:02}" for number in range(20)]


@pytest.mark.parametrize("body", [b"", b"{", b'{"rates": {"lost": 1}}', b'{"rates": {"lose": NaN}}', b"[" * 99_999])
def test_nonsense_is_refused_by_the_page(url: str, body: bytes) -> None:
    """400 with one line, and what was set stays."""
    put_faults(url, rates={"lose": 0.5})
    answer = raw(url, "PUT", PAGE, body)
    assert answer.status == 400
    assert answer.body.startswith(b"faults: ")
    assert b"\n" not in answer.body
    assert json.loads(raw(url, "GET", PAGE).body)["faults"]["rates"] == {"lose": 0.5}


def test_command_sets_shows_and_clears(url: str) -> None:
    """The command does what the page does."""
    done = command(url, "set", "--rate", "lose=0.25", "--rate", "s3-slow=1", "--seed", "9", "--prefix", "x/")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["faults"]["rates"] == {"lose": 0.25, "s3-slow": 1}
    shown = json.loads(command(url, "show").stdout)["faults"]
    assert (shown["seed"], shown["prefix"]) == (9, "x/")
    assert command(url, "clear").returncode == 0
    assert json.loads(raw(url, "GET", PAGE).body)["faults"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["set", "--rate", "lost=0.1"], "'lost' is no kind"), (["set", "--rate", "lose=2"], "0 to 1"),
     (["set", "--rate", "lose"], "no KIND=RATE")],
)  # fmt: skip
def test_command_refuses_nonsense(url: str, arguments: list[str], words: str) -> None:
    """One line on stderr, exit status 2."""
    done = command(url, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_server_refuses_nonsense() -> None:
    """A server that is told nonsense does not start: one line, exit status 2."""
    done = subprocess.run(
        [sys.executable, *PLATFORM, "--faults", "lost=1"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: faults: 'lost' is no kind")
