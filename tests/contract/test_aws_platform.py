"""AWS as an experiment sees it, against the double: stack, versions, objects, queues, reports; functions do not run."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
import json
from pathlib import Path
import sys
from threading import Event
import time
from typing import Any
from unittest.mock import patch
import zipfile

import boto3
from moto.awslambda.models import LambdaFunction
import pytest

from aws_double import AwsDouble, running
from serverless_mlperf.errors import BenchmarkError, InputError, PlatformError
from serverless_mlperf.platforms.aws.deployment import Deployment
from serverless_mlperf.platforms.aws.platform import AwsPlatform
from serverless_mlperf.platforms.aws.provider import AwsProvider, make
from serverless_mlperf.platforms.aws.request import Options, request_of
from serverless_mlperf.platforms.aws.session import Aws, open_session
from serverless_mlperf.platforms.aws.versions import NONCE
from serverless_mlperf.platforms.aws.waiting import Patience
from serverless_mlperf.platforms.base import Credentials, FunctionConfig
from serverless_mlperf.platforms.provider import Wishes
from serverless_mlperf.transports.base import Reply
from serverless_mlperf.transports.s3 import S3Transport
from serverless_mlperf.transports.sigv4 import Identity

CELLS = ("classification-ie-ir-768", "classification-ie-ir-7680")
BUCKET = "serverless-mlperf-123456789012-us-east-1"
REPORT = "REPORT RequestId: {}\tDuration: 12.34 ms\tBilled Duration: 13 ms\tMemory Size: 768 MB\tMax Memory Used: 80 MB"
FAST = Patience(pause_s=0.01)


@pytest.fixture(scope="module")
def server() -> Iterator[AwsDouble]:
    """One for all tests, which begin with nothing in it."""
    with running() as found:
        yield found


@pytest.fixture
def double(server: AwsDouble, monkeypatch: pytest.MonkeyPatch) -> AwsDouble:
    """An empty one, which boto3's chain leads to."""
    server.reset()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-testing")
    return server


@pytest.fixture
def aws(double: AwsDouble) -> Aws:
    """The account."""
    del double
    return open_session(region="us-east-1")


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> list[FunctionConfig]:
    """Two cells; the name of the one begins the name of the other."""
    folder = tmp_path_factory.mktemp("zips")
    for name in ("function", "fake"):
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as target:
            target.writestr(f"{name}.py", name)
    code, layer = folder / "function.zip", folder / "fake.zip"
    return [FunctionConfig("n", cell, 768, 20, 2, {"CV_TASK": "c"}, code, layer, "fake") for cell in CELLS]


Open = Callable[..., AwsPlatform]


@pytest.fixture
def opened(aws: Aws, functions: list[FunctionConfig]) -> Open:
    """A platform of both functions, not yet entered."""

    def make(say: Callable[[str], None] = lambda _: None, *, ephemeral: bool = False) -> AwsPlatform:
        return AwsPlatform(aws, Options(reserve=True), functions, say, ephemeral=ephemeral, patience=FAST)

    return make


def test_target_is_what_the_stack_has(opened: Open, functions: list[FunctionConfig], double: AwsDouble) -> None:
    """Alias, prefixes, queue and reserved environments of the cell, at the endpoints of the session."""
    with opened() as platform:
        target = platform.deploy(functions[0])
    reserved = double.api("lambda").get_function_concurrency(FunctionName=target.function_name.partition(":")[0])
    assert target.function_name == f"serverless-mlperf-{CELLS[0]}:live"
    assert (target.input_prefix, target.output_prefix) == (f"input/{CELLS[0]}/", f"output/{CELLS[0]}/")
    assert target.bucket == BUCKET
    assert target.queue_url.endswith(f"/serverless-mlperf-{CELLS[0]}")
    assert {target.s3_endpoint_url, target.lambda_endpoint_url, target.sqs_endpoint_url} == {double.url}
    assert target.concurrency == reserved["ReservedConcurrentExecutions"] == 2
    assert not target.absorbs_bursts


def test_every_deployment_is_a_new_version(opened: Open, functions: list[FunctionConfig], double: AwsDouble) -> None:
    """The alias leads to a version that has never run; of those that were published for runs the last one is kept."""
    functions_api, found = double.api("lambda"), []
    with opened() as platform:
        for _ in range(2):
            name = platform.deploy(functions[0]).function_name.partition(":")[0]
            version = functions_api.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
            published = functions_api.get_function_configuration(FunctionName=name, Qualifier=version)
            found.append((version, published["Environment"]["Variables"][NONCE]))
            assert published["Environment"]["Variables"]["CV_TASK"] == "c"
    versions = [v["Version"] for v in functions_api.list_versions_by_function(FunctionName=name)["Versions"]]
    assert [version for version, _ in found] == ["2", "3"]
    assert found[0][1] != found[1][1]
    assert versions == ["$LATEST", "1", "3"]


