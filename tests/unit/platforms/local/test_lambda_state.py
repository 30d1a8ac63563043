"""What Lambda keeps, as documents; states on the way; policies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
import json
from pathlib import Path
from typing import Any
import zipfile

from executor_functions import APP, until
import pytest

from serverless_mlperf.platforms.local.executor import LocalExecutor
from serverless_mlperf.platforms.local.gateway.http import Request
from serverless_mlperf.platforms.local.gateway.lambda_api import LambdaApi
from serverless_mlperf.platforms.local.gateway.lambda_state import RUNTIME, Kind, LambdaState
from serverless_mlperf.platforms.local.gateway.lambda_zips import StoredZip, ZipFolder
from serverless_mlperf.platforms.local.gateway.policies import S3, allowed
from serverless_mlperf.platforms.local.gateway.s3_checksums import checksum_of
from serverless_mlperf.platforms.local.gateway.s3_store import Content, ObjectStore
from serverless_mlperf.platforms.local.model import FunctionSpec

FUNCTIONS = "/2015-03-31/functions"
ROLE = "arn:aws:iam::000000000000:role/r"


class HeldExecutor(LocalExecutor):
    """Prepares functions only when it is let to."""

    held = False

    async def prepare(self, spec: FunctionSpec | None = None) -> None:
        """Wait, then prepare."""
        while self.held:
            await asyncio.sleep(0.01)
        await super().prepare(spec)


class Front:
    """Lambda's API without a socket, and a package in a bucket."""

    def __init__(self, folder: Path, executor: LocalExecutor) -> None:
        store = ObjectStore()
        package = folder / "app.zip"
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("app.py", APP)
        body = package.read_bytes()
        store.put(store.create("code"), "app.zip", Content(body, "0" * 32, checksum_of("CRC32", body)), {}, {})
        self.state = LambdaState(ZipFolder(folder / "zips"))
        self.api = LambdaApi(self.state, store, executor, lambda _: True, 4566)
        self.changes: list[tuple[Kind, str]] = []
        self.state.listeners.append(lambda kind, name: self.changes.append((kind, name)))

    async def ask(self, method: str, path: str, value: Any = None, status: int = 200) -> Any:
        """One request; what its answer says."""
        body = b"" if value is None else json.dumps(value).encode()
        answer = await self.api.handle(Request(method, path, {}, body))
        assert answer.status == status, bytes(answer.body)
        return json.loads(bytes(answer.body) or b"null")

    async def create(self, name: str, **settings: Any) -> Any:
        """CreateFunction of the package."""
        common = {"Runtime": RUNTIME, "Role": ROLE, "Handler": "app.lambda_handler", "MemorySize": 1536, "Timeout": 20}
        code = {"S3Bucket": "code", "S3Key": "app.zip"}
        return await self.ask("POST", FUNCTIONS, {"FunctionName": name, "Code": code, **common, **settings}, 201)

    def update(self, name: str) -> Any:
        """LastUpdateStatus of a function."""
        return self.state.functions[name].latest.progress.update


@asynccontextmanager
async def front(folder: Path) -> AsyncIterator[tuple[Front, HeldExecutor]]:
    """An API and its executor."""
    executor = HeldExecutor("http://127.0.0.1:9", folder)
    try:
        yield Front(folder, executor), executor
    finally:
        executor.held = False
        await executor.close()


def test_former_revision_serves_until_the_new_one_can(tmp_path: Path) -> None:
    """Pending refuses invocations; while an update is under way the former configuration answers, and changes wait."""

    async def scenario() -> None:
        async with front(tmp_path) as (made, executor):
            executor.held = True
            await made.create("slow")
            refused = await made.ask("POST", f"{FUNCTIONS}/slow/invocations", {}, 409)
            assert refused["message"].endswith("in the following state: Pending")
            await made.ask("PUT", f"{FUNCTIONS}/slow/configuration", {"Timeout": 9}, 409)
            executor.held = False
            await until(lambda: made.update("slow") == "Successful")
            executor.held = True
            variables = {"Environment": {"Variables": {"MARK": "new"}}}
            changed = await made.ask("PUT", f"{FUNCTIONS}/slow/configuration", variables)
            assert changed["LastUpdateStatus"] == "InProgress"
            event = {"act": "environment"}
            seen = await made.ask("POST", f"{FUNCTIONS}/slow/invocations", event)
            assert "MARK" not in seen["variables"]
            refused = await made.ask("POST", f"{FUNCTIONS}/slow/versions", {}, 409)
            assert "An update is in progress for resource" in refused["message"]
            executor.held = False
            await until(lambda: made.update("slow") == "Successful")
            seen = await made.ask("POST", f"{FUNCTIONS}/slow/invocations", event)
            assert seen["variables"]["MARK"] == "new"

    asyncio.run(scenario())


def test_event_of_a_pending_function_waits(tmp_path: Path) -> None:
    """An S3 event for a function that cannot serve yet is kept for it; one for a function that is gone is not."""

    async def scenario() -> None:
        async with front(tmp_path) as (made, executor):
            executor.held = True
            arn = (await made.create("slow"))["FunctionArn"]
            assert made.api.deliver(arn, b"{}")
            assert not made.api.deliver(f"{arn}-not", b"{}")
            executor.held = False
            await until(lambda: executor.status()["events"]["delivered"] == 1)

    asyncio.run(scenario())


