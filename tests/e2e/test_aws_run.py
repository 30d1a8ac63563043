"""`run --platform aws` without AWS: moto's services, our CloudFormation, and functions that the local platform runs."""

from collections.abc import Iterator
from dataclasses import dataclass
import json
import os
from pathlib import Path
import subprocess
import sys
from typing import Any

import pytest

from aws_double import AwsDouble, running
from aws_double.execution import Executor, executing

CELL = "classification-ie-ir-3008"
OTHER = "classification-ie-ir-1769"
FUNCTION = f"serverless-mlperf-{CELL}"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "hush-testing", "AWS_SESSION_TOKEN": "token-testing"}
OPTIONS = (
    *("--platform", "aws", "--python", PYTHON, "--region", "us-east-1", "--cv_task", "classification"),
    *("--engine_and_format", "ie-ir", "--memory", "3008", "--concurrency", "1", "--samples", "8", "--quick"),
    *("--retry-invalid", "0", "--wait-for-host", "0"),
)


@dataclass(frozen=True)
class Measured:
    """What an experiment left."""

    transport: str
    printed: str
    folder: Path
    executor: Executor

    @property
    def run(self) -> Path:
        """The folder of its only run."""
        return self.folder / "cells" / CELL / "run-1"

    def read(self, name: str) -> Any:
        """A JSON file of the run's."""
        return json.loads((self.run / name).read_text())

    @property
    def records(self) -> list[dict[str, Any]]:
        """One per query."""
        return [json.loads(line) for line in (self.run / "records.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def double() -> Iterator[AwsDouble]:
    """AWS in this process."""
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def executor(double: AwsDouble) -> Iterator[Executor]:
    """Its functions run."""
    with executing(double) as found:
        yield found


def experiment(double: AwsDouble, output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """An experiment as a user starts it, with credentials from the environment."""
    environment = {**os.environ, **KEYS, "AWS_ENDPOINT_URL": double.url}
    command = [sys.executable, "-m", "serverless_mlperf", "run", *OPTIONS, *options, "--output", str(output)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module", params=["s3", "invoke"])
def measured(
    request: pytest.FixtureRequest, double: AwsDouble, executor: Executor, tmp_path_factory: pytest.TempPathFactory
) -> Measured:
    """One cell through one transport; the second experiment finds the stack of the first."""
    output = tmp_path_factory.mktemp(request.param)
    executor.runs.clear()
    done = experiment(double, output, "--transport", request.param)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = output.glob("2*")
    return Measured(request.param, done.stdout, folder, executor)


def test_cell_is_measured(measured: Measured) -> None:
    """Every query is answered by the function, through the transport, and LoadGen gives its verdict."""
    driver = measured.read("driver.json")
    assert (driver["ok"], driver["errors"], driver["timeouts"], driver["duplicates"]) == (50, 0, 0, 0)
    assert (driver["transport_name"], driver["loadgen_validity"]) == (measured.transport, "VALID")
    assert "VALID" in measured.printed