def test_put_reaches_exactly_one_function(opened: Open, functions: list[FunctionConfig], double: AwsDouble) -> None:
    """An input triggers its cell's version alone, though another cell's name begins with the same words."""
    invoked: list[str] = []

    def invoke(self: Any, body: str, headers: Mapping[str, str], answer: dict[str, str]) -> bytes:
        del headers, answer
        key = json.loads(body)["Records"][0]["s3"]["object"]["key"]
        invoked.append(f"{self.function_arn.partition(':function:')[2]} {key.replace('%2F', '/')}")
        return b""

    with opened() as platform, patch.object(LambdaFunction, "invoke", invoke):
        for function in functions:
            platform.deploy(function)
        for key in (f"input/{CELLS[0]}/q.json", f"input/{CELLS[1]}/q.json", f"input/{CELLS[0]}/q.txt", "input/q.json"):
            double.api("s3").put_object(Bucket=BUCKET, Key=key, Body=b"{}")
    assert invoked == [f"serverless-mlperf-{cell}:2 input/{cell}/q.json" for cell in CELLS]


def test_objects_are_sent_once(opened: Open, tmp_path: Path, double: AwsDouble) -> None:
    """Absent and changed ones are sent; the others are known by their digests."""
    said: list[str] = []
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    with opened(said.append) as platform:
        for content in (b"2", b"2", b"3"):
            two.write_bytes(content)
            platform.upload({"models/one": one, "synthetic/two": two})
        with pytest.raises(PlatformError, match="was it removed"):
            platform.upload({"models/none": tmp_path / "none"})
    assert [line for line in said if line.startswith("objects")] == [
        f"objects: {sent} of 2 sent, the others were there" for sent in (2, 0, 1)
    ]
    assert double.api("s3").get_object(Bucket=BUCKET, Key="synthetic/two")["Body"].read() == b"3"


def test_queue_is_empty_before_a_run(opened: Open, functions: list[FunctionConfig], double: AwsDouble) -> None:
    """What another run has left, S3's test event too, is gone when a function is deployed, and when it is retired."""
    queues = double.api("sqs")
    with opened() as platform:
        target = platform.deploy(functions[0])
        for done in (lambda: platform.deploy(functions[0]), lambda: platform.retire(target)):
            for _ in range(12):
                queues.send_message(QueueUrl=target.queue_url, MessageBody="{}")
            done()
            assert "Messages" not in queues.receive_message(QueueUrl=target.queue_url, VisibilityTimeout=0)


def write_report(double: AwsDouble, version: str, request_id: str, more: str = "") -> None:
    """As Lambda writes it."""
    logs, group = double.api("logs"), f"/aws/lambda/serverless-mlperf-{CELLS[0]}"
    stream = f"2026/01/01/[{version}]{request_id}"
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    events = [
        {"timestamp": time.time_ns() // 1_000_000, "message": text}
        for text in (f"START RequestId: {request_id} Version: {version}", REPORT.format(request_id) + more)
    ]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def test_reports_are_of_the_version_that_is_measured(
    opened: Open, functions: list[FunctionConfig], double: AwsDouble
) -> None:
    """Those of another version are not the target's."""
    with opened() as platform:
        target = platform.deploy(functions[0])
        write_report(double, "1", "other")
        write_report(double, "2", "mine")
        reports, usage = platform.observe(target, 0, 0, ["mine"])
    assert [(r.request_id, r.billed_ms, r.max_memory_mib) for r in reports] == [("mine", 13, 80)]
    assert usage.unreported == ()


def test_reports_are_waited_for_and_never_guessed(aws: Aws, functions: list[FunctionConfig], double: AwsDouble) -> None:
    """One that comes late is waited for; one that does not come by the deadline is named."""
    looks: list[float] = []
    due = Event()

    def rest(seconds: float) -> None:
        if due.is_set():
            looks.append(seconds)
            if len(looks) == 3:
                write_report(double, "2", "late")

    patience = Patience(pause_s=0.01, log_s=1.0, rest=rest)
    with AwsPlatform(aws, Options(), functions, lambda _: None, patience=patience) as platform:
        target = platform.deploy(functions[0])
        due.set()
        found, usage = platform.observe(target, 0, 0, ["late"])
        assert ([r.request_id for r in found], usage.unreported, len(looks)) == (["late"], (), 3)
        found, usage = platform.observe(target, 0, 0, ["late", "never", "nor this"])
    assert [r.request_id for r in found] == ["late"]
    assert usage.unreported == ("never", "nor this")


def test_credentials_are_the_sessions(opened: Open) -> None:
    """They are asked for when they are needed, and their secrets do not show."""
    found = opened().credentials()
    assert found == Credentials("testing", "hush-testing", None)
    assert "hush" not in repr(found)


def test_stack_stays_for_the_next_experiment(opened: Open, double: AwsDouble) -> None:
    """The second experiment finds nothing to change."""
    said: list[str] = []
    for _ in range(2):
        with opened(said.append):
            pass
    assert [line for line in said if line.startswith("stack serverless-mlperf: ")] == [
        "stack serverless-mlperf: create: 21 Add",
        "stack serverless-mlperf: nothing changes",
    ]
    assert double.left()["stacks"] == ["serverless-mlperf"]


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, PlatformError, ZeroDivisionError])
def test_ephemeral_stack_is_gone_however_it_ends(
    opened: Open, double: AwsDouble, functions: list[FunctionConfig], error: type[BaseException] | None
) -> None:
    """Nothing of it is left after an experiment that ended, was interrupted or failed, with objects in its bucket."""

    def experiment() -> None:
        with opened(ephemeral=True) as platform:
            platform.deploy(functions[0])
            double.api("s3").put_object(Bucket=BUCKET, Key="output/x", Body=b"x")
            if error is not None:
                raise error("an experiment")

    if error is None:
        experiment()
    else:
        with pytest.raises(error, match="an experiment"):
            experiment()
    assert double.left() == {}


