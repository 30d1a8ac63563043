"""Runs through `invoke` on the local platform: LoadGen, real environments, the function with its fake engine."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
import time

import pytest

from serverless_mlperf.datasets.base import Dataset, load_dataset
from serverless_mlperf.errors import RunError
from serverless_mlperf.mlperf.launch import run_process
from serverless_mlperf.mlperf.spec import DriverResult, RunSpec, load_result
from serverless_mlperf.packages import cached_packages
from serverless_mlperf.platforms.base import FunctionConfig, Report, Target
from serverless_mlperf.platforms.local.platform import LocalPlatform
from serverless_mlperf.records import Record, read_records

QUERIES = 24
ENVIRONMENTS = 2
INSIDE = {"decode", "preprocess", "forward", "postprocess"}
AROUND = {"client_wait", "throttled", "request", "notice", "collect"}


@dataclass(frozen=True)
class Deployed:
    """A function on a running platform, and the images in its bucket."""

    platform: LocalPlatform
    target: Target
    dataset: Dataset

    def spec(self, output: Path, payload: str) -> RunSpec:
        """A run of QUERIES queries."""
        return RunSpec(
            run="run1",
            target=self.target,
            samples=tuple(sample.key for sample in self.dataset.samples),
            task="classification",
            loadgen_model="mobilenet",
            output=output,
            timeout_s=60,
            query_count=QUERIES,
            transport="invoke",
            transport_options={"payload": payload},
            sample_paths=tuple(sample.path for sample in self.dataset.samples),
        )


@dataclass(frozen=True)
class Measured:
    """What a run left, and what the platform says of it."""

    payload: str
    result: DriverResult
    records: list[Record]
    warmup: list[Record]
    reports: dict[str, Report]
    folder: Path


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployed]:
    """Two environments at most, each with less than a core."""
    function, layer = cached_packages("fake")
    dataset = load_dataset("synthetic", "classification", None, 4, 1)
    environment = {"ENGINE_AND_FORMAT": "fake", "CV_TASK": "classification", "SUT_THREADS": "1"}
    config = FunctionConfig("f", "c", 1024, 30, ENVIRONMENTS, environment, function.path, layer.path)
    with LocalPlatform("bucket") as platform:
        platform.upload({sample.key: sample.path for sample in dataset.samples})
        yield Deployed(platform, platform.deploy(config), dataset)


@pytest.fixture(scope="module", params=["inline", "s3ref"])
def measured(request: pytest.FixtureRequest, deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """One run with each payload; the second finds the environments warm."""
    folder = tmp_path_factory.mktemp("run")
    result = run_process(deployed.spec(folder, request.param), lambda _: None)
    reports, _ = deployed.platform.observe(deployed.target, 0, time.time_ns())
    records, warmup = (list(read_records(folder / name)) for name in ("queries.jsonl", "warmup.jsonl"))
    return Measured(request.param, result, records, warmup, {r.request_id: r for r in reports}, folder)


def test_every_query_is_measured_once(measured: Measured) -> None:
    """All are answered, none was refused, and never more were in flight than there are environments."""
    result = measured.result
    assert (result.ok, result.issued, result.duplicates, result.cold) == (QUERIES, QUERIES, 0, 0)
    assert (result.peak_in_flight, dict(result.transport)) == (ENVIRONMENTS, {})
    assert len({record.request_id for record in measured.records}) == QUERIES


def test_bill_in_the_response_is_the_platforms(measured: Measured) -> None:
    """What came with each result is what the platform reports of the same invocation, warm-up included."""
    for record in [*measured.records, *measured.warmup]:
        assert record.request_id is not None
        report = measured.reports[record.request_id]
        assert record.billed_ms == report.billed_ms > 0
        assert (record.duration_ms, record.max_memory_mib) == (report.duration_ms, report.max_memory_mib)
        assert record.init_ms == report.init_ms
        assert (record.init_ms is not None) == record.cold


def test_phases_are_those_of_the_payload(measured: Measured) -> None:
    """Inline the image is taken out of the event, by key it is fetched; what is around the function is there."""
    source = {"inline": "unpack", "s3ref": "fetch"}[measured.payload]
    for record in measured.records:
        assert record.phases_ns is not None
        assert set(record.phases_ns) == INSIDE | AROUND | {source}


def test_every_environment_was_warm(measured: Measured) -> None:
    """With exactly as many queries at once as environments the warm-up reached all of them, cold ones three times."""
    served = Counter(record.environment_id for record in measured.warmup)
    assert len(served) == ENVIRONMENTS
    cold = [record.environment_id for record in measured.warmup if record.cold]
    assert len(set(cold)) == len(cold) == (ENVIRONMENTS if measured.payload == "inline" else 0)
    assert all(served[name] >= 3 for name in cold)
    assert set(measured.result.environments) <= {str(name) for name in served}


def test_result_names_transport_and_payload(measured: Measured) -> None:
    """driver.json says how the queries travelled."""
    result = load_result((measured.folder / "driver.json").read_bytes())
    assert (result.transport_name, result.transport_options["payload"]) == ("invoke", measured.payload)


def test_error_record_ends_the_warm_up(deployed: Deployed, tmp_path: Path) -> None:
    """An image that is not in the bucket is the function's answer, and the run's reason to end."""
    spec = replace(deployed.spec(tmp_path, "s3ref"), samples=("synthetic/none.jpg",))
    with pytest.raises(RunError, match=r"Missing: synthetic/none\.jpg does not exist"):
        run_process(spec, lambda _: None)