def test_state_survives_as_documents(tmp_path: Path) -> None:
    """Every change is told by kind and name; the documents, through JSON, make the same answers elsewhere."""

    async def scenario() -> None:
        async with front(tmp_path) as (made, executor):
            layer = await made.ask(
                "POST", "/2018-10-31/layers/tools/versions", {"Content": {"S3Bucket": "code", "S3Key": "app.zip"}}, 201
            )
            await made.create("kept", Tags={"a": "b"}, Publish=True, Layers=[layer["LayerVersionArn"]])
            await until(lambda: made.update("kept") == "Successful")
            path = f"{FUNCTIONS}/kept"
            await made.ask("POST", f"{path}/aliases", {"Name": "live", "FunctionVersion": "1"}, 201)
            permission = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": S3}
            await made.ask("POST", f"{path}/policy?Qualifier=live", permission, 201)
            await made.ask("POST", f"{path}/url", {"AuthType": "NONE", "Cors": {"AllowOrigins": ["*"]}}, 201)
            await made.ask("PUT", f"{path}/event-invoke-config", {"MaximumRetryAttempts": 1})
            await made.ask("PUT", f"{path}/concurrency", {"ReservedConcurrentExecutions": 7})
            assert {("layer", "tools"), ("function", "kept")} == set(made.changes)
            other = Front(tmp_path, executor)
            kinds: list[tuple[Kind, str]] = [("function", "kept"), ("layer", "tools")]
            for kind, name in kinds:
                other.state.restore(kind, json.loads(json.dumps(made.state.document(kind, name))))
                assert other.state.document(kind, name) == made.state.document(kind, name)
            assert other.state.zips_in_use() == made.state.zips_in_use()
            for sub in ("", "/aliases", "/policy?Qualifier=live", "/url", "/event-invoke-config", "/versions"):
                assert await other.ask("GET", path + sub) == await made.ask("GET", path + sub)
            assert other.changes == []
            await made.ask("DELETE", path, status=204)
            assert made.changes[-1] == ("function", "kept")
            assert made.state.document("function", "kept") is None

    asyncio.run(scenario())


def test_package_that_is_gone_is_said(tmp_path: Path) -> None:
    """A function whose zip was removed, and is not unpacked any more, cannot be invoked: Lambda's code, our reason."""

    async def scenario() -> None:
        async with front(tmp_path) as (made, _):
            await made.create("lost")
            await until(lambda: made.update("lost") == "Successful")
            function = made.state.functions["lost"]
            function.serving = replace(function.latest, code=StoredZip("0" * 64, tmp_path / "none.zip", 1, 1))
            refused = await made.ask("POST", f"{FUNCTIONS}/lost/invocations", {}, 502)
            assert "none.zip" in refused["message"]

    asyncio.run(scenario())


def test_kept_creation_goes_on(tmp_path: Path) -> None:
    """A function that was Pending when it was kept is prepared after it has been taken back."""

    async def scenario() -> None:
        async with front(tmp_path) as (made, executor):
            executor.held = True
            await made.create("slow")
            other = Front(tmp_path, executor)
            document = made.state.document("function", "slow")
            assert document is not None
            other.state.restore("function", document)
            other.api.resume()
            executor.held = False
            await until(lambda: other.update("slow") == "Successful")

    asyncio.run(scenario())


STATEMENT = {"Effect": "Allow", "Principal": {"Service": S3}, "Action": "sqs:SendMessage", "Resource": "arn:q"}


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"Principal": "*"}, True),
        ({"Principal": {"AWS": "*"}}, True),
        ({"Principal": {"Service": ["sns.amazonaws.com", S3]}}, True),
        ({"Principal": {"Service": "sns.amazonaws.com"}}, False),
        ({"Action": "SQS:*"}, True),
        ({"Action": ["sqs:ReceiveMessage"]}, False),
        ({"Resource": "arn:*"}, True),
        ({"Resource": "arn:[q]"}, False),
        ({"Effect": "Deny"}, False),
        ({"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:*:*:b"}}}, True),
        ({"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::c"}}}, False),
        ({"Condition": {"StringEquals": {"AWS:SourceAccount": ["1", "2"]}}}, True),
        ({"Condition": {"StringEquals": {"aws:SourceArn": "arn:aws:s3:*:*:b"}}}, False),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}}, False),
        ({"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o"}}}, False),
    ],
)
def test_statement_allows_what_it_says(change: dict[str, Any], holds: bool) -> None:
    """Principals, actions, resources and conditions as in IAM; a condition that is not known allows nothing."""
    context = {"aws:sourcearn": "arn:aws:s3:::b", "aws:sourceaccount": "1"}
    assert allowed([{**STATEMENT, **change}], S3, "sqs:SendMessage", "arn:q", context) is holds


def test_denial_wins() -> None:
    """Whatever else allows it."""
    denied = {**STATEMENT, "Effect": "Deny", "Resource": "*"}
    assert not allowed([STATEMENT, denied], S3, "sqs:SendMessage", "arn:q", {})