def test_ephemeral_stack_is_gone_when_it_was_never_whole(opened: Open, double: AwsDouble) -> None:
    """An interruption while the stack is being made leaves nothing either."""

    def say(line: str) -> None:
        if line.startswith("uploading"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), opened(say, ephemeral=True):
        pytest.fail("it was entered")
    assert double.left() == {}


def test_ephemeral_does_not_take_a_stack_that_stands(opened: Open, double: AwsDouble) -> None:
    """It is refused before anything is changed, and what stood still stands."""
    with opened():
        pass
    with pytest.raises(InputError, match="stands already"), opened(ephemeral=True):
        pytest.fail("it was entered")
    assert double.left()["stacks"] == ["serverless-mlperf"]


def test_cell_beyond_the_quotas_fails_alone(aws: Aws, double: AwsDouble, functions: list[FunctionConfig]) -> None:
    """What a new account may not have is left out with a line; its cell is an error, the other one is deployed."""
    double.account.concurrent = double.account.unreserved = 10
    large = replace(functions[1], memory_mib=7680)
    said: list[str] = []
    with AwsPlatform(aws, Options(reserve=True), [functions[0], large], said.append, patience=FAST) as platform:
        assert platform.deploy(functions[0]).concurrency == 2
        with pytest.raises(BenchmarkError, match="quotas do not allow it"):
            platform.deploy(large)
    assert any("left out" in line for line in said)


def deployed(aws: Aws, functions: list[FunctionConfig], **options: Any) -> None:
    """As `deploy` leaves it."""
    wanted = request_of(functions, Options(reserve=True, **options))
    Deployment(aws, wanted, lambda _: None, FAST).deploy()


def test_run_leaves_what_was_deployed(aws: Aws, double: AwsDouble, functions: list[FunctionConfig]) -> None:
    """Options and other functions stay as they are, and are named; the plan has nothing to change."""
    boundary = "arn:aws:iam::123456789012:policy/edge"
    deployed(aws, functions, function_url=True, provisioned=1, permissions_boundary=boundary, log_retention_days=30)
    said: list[str] = []
    with AwsPlatform(aws, Options(reserve=True), functions[:1], said.append, patience=FAST) as platform:
        assert platform.deploy(functions[0]).concurrency == 2
    assert "stack serverless-mlperf: nothing changes" in said
    (line,) = [line for line in said if "keeps what it was deployed with" in line]
    words = ("--function-url", "--provisioned 1", "--permissions-boundary", "30 days", "1 other functions")
    assert [word for word in words if word not in line] == []
    assert boundary not in line
    assert len(double.left()["functions"]) == 2
    assert len(double.account.provisioned) == 2


def test_run_keeps_snapshots(aws: Aws, double: AwsDouble, functions: list[FunctionConfig]) -> None:
    """A run of the same functions leaves SnapStart on."""
    deployed(aws, functions[:1], snap_start=True)
    with AwsPlatform(aws, Options(reserve=True), functions[:1], lambda _: None, patience=FAST):
        pass
    (stack,) = double.cloudformation.stacks
    (function,) = [r for r in stack.template["Resources"].values() if r["Type"] == "AWS::Lambda::Function"]
    assert function["Properties"]["SnapStart"] == {"ApplyOn": "PublishedVersions"}


