"""Seeded random weights of the full networks, for tests that need no accuracy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serverless_mlperf.models.architecture import expected_shapes
from serverless_mlperf.models.weights import WEIGHT_FILES
from serverless_mlperf.workloads import TASKS, Task


def random_arrays(task: Task, seed: int = 7) -> dict[str, NDArray[np.float16]]:
    """He-scaled kernels; class predictors biased so that a few boxes pass the threshold."""
    rng = np.random.default_rng(seed)
    return {name: _random_array(rng, name, shape).astype(np.float16) for name, shape in expected_shapes(task).items()}


def save_random_weights(folder: Path) -> Path:
    """Write both weight files."""
    folder.mkdir(parents=True, exist_ok=True)
    for task in TASKS:
        save_arrays(folder / WEIGHT_FILES[task], random_arrays(task))
    return folder


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an `.npz` of these arrays, object arrays included."""
    np.savez(path, allow_pickle=True, **dict(arrays))


def _random_array(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if name.endswith("biases"):
        bias = -4.0 if "ClassPredictor" in name else 0.1
        return np.full(shape, bias, np.float32)
    inputs = shape[0] * shape[1] * (1 if name.endswith("depthwise_weights") else shape[2])
    return rng.standard_normal(shape, np.float32) * np.float32((2 / inputs) ** 0.5)
