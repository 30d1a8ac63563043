"""The tables of the experiment: tasks, engine-and-formats, memory sizes."""

from dataclasses import dataclass
from typing import Final, Literal

Task = Literal["classification", "object_detection"]
EngineAndFormat = Literal["ie-ir", "ocv-cf", "ocv-tf"]
Architecture = Literal["x86_64", "arm64"]
"""Under AWS's names."""

TASKS: Final[tuple[Task, ...]] = ("classification", "object_detection")
ENGINE_AND_FORMATS: Final[tuple[EngineAndFormat, ...]] = ("ie-ir", "ocv-cf", "ocv-tf")
ARCHITECTURES: Final[tuple[Architecture, ...]] = ("x86_64", "arm64")
MEMORY_MIB: Final = (768, 1536, 2240, 3008)
"""The seed's four sizes, in the order of its `--memory_type 0..3`."""


@dataclass(frozen=True, slots=True)
class AccuracyTarget:
    """MLPerf's quality target, relative to the FP32 reference; met when it is reached.

    mlcommons/inference, tools/submission/submission-checker.py, MODEL_CONFIG["v0.5"]["accuracy-target"]: `mobilenet`
    acc 71.68 * 0.98, `ssd-small` mAP 22 * 0.99 (to v2.0); there the reference is the published figure of the published
    model over the whole validation set.
    """

    metric: str
    ratio: float
    """Of the metric to the reference's."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A row of the table: a task with its model, data set and targets."""

    task: Task
    model: str
    """Model name as in the seed's results.csv: `mobilenet` or `ssd`."""
    loadgen_model: str
    """LoadGen's model name, the first part of the keys of mlperf.conf."""
    datasets: tuple[str, ...]
    """Data sets that carry labels for the task, the real one first."""
    performance_sample_count: int
    """MLPerf's count of samples kept ready in performance mode (mlperf.conf; v0.5 for mobilenet)."""
    accuracy_target: AccuracyTarget


WORKLOADS: Final[dict[Task, Workload]] = {
    "classification": Workload(
        "classification", "mobilenet", "mobilenet", ("imagenet", "synthetic"), 1024, AccuracyTarget("Top-1", 0.98)
    ),
    "object_detection": Workload(
        "object_detection", "ssd", "ssd-mobilenet", ("coco", "synthetic"), 256, AccuracyTarget("AP", 0.99)
    ),
}

ENGINE_NAMES: Final[dict[EngineAndFormat, str]] = {"ie-ir": "openvino", "ocv-cf": "caffe", "ocv-tf": "tf"}
"""Suffix of `model_name` in the seed's results.csv, e.g. `mobilenet_openvino`."""


def suffix(architecture: str, before: str = "-") -> str:
    """What names a cell's architecture: nothing for x86_64, which is what a cell has unless another is asked for."""
    return "" if architecture == "x86_64" else f"{before}{architecture}"


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One point of an experiment's matrix."""

    task: Task
    engine_and_format: EngineAndFormat
    memory_mib: int
    architecture: Architecture = "x86_64"

    @property
    def name(self) -> str:
        """Folder, function and key-prefix name, e.g. `classification-ie-ir-1536`; `-arm64` behind it for such a one."""
        return f"{self.task}-{self.engine_and_format}-{self.memory_mib}{suffix(self.architecture)}"

    @property
    def model_name(self) -> str:
        """The seed's `model_name`, e.g. `ssd_caffe`."""
        return f"{WORKLOADS[self.task].model}_{ENGINE_NAMES[self.engine_and_format]}"
