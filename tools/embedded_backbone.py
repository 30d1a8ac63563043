"""Backbones of the embedded weights: structured random kernels that are calibrated but never trained.

Channels carry what was seen forward: most outputs of a pointwise convolution are copies of an input, kept in the
linear range of ReLU6; the rest are random mixtures of a few inputs, cut at zero, which is where non-linear features of
colour and texture come from. Depthwise kernels are the centre, a blur or an oriented derivative. Purely random
kernels do not work: 27 layers of random mixing destroy what a linear head could read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serverless_mlperf.models.architecture import Array, ConvShape, conv_shapes
from serverless_mlperf.workloads import Task

SEED: Final = 7
COPIED_SHARE: Final = 0.8
MIXED_INPUTS: Final = 8
LINEAR_MEAN: Final = 2.5
"""Mean of linear channels, whose standard deviation is 1: within 0..6 for nearly all pixels."""

_BLUR: Final = np.outer([1, 2, 1], [1, 2, 1]) / 16
_COLOURS: Final = np.array(
    [
        *[(1, 1, 1), (1, -1, 0), (-1, 1, 0), (0, 1, -1), (0, -1, 1), (1, 0, -1), (-1, 0, 1)],
        *[(2, -1, -1), (-1, 2, -1), (-1, -1, 2), (-1, -1, -1), (1, 1, -2), (1, -2, 1), (-2, 1, 1)],
    ]
)
"""Weights of red, green and blue in the first layer: brightness and colour opponents."""

Kernel = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution of the backbone with its numbers, and which of its channels are to stay linear."""

    shape: ConvShape
    weights: Array
    bias: Array
    linear: NDArray[np.bool_]


def backbone(task: Task, images: Array, centre_share: float) -> list[Layer]:
    """Kernels drawn from SEED, calibrated on a few images (n x 3 x S x S), rounded to float16 as they are stored.

    `centre_share` is the share of depthwise kernels, at stride 1, that hand on the pixel itself.
    """
    rng = np.random.default_rng(SEED)
    layers, out = [], np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    for shape in conv_shapes(task):
        if not shape.relu6:
            continue  # a head
        kernel, linear = _drawn(rng, shape, centre_share)
        layer, out = _calibrated(shape, kernel, linear, out)
        layers.append(layer)
    return layers


def stored(layers: Sequence[Layer]) -> dict[str, NDArray[np.float16]]:
    """The arrays of these layers under their names."""
    arrays = {layer.shape.weights_name: layer.weights.astype(np.float16) for layer in layers}
    return arrays | {layer.shape.bias_name: layer.bias.astype(np.float16) for layer in layers}


