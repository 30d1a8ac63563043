"""Generated input files on the local platform: copied by the `aws` command, each gives one output."""

import io
import json
import os
from pathlib import Path
import subprocess
import sys
import time

from PIL import Image
import pytest

from serverless_mlperf.inputs import write_inputs
from serverless_mlperf.packages import cached_packages
from serverless_mlperf.platforms.base import FunctionConfig
from serverless_mlperf.platforms.local.control import ControlClient
from serverless_mlperf.platforms.local.platform import LocalPlatform

COUNT = 12
DEADLINE_S = 60


def images(folder: Path) -> Path:
    """A COCO folder of small pictures, without labels."""
    (folder / "val2017").mkdir(parents=True)
    for number in range(COUNT + 3):
        content = io.BytesIO()
        Image.new("RGB", (40, 30), (number, 99, 9)).save(content, "JPEG")
        (folder / f"val2017/{number:012d}.jpg").write_bytes(content.getvalue())
    return folder


def function() -> FunctionConfig:
    """The function with the engine that computes nothing, listening on `input/cell/`."""
    code, layer = cached_packages("fake")
    variables = {"ENGINE_AND_FORMAT": "fake", "CV_TASK": "object_detection", "MODELS_PATH": "models/"}
    return FunctionConfig("inputs-test", "cell", 768, 30, 2, variables, code.path, layer.path)


def copy(endpoint: str, folder: Path, target: str) -> None:
    """`aws s3 cp --recursive` without any configuration of the host."""
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    aws = str(Path(sys.executable).parent / "aws")
    command = [aws, "--endpoint-url", endpoint, "s3", "cp", "--recursive", str(folder), target]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def outputs(control: ControlClient) -> list[str]:
    """Keys below output/coco/, polled until there are enough."""
    give_up = time.monotonic() + DEADLINE_S
    while True:
        listing = control.request("GET", "/bucket?list-type=2&prefix=output/coco/").decode()
        keys = [part.partition("</Key>")[0] for part in listing.split("<Key>")[1:]]
        if len(keys) >= COUNT:
            return keys
        if time.monotonic() > give_up:
            pytest.fail(f"{len(keys)} of {COUNT} outputs within {DEADLINE_S} s")
        time.sleep(0.1)  # a listing is asked for again: S3 has no call that waits


def test_every_input_gives_one_output(tmp_path: Path) -> None:
    """N files copied below input/ give N outputs of the same names, for the images they name."""
    folder = images(tmp_path / "coco")
    paths = {"completed_path": "completed/coco", "output_path": "output/coco"}
    names = write_inputs(COUNT, folder, "coco", tmp_path / "input", **paths)
    with LocalPlatform("bucket") as platform:
        platform.upload({f"coco/{path.name}": path for path in (folder / "val2017").iterdir()})
        target = platform.deploy(function())
        copy(target.s3_endpoint_url, tmp_path / "input", f"s3://bucket/{target.input_prefix}")
        with ControlClient(target.s3_endpoint_url) as control:
            assert outputs(control) == [f"output/coco/{name}" for name in names]
            output = json.loads(control.request("GET", f"/bucket/output/coco/{names[-1]}"))
        platform.retire(target)
    assert output["ImageFilenames"] == [f"coco/{COUNT - 1:012d}.jpg"]
