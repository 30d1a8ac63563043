"""The compact form of the shipped weights: int8 codes, of a network with fewer channels than the full one.

An array may be stored as `<name>:codes` (int8) with `<name>:scale` (float32 per output channel), and with fewer
channels than `architecture.expected_shapes` says. It then fills the first channels. Channels that are added never reach
a result: whatever takes them in has weights of zero for them. Their own kernels are seeded random numbers, so that the
full network computes with ordinary numbers all over, not with planes of zeros.
"""

from collections.abc import Mapping
from typing import Any
import zlib

import numpy as np
from numpy.typing import NDArray

from serverless_mlperf.errors import ModelError
from serverless_mlperf.models.architecture import Array, ConvShape


def restored_kernel(stored: Mapping[str, NDArray[Any]], conv: ConvShape, where: str) -> NDArray[Any]:
    """The kernel of a convolution, of full size unless it is of another network; absent means all zero."""
    name, shape = conv.weights_name, conv.weights_shape
    if name in stored:
        kernel = stored[name]
    elif f"{name}:codes" in stored:
        kernel = _dequantised(stored, name, where, axis=2 if conv.depthwise else -1)
    else:
        return np.zeros(shape, np.float32)
    return _widened_kernel(kernel, conv) if _is_narrower(kernel, shape, conv) else kernel


def restored_bias(stored: Mapping[str, NDArray[Any]], conv: ConvShape) -> NDArray[Any]:
    """The bias of a convolution; zero where it is absent and for channels that are added."""
    bias, shape = stored.get(conv.bias_name, np.zeros(0, np.float32)), (conv.out_channels,)
    if conv.bias_name in stored and not _is_narrower(bias, shape, conv):
        return bias
    full = np.zeros(shape, np.float32)
    full[: len(bias)] = bias
    return full


def _is_narrower(array: NDArray[Any], shape: tuple[int, ...], conv: ConvShape) -> bool:
    """Whether an array has fewer channels; predictors, whose outputs are results, must have all their outputs."""
    if array.ndim != len(shape) or array.dtype.kind != "f" or (not conv.relu6 and array.shape[-1] != shape[-1]):
        return False
    return array.shape[:-2] == shape[:-2] and all(a <= b for a, b in zip(array.shape, shape, strict=True))


def _widened_kernel(kernel: NDArray[Any], conv: ConvShape) -> Array:
    full = _noise(conv)
    inputs, outputs = kernel.shape[2:]
    if conv.depthwise:
        full[:, :, :inputs] = kernel
    else:
        full[..., :outputs] = 0
        full[:, :, :inputs, :outputs] = kernel
    return full


def _noise(conv: ConvShape) -> Array:
    """Uniform random numbers that keep the spread of activations (He et al. 2015), a kernel's own on every machine."""
    seed, count = zlib.crc32(conv.weights_name.encode()), int(np.prod(conv.weights_shape))
    # NumPy promises (NEP 19) the raw stream of a bit generator to stay; it does not promise those of distributions.
    words = np.random.PCG64(seed).random_raw(-(-count // 8)).astype("<u8")
    inputs = conv.kernel**2 * (1 if conv.depthwise else conv.in_channels)
    levels = words.view(np.int8)[:count].reshape(conv.weights_shape).astype(np.float32)
    return np.asarray(levels * np.float32((6 / inputs) ** 0.5 / 128), np.float32)


def _dequantised(stored: Mapping[str, NDArray[Any]], name: str, where: str, axis: int) -> Array:
    """Codes times the scale of their output channel, which is axis 2 of depthwise kernels (HWC1), else the last."""
    codes, scale = stored[f"{name}:codes"], stored.get(f"{name}:scale")
    if scale is None or codes.dtype != np.int8 or codes.ndim != 4 or scale.shape != (codes.shape[axis],):
        raise ModelError(f"{where}: {name} has no int8 codes with one scale per output channel; make the file again")
    spread = scale[:, None] if axis == 2 else scale
    return np.asarray(codes.astype(np.float32) * spread.astype(np.float32), np.float32)
