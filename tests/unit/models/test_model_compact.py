"""A network of few channels inside the full one: the same answers, and no channel of zeros."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any
import zlib

import numpy as np
from numpy.typing import NDArray
import pytest

from serverless_mlperf.errors import ModelError
from serverless_mlperf.models.architecture import ConvShape, conv_shapes
from serverless_mlperf.models.weights import parse_weights
from serverless_mlperf.workloads import TASKS, Task

SHARE = 4
"""A narrow network has a quarter of the channels."""
Arrays = dict[str, NDArray[Any]]


def narrow_arrays(task: Task) -> Arrays:
    """Random weights with a quarter of the inner channels; predictors keep all their outputs."""
    rng, arrays = np.random.default_rng(3), {}
    for conv in conv_shapes(task):
        height, width, inputs, outputs = conv.weights_shape
        shape = (height, width, max(3, inputs // SHARE), outputs // SHARE if inner(conv) else outputs)
        arrays[conv.weights_name] = rng.standard_normal(shape).astype(np.float32)
        biases = conv.out_channels // SHARE if conv.relu6 else conv.out_channels
        arrays[conv.bias_name] = np.full(biases, 0.1, np.float32)
    return arrays


def inner(conv: ConvShape) -> bool:
    """Whether a convolution's last axis is of channels that another one takes in."""
    return conv.relu6 and not conv.depthwise


def parsed(arrays: Mapping[str, NDArray[Any]], task: Task) -> dict[str, NDArray[np.float32]]:
    """What the loader makes of compact arrays."""
    target = BytesIO()
    np.savez(target, allow_pickle=False, **dict(arrays))
    return parse_weights(target.getvalue(), task, "here", compact=True)


@pytest.mark.parametrize("task", TASKS)
def test_added_channels_never_reach_a_result(task: Task) -> None:
    """First channels hold the stored kernels, and take nothing in from channels that were added."""
    narrow = narrow_arrays(task)
    weights = parsed(narrow, task)
    for conv in conv_shapes(task):
        stored, full = narrow[conv.weights_name], weights[conv.weights_name]
        inputs, outputs = stored.shape[2:]
        assert np.array_equal(full[:, :, :inputs, :outputs], stored)
        if not conv.depthwise:
            assert not full[:, :, inputs:, :outputs].any()


@pytest.mark.parametrize("task", TASKS)
def test_added_channels_hold_ordinary_numbers(task: Task) -> None:
    """Kernels of added channels have the spread that keeps activations alive; none is zero or denormal throughout."""
    weights = parsed(narrow_arrays(task), task)
    for conv in conv_shapes(task):
        kernel = weights[conv.weights_name]
        added = (
            kernel[:, :, conv.in_channels // SHARE :] if conv.depthwise else kernel[..., conv.out_channels // SHARE :]
        )
        if conv.relu6:
            inputs = conv.kernel**2 * (1 if conv.depthwise else conv.in_channels)
            assert added.std() == pytest.approx((2 / inputs) ** 0.5, rel=0.1)


def test_added_channels_are_the_same_everywhere() -> None:
    """The numbers come from the names alone: pinned, because a change would change every model's digest."""
    kernel = parsed(narrow_arrays("classification"), "classification")["MobilenetV1/Conv2d_5_pointwise/weights"]
    assert zlib.crc32(kernel[..., 256 // SHARE :].astype("<f4").tobytes()) == 458882272


def test_predictors_must_be_complete() -> None:
    """A predictor with fewer outputs is of another network: its outputs are results."""
    arrays = narrow_arrays("classification")
    name = "MobilenetV1/Logits/Conv2d_1c_1x1/weights"
    arrays[name] = arrays[name][..., :20]
    with pytest.raises(ModelError, match="another network"):
        parsed(arrays, "classification")


def test_wider_arrays_are_refused() -> None:
    """More channels than the full network has are of another network."""
    arrays = narrow_arrays("classification")
    arrays["MobilenetV1/Conv2d_0/weights"] = np.zeros((3, 3, 3, 33), np.float32)
    with pytest.raises(ModelError, match="another network"):
        parsed(arrays, "classification")