def feature_extractor(layers: Sequence[Layer], taps: Sequence[str]) -> Callable[[Array], list[Array]]:
    """A function from one image (1 x 3 x S x S) to the outputs of the layers named, each S' x S' x channels."""
    import openvino as ov
    from openvino import opset13 as op

    size = layers[0].shape.input_size
    source = out = op.parameter([1, 3, size, size], np.float32)
    results = []
    for layer in layers:
        shape, (before, after) = layer.shape, layer.shape.padding
        order = (2, 3, 0, 1) if shape.depthwise else (3, 2, 0, 1)
        kernel = np.ascontiguousarray(layer.weights.transpose(order))
        window = ([shape.stride] * 2, [before] * 2, [after] * 2, [1, 1])
        convolution = op.group_convolution if shape.depthwise else op.convolution
        out = convolution(out, op.constant(kernel[:, None] if shape.depthwise else kernel), *window)
        out = op.clamp(op.add(out, op.constant(layer.bias.reshape(1, -1, 1, 1))), 0.0, 6.0)
        if shape.name in taps:
            results.append(op.result(op.transpose(out, op.constant(np.array([0, 2, 3, 1])))))
    model = ov.Core().compile_model(ov.Model(results, [source]), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda batch: [np.array(value[0]) for value in model([batch]).values()]


def _drawn(rng: np.random.Generator, shape: ConvShape, centre_share: float) -> tuple[Kernel, NDArray[np.bool_]]:
    if shape.in_channels == 3:
        return _colours_and_edges(rng, shape), np.zeros(shape.out_channels, dtype=bool)
    if shape.depthwise:
        return _filters(rng, shape, centre_share), np.ones(shape.out_channels, dtype=bool)
    mixing = _mixing(rng, shape)
    kernel = mixing[None, None] if shape.kernel == 1 else _BLUR[:, :, None, None] * mixing
    return kernel, np.arange(shape.out_channels) < _copied(shape)


def _colours_and_edges(rng: np.random.Generator, shape: ConvShape) -> Kernel:
    kernel = np.zeros(shape.weights_shape)
    kernel[:, :, :, : len(_COLOURS)] = _BLUR[..., None, None] * _COLOURS.T
    edges = shape.out_channels - len(_COLOURS)
    for edge in range(edges):
        colour = _COLOURS[rng.integers(4)] if edge % 3 == 0 else _COLOURS[0]
        kernel[..., len(_COLOURS) + edge] = _derivative(2 * np.pi * edge / edges)[..., None] * colour
    return kernel


def _filters(rng: np.random.Generator, shape: ConvShape, centre_share: float) -> Kernel:
    kernel = np.zeros(shape.weights_shape)
    for channel in range(shape.in_channels):
        kernel[:, :, channel, 0] = _BLUR if shape.stride == 2 else _filter(rng, centre_share)
    return kernel


def _filter(rng: np.random.Generator, centre_share: float) -> Kernel:
    if rng.random() < centre_share:
        centre = np.zeros((3, 3))
        centre[1, 1] = 1
        return centre + _BLUR if rng.random() < 0.3 else centre
    return _derivative(rng.uniform(0, 2 * np.pi)) + 0.3 * _BLUR


def _derivative(angle: float) -> Kernel:
    rows, columns = np.mgrid[-1:2, -1:2]
    return np.asarray((np.cos(angle) * columns + np.sin(angle) * rows) * 4 * _BLUR)


def _copied(shape: ConvShape) -> int:
    return min(shape.in_channels, round(shape.out_channels * COPIED_SHARE))


def _mixing(rng: np.random.Generator, shape: ConvShape) -> Kernel:
    """Input x output channels: copies first, then random mixtures."""
    mixing, copied = np.zeros((shape.in_channels, shape.out_channels)), _copied(shape)
    mixing[rng.permutation(shape.in_channels)[:copied], np.arange(copied)] = 1
    for channel in range(copied, shape.out_channels):
        inputs = rng.permutation(shape.in_channels)[:MIXED_INPUTS]
        mixing[inputs, channel] = rng.standard_normal(len(inputs))
    return mixing


def _calibrated(shape: ConvShape, kernel: Kernel, linear: NDArray[np.bool_], images: Array) -> tuple[Layer, Array]:
    """Fold in a batch normalisation: unit deviation, mean LINEAR_MEAN or 0 (so that ReLU6 cuts half)."""
    raw = _convolved(shape, kernel.astype(np.float32), images)
    mean, deviation = raw.mean((0, 1, 2)), raw.std((0, 1, 2)) + 1e-3
    weights = kernel / (deviation[:, None] if shape.depthwise else deviation)
    layer = Layer(shape, _rounded(weights), _rounded(np.where(linear, LINEAR_MEAN, 0) - mean / deviation), linear)
    return layer, np.clip(_convolved(shape, layer.weights, images) + layer.bias, 0, 6)


def _rounded(numbers: Kernel) -> Array:
    return numbers.astype(np.float16).astype(np.float32)


def _convolved(shape: ConvShape, kernel: Array, images: Array) -> Array:
    """Convolution of n x S x S x channels in plain numpy: slow, but calibration needs a few images only."""
    padded = np.pad(images, ((0, 0), shape.padding, shape.padding, (0, 0)))
    size, step = shape.output_size, shape.stride
    out = np.zeros((len(images), size, size, shape.out_channels), np.float32)
    for row in range(shape.kernel):
        for column in range(shape.kernel):
            rows = slice(row, row + (size - 1) * step + 1, step)
            columns = slice(column, column + (size - 1) * step + 1, step)
            seen, part = padded[:, rows, columns], kernel[row, column]
            out += seen * part[:, 0] if shape.depthwise else seen @ part
    return out
