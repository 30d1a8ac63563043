"""What a task is called in a submission, and which runs a result consists of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from serverless_mlperf.mlperf.spec import Mode
from serverless_mlperf.workloads import Task

ROUND: Final = "v6.1"
"""The round whose seeds LoadGen 6.0.17 carries."""
DIVISION: Final = "open"
MODES: Final[tuple[Mode, ...]] = ("performance", "accuracy", "test01", "test04")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One of MLPerf v0.5's workloads, and what the checker takes it for today."""

    folder: str
    """Name of its folder under results/ and src/."""
    checked_as: str
    """The checker's model: it has no rules for retired ones (submission_checker, get_mlperf_model)."""
    history: str
    modes: tuple[Mode, ...]
    """The runs of a result. Compliance tests as for the model it is taken for (models_TEST01, models_TEST04)."""


BENCHMARKS: Final[Mapping[Task, Benchmark]] = {
    "classification": Benchmark(
        "mobilenet", "resnet", "MobileNetV1 1.0/224 on ImageNet, a workload of round v0.5 alone", MODES
    ),
    "object_detection": Benchmark(
        "ssd-mobilenet", "retinanet", "SSD-MobileNetV1 1.0/300 on COCO, a workload of rounds v0.5 to v2.0", MODES[:3]
    ),
}
