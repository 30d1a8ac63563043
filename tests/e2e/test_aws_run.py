"""`run --platform aws` without AWS: moto's services, our CloudFormation, and functions that the local platform runs."""

from collections.abc import Iterator
from dataclasses import dataclass
import json
import os
from pathlib import Path
from statistics import median
import subprocess
import sys
from typing import Any

import pytest

from aws_double import AwsDouble, running
from aws_double.execution import Executor, Run, executing

CELL = "classification-ie-ir-3008"
FUNCTION = f"serverless-mlperf-{CELL}"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "hush-testing", "AWS_SESSION_TOKEN": "token-testing"}
OPTIONS = (
    *("--platform", "aws", "--python", PYTHON, "--region", "us-east-1", "--cv_task", "classification"),
    *("--engine_and_format", "ie-ir", "--memory", "3008", "--concurrency", "1", "--samples", "8", "--quick"),
    *("--retry-invalid", "0", "--wait-for-host", "0"),
)
DEPLOYING = (
    *("deploy", "--platform", "aws", "--python", PYTHON, "--cv_task", "classification", "--engine_and_format", "ie-ir"),
    *("--memory", "3008", "--concurrency", "1", "--yes"),
)
TUNING = (
    *("tune", "--platform", "aws", "--slo", "p90=60s", "--engine_and_format", "ie-ir", "--memory", "3008", "--json"),
    *("--concurrency", "1", "--samples", "8", "--queries", "10", "--most-queries", "160", "--allow-invalid"),
    *("--retry-invalid", "0", "--wait-for-host", "0"),
)


@dataclass(frozen=True)
class Measured:
    """What an experiment left."""

    transport: str
    printed: str
    folder: Path
    runs: tuple[Run, ...]
    """What was executed for it."""

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
    assert executor.failures == []
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = output.glob("2*")
    return Measured(request.param, done.stdout, folder, tuple(executor.runs))


def test_cell_is_measured(measured: Measured) -> None:
    """Every query is answered by the function, through the transport, and LoadGen gives its verdict."""
    driver = measured.read("driver.json")
    assert (driver["ok"], driver["errors"], driver["timeouts"], driver["duplicates"]) == (50, 0, 0, 0)
    assert (driver["transport_name"], driver["loadgen_validity"]) == (measured.transport, "VALID")
    assert "VALID" in measured.printed


def test_every_query_has_its_bill(measured: Measured) -> None:
    """Reports come with the log tail of a call, or from CloudWatch Logs; none is missing, and the price is no model."""
    records = measured.records
    assert len(records) == 50
    assert all(record["billed_ms"] > 0 and record["max_memory_mib"] > 0 for record in records)
    assert measured.read("observation.json")["usage"]["unreported"] == []
    cost = measured.read("summary.json")["cost"]
    assert (cost["modelled"], cost["region"], cost["architecture"]) == (False, "us-east-1", "x86_64")


def test_environments_were_cold_and_are_counted(measured: Measured) -> None:
    """A new version has no warm environment: the warm-up starts cold, the measured window has no cold start."""
    warmup = [json.loads(line) for line in (measured.run / "cold_starts.jsonl").read_text().splitlines()]
    assert [record["cold"] for record in warmup] == [True]
    # The init phase is billed; one beyond ten seconds, on a busy host, is repeated in the invocation.
    assert warmup[0]["billed_ms"] > median(record["billed_ms"] for record in measured.records)
    assert measured.read("driver.json")["cold"] == 0


def test_only_the_measured_version_ran(measured: Measured) -> None:
    """Every execution is of one version, published for this experiment, and of one query."""
    runs = measured.runs
    assert {run.function for run in runs} == {FUNCTION}
    assert {run.version for run in runs} == {{"s3": "2", "invoke": "3"}[measured.transport]}
    assert len(runs) == 50 + measured.read("driver.json")["warmup_queries"]


def test_nothing_secret_is_kept(measured: Measured) -> None:
    """Neither keys nor the account are in the results or in what was printed."""
    texts = [path.read_bytes() for path in measured.folder.rglob("*") if path.is_file()]
    for secret in (b"hush-testing", b"token-testing", b"123456789012"):
        assert not [text for text in texts if secret in text]
        assert secret.decode() not in measured.printed


def test_stack_is_made_once(measured: Measured) -> None:
    """The first experiment makes it, the second finds nothing to change."""
    first = measured.transport == "s3"
    assert ("stack serverless-mlperf: create" in measured.printed) == first
    assert ("stack serverless-mlperf: nothing changes" in measured.printed) != first


@pytest.mark.long
def test_tuning_measures_what_was_deployed(double: AwsDouble, executor: Executor, tmp_path: Path) -> None:
    """`tune` takes stack and Python as they stand, and recommends by what the platform billed."""
    executor.runs.clear()
    environment = {**os.environ, **KEYS, "AWS_ENDPOINT_URL": double.url, "AWS_DEFAULT_REGION": "us-east-1"}
    for arguments in (DEPLOYING, (*TUNING, "--output", str(tmp_path))):
        command = [sys.executable, "-m", "serverless_mlperf", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert executor.failures == []
    assert "stack serverless-mlperf: nothing changes" in done.stderr
    (candidate,) = json.loads(done.stdout)["candidates"]
    assert candidate["usd_modelled"] is False
    assert {run.function for run in executor.runs} == {FUNCTION}
