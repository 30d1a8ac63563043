"""Packages as Lambda takes them: what they come to, alone and together."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import io
import json
from pathlib import Path
import struct
from typing import Any
import zipfile

from fuzzed_front import IdleExecutor
import pytest

from serverless_mlperf.packages.archive import LIMIT_BYTES
from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.http import Request
from serverless_mlperf.platforms.local.gateway.lambda_api import LambdaApi
from serverless_mlperf.platforms.local.gateway.lambda_state import RUNTIME, LambdaState
from serverless_mlperf.platforms.local.gateway.lambda_zips import ZipFolder
from serverless_mlperf.platforms.local.gateway.s3_store import ObjectStore

FUNCTIONS = "/2015-03-31/functions"
LAYERS = "/2018-10-31/layers"
HALF = LIMIT_BYTES // 2
UNZIPPED_SIZE = 24
"""Where a central directory's entry has it."""


def announcing(size: int) -> bytes:
    """A zip whose directory says that its one member has so many bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", "x = 1\n")
    made = bytearray(buffer.getvalue())
    struct.pack_into("<I", made, made.index(b"PK\x01\x02") + UNZIPPED_SIZE, size)
    return bytes(made)


class Front:
    """Lambda's API over an executor that prepares at once."""

    def __init__(self, folder: Path) -> None:
        self.state = LambdaState(ZipFolder(folder / "zips"))
        self.api = LambdaApi(self.state, ObjectStore(), IdleExecutor("", folder), lambda _: True, 4566)

    async def ask(self, method: str, path: str, value: Any) -> tuple[int, Any]:
        """One request; status and document of its answer."""
        answer = await self.api.handle(Request(method, path, {}, json.dumps(value).encode()))
        return answer.status, json.loads(bytes(answer.body))

    async def refusal(self, method: str, path: str, value: Any) -> str:
        """What a request that must be refused is told."""
        status, told = await self.ask(method, path, value)
        assert (status, told.get("Type")) == (400, "User"), told
        message: str = told["message"]
        return message

    async def layer(self, name: str, size: int) -> str:
        """ARN of a new layer that announces a size."""
        status, told = await self.ask("POST", f"{LAYERS}/{name}/versions", {"Content": inline(announcing(size))})
        assert status == 201, told
        arn: str = told["LayerVersionArn"]
        return arn

    async def settled(self, name: str) -> None:
        """Return when a function can be changed."""
        while self.state.functions[name].latest.progress.update == "InProgress":
            await asyncio.sleep(0)
        while self.state.functions[name].latest.progress.state == "Pending":
            await asyncio.sleep(0)


@asynccontextmanager
async def front(folder: Path) -> AsyncIterator[Front]:
    """An API, closed afterwards."""
    made = Front(folder)
    try:
        yield made
    finally:
        made.api.close()


def inline(content: bytes) -> dict[str, str]:
    """A zip sent in the request."""
    return {"ZipFile": base64.b64encode(content).decode()}


def new_function(name: str, size: int, *layers: str) -> dict[str, Any]:
    """CreateFunction's values."""
    role = "arn:aws:iam::000000000000:role/r"
    code = {"Code": inline(announcing(size)), "Layers": list(layers)}
    return {"FunctionName": name, "Runtime": RUNTIME, "Role": role, "Handler": "app.handler", **code}


def test_code_and_layers_together_have_a_limit(tmp_path: Path) -> None:
    """A byte above 250 MiB is refused at once with the size, by all three operations; exactly 250 MiB is taken."""

    async def scenario() -> None:
        async with front(tmp_path) as made:
            layers = [await made.layer("a", HALF), await made.layer("b", HALF - 5)]
            told = (
                "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. The actual "
                "size is 262144001 bytes."
            )
            assert await made.refusal("POST", FUNCTIONS, new_function("f", 6, *layers)) == told
            assert "f" not in made.state.functions
            assert (await made.ask("POST", FUNCTIONS, new_function("f", 5, *layers)))[0] == 201
            await made.settled("f")
            before = made.state.functions["f"].latest
            for dry in (True, False):
                values = {**inline(announcing(6)), "DryRun": dry}
                assert await made.refusal("PUT", f"{FUNCTIONS}/f/code", values) == told
            other = await made.layer("c", HALF - 4)
            pair = {"Layers": [layers[0], other]}
            assert await made.refusal("PUT", f"{FUNCTIONS}/f/configuration", pair) == told
            assert made.state.functions["f"].latest == before
            assert (await made.ask("PUT", f"{FUNCTIONS}/f/configuration", {"Layers": [other]}))[0] == 200
            await made.settled("f")
            assert (await made.ask("PUT", f"{FUNCTIONS}/f/code", inline(announcing(HALF))))[0] == 200

    asyncio.run(scenario())


def test_one_zip_has_the_same_limit(tmp_path: Path) -> None:
    """A layer or code that is too large alone is refused when it is sent, and nothing of it is kept."""

    async def scenario() -> None:
        async with front(tmp_path) as made:
            told = "Unzipped size must be smaller than 262144000 bytes"
            content = {"Content": inline(announcing(LIMIT_BYTES + 1))}
            assert await made.refusal("POST", f"{LAYERS}/a/versions", content) == told
            assert await made.refusal("POST", FUNCTIONS, new_function("f", LIMIT_BYTES + 1)) == told
            assert not list(tmp_path.rglob("*.zip"))

    asyncio.run(scenario())


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    """Neither other bytes nor a zip with a damaged directory is kept."""
    folder = ZipFolder(tmp_path)
    damaged = announcing(5).replace(b"PK\x01\x02", b"PK\x09\x09")
    for content in (b"no zip", damaged, announcing(5)[:-30]):
        with pytest.raises(ApiError, match="Could not unzip uploaded file"):
            folder.add(content)
    assert not list(tmp_path.iterdir())


def test_a_size_that_was_not_noted_is_measured(tmp_path: Path) -> None:
    """A document of a version that kept no unzipped size: the zip itself is asked; one that is gone counts nothing."""
    folder = ZipFolder(tmp_path)
    kept = folder.add(announcing(77))
    document = kept.as_document()
    assert folder.stored(document) == kept
    del document["unzipped"]
    assert folder.stored(document) == kept
    kept.path.unlink()
    assert folder.stored(document).unzipped == 0