def test_run_adds_to_what_stands(aws: Aws, double: AwsDouble, functions: list[FunctionConfig]) -> None:
    """A function that is not there yet is made with the options of the others, and none is removed."""
    deployed(aws, functions[:1], function_url=True)
    said: list[str] = []
    with AwsPlatform(aws, Options(reserve=True), functions[1:], said.append, patience=FAST) as platform:
        platform.deploy(functions[1])
    (plan,) = [line for line in said if line.startswith("stack serverless-mlperf: update")]
    assert "Remove" not in plan
    assert sorted(double.left()["functions"]) == [f"serverless-mlperf-{cell}" for cell in CELLS]
    url = double.api("lambda").get_function_url_config(FunctionName=f"serverless-mlperf-{CELLS[1]}", Qualifier="live")
    assert url["AuthType"] == "AWS_IAM"


def test_run_keeps_what_only_its_owner_knew_to_be_allowed(
    aws: Aws, double: AwsDouble, functions: list[FunctionConfig]
) -> None:
    """A size that stands by --memory-quota is not left out of a run: it is there."""
    large = [replace(functions[1], memory_mib=7680)]
    deployed(aws, large)
    double.account.concurrent = double.account.unreserved = 10
    with AwsPlatform(aws, Options(), large, lambda _: None, patience=FAST) as platform:
        assert platform.deploy(large[0]).function_name == f"serverless-mlperf-{CELLS[1]}:live"


def test_run_takes_the_python_that_stands(aws: Aws, double: AwsDouble, functions: list[FunctionConfig]) -> None:
    """Unless one is wished, which functions that are not measured must not be made to follow."""
    del double
    assert make(Wishes("b", region="us-east-1")).describe()["python"] == "3.13"
    deployed(aws, functions, runtime="python3.12")
    assert make(Wishes("b", region="us-east-1")).describe()["python"] == "3.12"
    assert make(Wishes("b", region="us-east-1", python="3.13")).describe()["python"] == "3.13"
    newer = AwsPlatform(aws, Options(runtime="python3.13"), functions[:1], lambda _: None, patience=FAST)
    with pytest.raises(InputError, match=r"give --python 3\.12"), newer:
        pytest.fail("it was entered")


def test_transport_works_with_what_is_deployed(
    opened: Open, functions: list[FunctionConfig], double: AwsDouble
) -> None:
    """A query goes through the stack's bucket and queue with the platform's credentials, signed."""
    import asyncio

    def invoke(self: Any, body: str, headers: Mapping[str, str], answer: dict[str, str]) -> bytes:
        del self, body, headers, answer
        double.api("s3").put_object(Bucket=BUCKET, Key=f"output/{CELLS[0]}/run-00000000.json", Body=b'{"a": 1}')
        return b""

    async def query(transport: S3Transport) -> Reply:
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        await transport.open(answered.set_result)
        try:
            await transport.send("run-00000000", 0)
            return await asyncio.wait_for(answered, 20)
        finally:
            await transport.close()

    with opened() as platform, patch.object(LambdaFunction, "invoke", invoke):
        target, credentials = platform.deploy(functions[0]), platform.credentials()
        assert credentials is not None
        reply = asyncio.run(query(S3Transport(target, ["synthetic/a"], "run", Identity(credentials))))
    assert (reply.ok, reply.body) == (True, {"a": 1})


def test_python_of_the_functions_must_be_one_that_packages_are_for(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where functions run on AWS; a test server has this host's."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    AwsProvider(aws, Wishes("b", python=here)).check(None, [768], ["x86_64"])
    for python in ("3.9", "3.10"):
        with pytest.raises(InputError, match=f"--python {python}"):
            AwsProvider(aws, Wishes("b", python=python)).check(None, [768], ["arm64"])
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    session = boto3.session.Session("AKIAIOSFODNN7EXAMPLE", "example", region_name="us-east-1")
    real = Aws(aws.account, aws.region, aws.partition, session)
    AwsProvider(real, Wishes("b")).check(None, [768], ["x86_64", "arm64"])
    with pytest.raises(InputError, match=r"--python 3\.11"):
        AwsProvider(real, Wishes("b", python="3.11")).check(None, [768], ["x86_64"])


def test_failed_invocation_says_where_its_words_are(
    opened: Open, functions: list[FunctionConfig], double: AwsDouble
) -> None:
    """A report tells the type of an error alone."""
    with opened() as platform:
        target = platform.deploy(functions[0])
        write_report(double, "2", "bad", "\tStatus: error\tError Type: Runtime.ImportModuleError")
        (report,), _ = platform.observe(target, 0, 0)
    assert (report.status, report.error_type) == ("error", "Runtime.ImportModuleError")
    assert report.error_message == f"see log group /aws/lambda/serverless-mlperf-{CELLS[0]}"
