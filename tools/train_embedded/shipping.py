"""Trained numbers become the shipped files: int8 codes of the narrow network, with predictors of full width."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from serverless_mlperf.models.architecture import (
    CLASSIFIER_CLASSES,
    DETECTOR_CLASSES,
    Array,
    ConvShape,
    conv_shapes,
    prior_sizes,
)
from serverless_mlperf.workloads import Task

EMBEDDED: Final = Path(__file__).resolve().parents[2] / "src" / "serverless_mlperf" / "models" / "embedded"
NEVER: Final = -20.0
"""Logit of classes that are not in the set: a probability of 0 in float32's eyes, far from its limits."""

Arrays = dict[str, NDArray[Any]]


def ship(task: Task, folded: Mapping[str, Array]) -> None:
    """Write one file from kernels and biases under their names, predictors of full width included."""
    path = EMBEDDED / f"{task}.npz"
    np.savez_compressed(path, allow_pickle=False, **compact(task, folded))
    print(f"{path.name}: {path.stat().st_size:,} bytes", flush=True)


def compact(task: Task, arrays: Mapping[str, Array]) -> Arrays:
    """Kernels as codes with a scale per output channel, biases as they are."""
    stored: Arrays = {}
    for conv in conv_shapes(task):
        stored |= _coded(conv, arrays[conv.weights_name])
        stored[conv.bias_name] = arrays[conv.bias_name].astype(np.float32)
    return stored


def placed_logits(weights: Array, bias: Array) -> dict[str, Array]:
    """Data-set class k is output k + 1; all other outputs have no weights and the logit NEVER."""
    conv = conv_shapes("classification")[-1]
    full, full_bias = np.zeros((1, 1, len(weights), CLASSIFIER_CLASSES), np.float32), _never(CLASSIFIER_CLASSES)
    outputs = slice(1, 1 + len(bias))
    full[0, 0, :, outputs], full_bias[outputs] = weights, bias
    return {conv.weights_name: full, conv.bias_name: full_bias}


def placed_predictors(heads: Iterable[tuple[Array, ...]]) -> dict[str, Array]:
    """Category k is class k of each anchor; all other classes have no weights and the logit NEVER."""
    arrays: dict[str, Array] = {}
    for number, (head, priors) in enumerate(zip(heads, prior_sizes(), strict=True)):
        scores, scores_bias, boxes, boxes_bias = head
        full = np.zeros((len(scores), len(priors), DETECTOR_CLASSES), np.float32)
        full_bias = _never(len(priors), DETECTOR_CLASSES)
        found = slice(1, 1 + len(scores_bias) // len(priors))
        full[:, :, found] = scores.reshape(len(scores), len(priors), -1)
        full_bias[:, found] = scores_bias.reshape(len(priors), -1)
        arrays[f"BoxPredictor_{number}/ClassPredictor/weights"] = full.reshape(1, 1, len(scores), -1)
        arrays[f"BoxPredictor_{number}/ClassPredictor/biases"] = full_bias.ravel()
        arrays[f"BoxPredictor_{number}/BoxEncodingPredictor/weights"] = boxes[None, None]
        arrays[f"BoxPredictor_{number}/BoxEncodingPredictor/biases"] = boxes_bias
    return arrays


def _coded(conv: ConvShape, kernel: Array) -> Arrays:
    axes = (0, 1, 3) if conv.depthwise else (0, 1, 2)
    scale = np.maximum(np.abs(kernel).max(axes, keepdims=True) / 127, 1e-12).astype(np.float32)
    codes = np.rint(kernel / scale).astype(np.int8)
    return {f"{conv.weights_name}:codes": codes, f"{conv.weights_name}:scale": scale.ravel()}


def _never(*shape: int) -> Array:
    return np.full(shape, NEVER, np.float32)
