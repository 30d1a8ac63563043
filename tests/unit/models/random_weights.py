"""Seeded random weights of the full networks, for tests that need no accuracy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serverless_mlperf.models.architecture import DETECTOR_CLASSES, expected_shapes
from serverless_mlperf.models.weights import WEIGHT_FILES
from serverless_mlperf.workloads import TASKS, Task


def random_arrays(task: Task, seed: int = 7) -> dict[str, NDArray[np.float16]]:
    """He-scaled kernels and small biases, float16."""
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
    if name.endswith("ClassPredictor/biases"):
        return _class_biases(name, shape)
    if name.endswith("biases"):
        return np.full(shape, 0.1, np.float32)
    inputs = shape[0] * shape[1] * (1 if name.endswith("depthwise_weights") else shape[2])
    spread = 0.5 if "ClassPredictor" in name else 1.0
    return rng.standard_normal(shape, np.float32) * np.float32(spread * (2 / inputs) ** 0.5)


def _class_biases(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A few boxes pass the threshold; of class 7 on the second map far more than are candidates for suppression."""
    biases = np.full(shape, -4, np.float32)
    if name.startswith("BoxPredictor_1/"):
        biases[7::DETECTOR_CLASSES] = 0
    return biases
