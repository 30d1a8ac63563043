"""Results folders whose runs are real LoadGen tests against the fake transport."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
import json
from pathlib import Path
import shutil
from typing import Any

from serverless_mlperf.host import describe_host
from serverless_mlperf.mlperf.launch import run_process
from serverless_mlperf.mlperf.spec import DriverResult, Mode, RunSpec, WarmupRule, dump_result, load_result
from serverless_mlperf.mlperf.verdict import Reason, Validity, write_validity
from serverless_mlperf.platforms.base import Target
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.store import ResultsFolder
from serverless_mlperf.submission.command import Request
from serverless_mlperf.tries import write_json
from serverless_mlperf.workloads import Cell

CELL = Cell("classification", "ie-ir", 3008)
MODES: tuple[Mode, ...] = ("performance", "accuracy", "test01", "test04")
SAMPLES = 1024
SETTINGS: dict[str, Any] = {
    "platform": "local",
    "transport": "s3",
    "payload": "inline",
    "scenario": "offline",
    "length": "quick",
    "dataset": "synthetic",
    "samples": SAMPLES,
    "seed": 0,
    "precision": "f32",
    "threads": None,
    "concurrency": None,
    "sweep": [],
    "weights": None,
}
ENGINE = {"name": "openvino", "version": "2026.4.1", "threads": 2, "precision": "f32"}
_URL = "http://127.0.0.1:1"
_TARGET = Target("fake", "us-east-1", _URL, _URL, _URL, "b", "f", "input/c/", "output/c/", "completed/c/", "q", 2)


@dataclass(frozen=True)
class Results:
    """A results folder under test."""

    path: Path

    def run(self, mode: Mode, cell: Cell = CELL) -> Path:
        """The last run folder of a mode."""
        found = [path for path in self.runs(cell) if self.driver(path).mode == mode]
        return found[-1]

    def runs(self, cell: Cell = CELL) -> list[Path]:
        """Whole run folders, in order."""
        folders = (self.path / "cells" / cell.name).glob("run-*")
        return sorted((f for f in folders if (f / "driver.json").exists()), key=lambda run: int(run.name[4:]))

    @staticmethod
    def driver(run: Path) -> DriverResult:
        """Its driver.json."""
        return load_result((run / "driver.json").read_bytes())

    def change(self, file: str, **values: Any) -> None:
        """Replace entries of a JSON file of the folder, `a__b` standing for `a.b`."""
        path = self.path / file
        content = json.loads(path.read_text())
        for name, value in values.items():
            *above, last = name.split("__")
            place = content
            for step in above:
                place = place[step]
            place[last] = value
        path.write_text(json.dumps(content))

    def request(self, output: Path, **changes: Any) -> Request:
        """A submission of this folder that lacks nothing on a virtual machine or a bare one."""
        fields = ("cooling=air", "host_memory_configuration=1 module", "host_storage_type=SSD")
        asked = Request((self.path,), output, org="Example", fields=fields)
        return replace(asked, **changes)


def measure(folder: Path, cell: Cell = CELL, modes: tuple[Mode, ...] = MODES, samples: int = SAMPLES) -> Results:
    """Measure one run per mode into a new results folder."""
    store = ResultsFolder.create(folder, SETTINGS | {"samples": samples}, [cell.name], environment(samples))
    for mode in modes:
        _measure(store.run_folder(cell.name), cell, mode, samples)
    return Results(store.path)


def copied(results: Results, folder: Path) -> Results:
    """A copy that a test may change."""
    return Results(Path(shutil.copytree(results.path, folder / results.path.name)))


def environment(samples: int) -> dict[str, Any]:
    """What experiment.json names, the host as it is."""
    return {
        "version": "0.1.0",
        "host": describe_host(),
        "weights": {"source": "embedded", "sha256": "ab" * 32},
        "models": {"mobilenetv1/FP32/mobilenet_v1_224_frozen.bin": "cd" * 32},
        "packages": {"function.zip": "ef" * 32},
        "datasets": {CELL.task: {"name": "synthetic", "samples": samples, "sha256": "01" * 32}},
    }


def invalidate(run: Path, evidence: str = "the host was busy") -> None:
    """Give a run another verdict."""
    reason = Reason("host_before", evidence, "measure again", transient=True)
    write_validity(run / "validity.json", Validity(False, (reason,)))


def add_run(results: Results, mode: Mode, cell: Cell = CELL) -> Path:
    """Another run of a mode, the same one again."""
    number = 1 + max(int(run.name[4:]) for run in results.runs(cell))
    return Path(shutil.copytree(results.run(mode, cell), results.path / "cells" / cell.name / f"run-{number}"))


def _measure(folder: Path, cell: Cell, mode: Mode, samples: int) -> None:
    spec = RunSpec(
        run="run1",
        target=_TARGET,
        samples=tuple(f"imagenet/{n}.jpg" for n in range(samples)),
        task=cell.task,
        loadgen_model="mobilenet",
        output=folder,
        timeout_s=20,
        query_count=50,
        mode=mode,
        warmup=WarmupRule(deadline_s=20, patience_s=5),
        transport="fake",
        transport_options={"delay_s": 0.002, "environments": 2},
        length="quick",
    )
    # One throughput for all runs, whatever the host was doing: here no compliance test may fail by chance.
    driver = run_process(spec, lambda _: None)
    figures = {**driver.loadgen, **({"result_samples_per_second": 100.0} if mode != "accuracy" else {})}
    (folder / "driver.json").write_bytes(dump_result(replace(driver, loadgen=figures)))
    (folder / "queries.jsonl").rename(folder / "records.jsonl")
    write_validity(folder / "validity.json", Validity(True, ()))
    result = _result(cell, driver, 0.75 if mode == "accuracy" else None)
    write_json(folder / "summary.json", result.to_dict())


def _result(cell: Cell, driver: DriverResult, top1: float | None) -> CellResult:
    return CellResult(
        task=cell.task, engine_and_format=cell.engine_and_format, memory_mib=cell.memory_mib,
        model_name=cell.model_name, run=1, p50_ms=2.0, p90_ms=3.0, mean_ms=2.0, stddev_ms=0.1, qps_seed=10.0,
        qps_loadgen=driver.loadgen.get("result_samples_per_second"), completion_p50_ms=None,
        completion_p90_ms=None, files=driver.ok,
        time_difference_s=1.0, cold=0, warm=driver.ok, environments=2, init_ms=1.0, share_predicted_ms=None,
        quota_predicted_ms=None, function_cpu_ms=1.0, forward_cpu_ms=1.0, platform_cpu_ms=None, client_cpu_ms=None,
        lost=0, duplicates=0, errors=0, valid=True, tries=1, top1=top1, accuracy_samples=driver.ok, engine=ENGINE,
        scenario=driver.scenario,
    )  # fmt: skip


def files(folder: Path) -> Iterator[str]:
    """Names of all files below a folder, in order."""
    yield from sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
