"""A function's storage clients after it has stood still: their connections are as old as the freeze."""

from importlib.util import find_spec
import io
import json
import os
from pathlib import Path
import sys
import time
from typing import Any
import zipfile

import pytest

from local_server import PLATFORM, client, raw, serving

FROZEN_S = float(os.environ.get("SERVERLESS_MLPERF_FROZEN_S", "0.5"))
"""How long it stands still: Lambda's clients fail after minutes, which is for a longer run of this test."""
SOURCE = """
import boto3, obstore
from botocore.client import Config
from obstore.store import S3Store
once = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
s3, store = boto3.client("s3", config=once), S3Store("frozen", retry_config={"max_retries": 0})
def lambda_handler(event, context):
    s3.put_object(Bucket="frozen", Key="boto3", Body=event.encode())
    obstore.put(store, "obstore", event.encode())
    answers = [s3.get_object(Bucket="frozen", Key="obstore")["Body"].read(), bytes(obstore.get(store, "boto3").bytes())]
    return [answer.decode() for answer in answers]
"""


def package() -> bytes:
    """The function with obstore, which Lambda's runtime has not."""
    found = find_spec("obstore")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("app.py", SOURCE)
        for path in folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.write(path, path.relative_to(folder.parent))
    return made.getvalue()


@pytest.mark.parametrize("isolation", ["plain", "auto"])
def test_clients_work_at_the_first_try_after_a_freeze(isolation: str) -> None:
    """PUT and GET by boto3 and by obstore, neither of which may try twice, succeed in the same environment."""
    with serving(*PLATFORM, "--isolation", isolation) as url:
        s3, functions = client("s3", url), client("lambda", url)
        s3.create_bucket(Bucket="frozen")
        s3.put_object(Bucket="frozen", Key="frozen.zip", Body=package())
        functions.create_function(
            FunctionName="frozen", Runtime=f"python{sys.version_info.major}.{sys.version_info.minor}", Timeout=30,
            Role="arn:aws:iam::000000000000:role/r", Handler="app.lambda_handler", MemorySize=1769,
            Code={"S3Bucket": "frozen", "S3Key": "frozen.zip"},
        )  # fmt: skip
        functions.get_waiter("function_active_v2").wait(FunctionName="frozen")
        assert call(functions, "before") == ["before", "before"]
        first = _frozen(url)
        time.sleep(FROZEN_S)  # standing still is what is tested
        assert call(functions, "after") == ["after", "after"]
        assert _frozen(url) == first
        s3.close()
        functions.close()


def call(functions: Any, event: str) -> Any:
    """What the function returns."""
    answer = functions.invoke(FunctionName="frozen", Payload=json.dumps(event).encode())
    value = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, value
    return value


def _frozen(url: str) -> str:
    """The one environment, as soon as it is frozen."""
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        (found,) = json.loads(raw(url, "GET", "/_platform/status").body)["executor"]["environments"]
        if found["state"] == "frozen":
            return str(found["environment_id"])
        time.sleep(0.01)  # looked at again
    pytest.fail("not frozen within 20 s")
