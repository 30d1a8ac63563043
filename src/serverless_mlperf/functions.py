"""What is deployed for every cell of an experiment."""

from collections.abc import Mapping

from serverless_mlperf.config import ExperimentConfig
from serverless_mlperf.host import host_cores
from serverless_mlperf.platforms.base import FunctionConfig
from serverless_mlperf.platforms.local.model import visible_cores
from serverless_mlperf.platforms.table import traits_of
from serverless_mlperf.preparation import MODELS_PREFIX, Preparation
from serverless_mlperf.workloads import Cell


def functions_of(
    config: ExperimentConfig, preparation: Preparation, environments: Mapping[Cell, int]
) -> dict[Cell, FunctionConfig]:
    """The function of each cell, with so many environments."""
    return {cell: _function(config, preparation, cell, environments[cell]) for cell in config.cells}


def _function(config: ExperimentConfig, preparation: Preparation, cell: Cell, environments: int) -> FunctionConfig:
    layer = preparation.layers[cell.engine_and_format, cell.architecture]
    return FunctionConfig(
        name=f"serverless-mlperf-{cell.name.replace('_', '-')}",
        cell_name=cell.name,
        memory_mib=cell.memory_mib,
        timeout_s=config.timeout_s,
        concurrency=environments,
        environment={
            "MODELS_PATH": MODELS_PREFIX,
            "ENGINE_AND_FORMAT": cell.engine_and_format,
            "CV_TASK": cell.task,
            "SUT_THREADS": str(config.threads or _cores(config, cell.memory_mib)),
            "SUT_PRECISION": config.precision,
            "SUT_MODEL_SHA256": ",".join(preparation.model_digests(cell.task, cell.engine_and_format)),
        },
        code_zip=preparation.function.path,
        layer_zip=layer.path,
        layer=layer.name,
        architecture=cell.architecture,
    )


def _cores(config: ExperimentConfig, memory_mib: int) -> int:
    """Those that a function of the size sees on Lambda; no more than the host has, where it is the host's."""
    visible = visible_cores(memory_mib)
    return min(visible, host_cores()) if traits_of(config.platform).shares_host else visible
