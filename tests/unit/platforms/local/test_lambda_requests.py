"""Lambda's operations under requests that no client would send: always an answer in Lambda's words, never a 500."""

import asyncio
from collections.abc import Iterator
import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
import pytest

from serverless_mlperf.platforms.local.executor import LocalExecutor
from serverless_mlperf.platforms.local.gateway.http import Request, Response
from serverless_mlperf.platforms.local.gateway.lambda_api import LambdaApi
from serverless_mlperf.platforms.local.gateway.lambda_names import LATEST
from serverless_mlperf.platforms.local.gateway.lambda_settings import defaults
from serverless_mlperf.platforms.local.gateway.lambda_state import READY, Function, LambdaState, Revision, moment
from serverless_mlperf.platforms.local.gateway.lambda_zips import StoredZip, ZipFolder
from serverless_mlperf.platforms.local.gateway.s3_store import ObjectStore

ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"
NAMES = st.sampled_from(
    ["f", "f:1", "f:live", ARN, f"{ARN}:$LATEST", "absent", "", "a b", "f:2:3", "%ff", "arn:aws:s3:::b"]
)
SUBS = st.sampled_from([
    "", "/configuration", "/code", "/versions", "/aliases", "/aliases/live", "/aliases/x/y", "/policy", "/policy/s",
    "/concurrency", "/event-invoke-config", "/event-invoke-config/list", "/url", "/urls", "/provisioned-concurrency",
    "/code-signing-config", "/versions/1", "/versions/0", "/versions/x", "//",
])  # fmt: skip
MEMBERS = [
    "FunctionName", "Runtime", "Role", "Handler", "Code", "Description", "Timeout", "MemorySize", "Publish", "Layers",
    "Environment", "DeadLetterConfig", "TracingConfig", "EphemeralStorage", "SnapStart", "LoggingConfig", "Tags",
    "Architectures", "RevisionId", "DryRun", "ZipFile", "S3Bucket", "S3Key", "CodeSha256", "Name", "FunctionVersion",
    "RoutingConfig", "StatementId", "Action", "Principal", "SourceArn", "SourceAccount", "FunctionUrlAuthType",
    "ReservedConcurrentExecutions", "MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig",
    "AuthType", "Cors", "InvokeMode", "Content", "CompatibleRuntimes", "CompatibleArchitectures", "Unknown",
]  # fmt: skip
SIMPLE = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 2000), st.floats(allow_nan=False), st.text(max_size=8),
    st.sampled_from([
        "f", "live", "1", LATEST, "app.handler", "python3.11", "NONE", "AWS_IAM", "BUFFERED", "*", "s3.amazonaws.com",
        "lambda:InvokeFunction", "arn:aws:s3:::b", ARN, "arn:aws:iam::000000000000:role/r", "b", "UEsFBg==",
        "arn:aws:sqs:us-east-1:000000000000:q", "arn:aws:lambda:us-east-1:000000000000:layer:l:1", "000000000000",
    ]),
)  # fmt: skip
KEYS = st.sampled_from([
    "Variables", "TargetArn", "Mode", "Size", "ApplyOn", "LogFormat", "LogGroup", "ZipFile", "S3Bucket", "S3Key", "1",
    "AdditionalVersionWeights", "OnFailure", "OnSuccess", "Destination", "AllowOrigins", "AllowMethods", "MaxAge", "X",
])  # fmt: skip
JSON_VALUES = st.recursive(
    SIMPLE, lambda v: st.one_of(st.lists(v, max_size=3), st.dictionaries(KEYS, v, max_size=3)), max_leaves=5
)
BODIES = st.one_of(
    st.dictionaries(st.sampled_from(MEMBERS), JSON_VALUES, max_size=5).map(lambda v: json.dumps(v).encode()),
    st.sampled_from([b"", b"[]", b"{", b"null", b'{"a": NaN}', b"\xff"]),
)
QUERIES = st.dictionaries(
    st.sampled_from(["Qualifier", "Marker", "MaxItems", "FunctionVersion", "find", "Arn", "RevisionId", "tagKeys"]),
    st.sampled_from(["1", "live", LATEST, "", "x y", "-1", "MQ==", "LTE=", "99999999999", "ALL", "LayerVersion", ARN]),
    max_size=2,
)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, LambdaApi]]:
    """A loop with an API that has an executor."""
    folder = tmp_path_factory.mktemp("lambda")
    state = LambdaState(ZipFolder(folder / "zips"))
    with asyncio.Runner() as running:

        async def begin() -> tuple[LocalExecutor, LambdaApi]:
            executor = LocalExecutor("http://127.0.0.1:9", folder)
            return executor, LambdaApi(state, ObjectStore(), executor, lambda arn: arn.endswith(":q"), 4566)

        executor, api = running.run(begin())
        yield running, api
        api.close()
        running.run(executor.close())


def renew(state: LambdaState) -> None:
    """One function with a version, an alias and nothing that runs."""
    code = StoredZip("0" * 64, Path("none.zip"), 1, 1)
    settled = {**defaults("f"), "Handler": "app.handler", "Role": "r"}
    latest = Revision(LATEST, code, (), settled, "b", "r", moment(), READY)
    state.functions = {
        "f": Function("f", latest, latest, {"1": Revision("1", code, (), settled, "b", "v", "m", READY)})
    }
    state.layers = {}


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["GET", "PUT", "POST", "DELETE", "PATCH"]),
    st.sampled_from(["functions", "layers", "tags", "account-settings", "event-source-mappings"]),
    NAMES, SUBS, QUERIES, BODIES,
)  # fmt: skip
def test_every_request_has_an_answer_of_lambda(
    runner: tuple[asyncio.Runner, LambdaApi],
    method: str,
    kind: str,
    name: str,
    sub: str,
    query: dict[str, str],
    body: bytes,
) -> None:
    """A success, a refusal with a code and a message, or NotImplemented; no answer is an exception."""
    running, api = runner
    renew(api.state)
    words = "&".join(f"{k}={v}" for k, v in query.items())
    target = f"/2015-03-31/{kind}" + (f"/{name}{sub}" if name else "") + (f"?{words}" if words else "")

    async def ask() -> Response:
        return await api.handle(Request(method, target, {}, body))

    answer = running.run(ask())
    assert answer.status < 500 or answer.status == 501, bytes(answer.body)
    if answer.status >= 400:
        told: Any = json.loads(bytes(answer.body))
        assert told["message"]
        assert answer.headers["x-amzn-errortype"]
