"""The two networks as neutral layer lists, shared by every exporter.

Tables follow the TensorFlow models: `slim/nets/mobilenet_v1.py` and, of the TF Object Detection API,
`ssd_mobilenet_v1_feature_extractor.py` and `multiple_grid_anchor_generator.py` (config `ssd_mobilenet_v1_coco`).
Batch normalisation is folded into weights and biases. Every activation is ReLU6.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serverless_mlperf.workloads import Task

Array = NDArray[np.float32]

CHANNELS: Final = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
"""Output channels of the separable blocks 1 to 13."""
STRIDES: Final = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
"""Strides of the depthwise half of the separable blocks 1 to 13."""
EXTRAS: Final = ((256, 512), (128, 256), (128, 256), (64, 128))
"""Channels of the extra SSD maps: 1x1 squeeze, then 3x3 at stride 2."""
INPUT_SIZES: Final[dict[Task, int]] = {"classification": 224, "object_detection": 300}
CLASSIFIER_CLASSES: Final = 1001
"""Class 0 is background."""
DETECTOR_CLASSES: Final = 91
"""COCO category ids 1 to 90; class 0 is background."""
FEATURE_MAP_SIZES: Final = (19, 10, 5, 3, 2, 1)
ANCHOR_COUNT: Final = 1917
PRIOR_VARIANCES: Final = (0.1, 0.1, 0.2, 0.2)
"""Inverse of the box coder's scales 10, 10, 5, 5."""
SCORE_THRESHOLD: Final = 0.3
NMS_THRESHOLD: Final = 0.6
TOP_DETECTIONS: Final = 100


@dataclass(frozen=True, slots=True)
class ConvShape:
    """A convolution without its numbers; `name` is the prefix of its arrays' names."""

    name: str
    kernel: int
    in_channels: int
    out_channels: int
    stride: int
    relu6: bool
    depthwise: bool
    input_size: int
    """Height and width of its input."""

    @property
    def output_size(self) -> int:
        """Height and width of its output under SAME padding."""
        return -(-self.input_size // self.stride)

    @property
    def padding(self) -> tuple[int, int]:
        """Rows of zeros before and after, likewise columns."""
        return same_padding(self.input_size, self.kernel, self.stride)

    @property
    def groups(self) -> int:
        """Number of groups: one per channel when depthwise."""
        return self.in_channels if self.depthwise else 1

    @property
    def weights_name(self) -> str:
        """Name of the kernel's array."""
        return f"{self.name}/{'depthwise_weights' if self.depthwise else 'weights'}"

    @property
    def bias_name(self) -> str:
        """Name of the bias's array."""
        return f"{self.name}/biases"

    @property
    def weights_shape(self) -> tuple[int, int, int, int]:
        """HWIO, or HWC1 when depthwise."""
        return self.kernel, self.kernel, self.in_channels, 1 if self.depthwise else self.out_channels


@dataclass(frozen=True, slots=True, eq=False)
class Conv(ConvShape):
    """A convolution with its kernel (HWIO, or HWC1 when depthwise) and bias."""

    weights: Array
    bias: Array

    @property
    def oihw(self) -> Array:
        """The kernel as Caffe, ONNX and OpenVINO want it: output channel, input channel of the group, row, column."""
        order = (2, 3, 0, 1) if self.depthwise else (3, 2, 0, 1)
        return np.ascontiguousarray(np.transpose(self.weights, order))


@dataclass(frozen=True, slots=True)
class Classifier:
    """MobileNetV1 1.0/224: backbone, global average pooling, logits, softmax."""

    backbone: tuple[Conv, ...]
    logits: Conv


@dataclass(frozen=True, slots=True)
class Head:
    """The two predictors on one feature map."""

    feature: str
    """Name of the convolution whose output is the feature map."""
    boxes: Conv
    """Channels per anchor: y, x, height, width, as in TensorFlow."""
    classes: Conv
    priors: tuple[tuple[float, float], ...]
    """Width and height of each anchor, in units of the image."""

    @property
    def boxes_xywh(self) -> tuple[Array, Array]:
        """OIHW kernel and bias of the box predictor with channels in Caffe's order: x, y, width, height."""
        order = [4 * anchor + axis for anchor in range(len(self.priors)) for axis in (1, 0, 3, 2)]
        return np.ascontiguousarray(self.boxes.oihw[order]), self.boxes.bias[order]


@dataclass(frozen=True, slots=True)
class Detector:
    """SSD-MobileNetV1 1.0/300: backbone, extra maps, six pairs of predictors."""

    backbone: tuple[Conv, ...]
    extras: tuple[Conv, ...]
    heads: tuple[Head, ...]


def mobilenet_v1(weights: Mapping[str, Array]) -> Classifier:
    """The classifier with these weights; names and shapes as in `expected_shapes`."""
    *backbone, logits = (_filled(shape, weights) for shape in _classifier_shapes())
    return Classifier(tuple(backbone), logits)


def ssd_mobilenet_v1(weights: Mapping[str, Array]) -> Detector:
    """The detector with these weights; names and shapes as in `expected_shapes`."""
    scope = "FeatureExtractor/MobilenetV1/"
    backbone = tuple(_filled(shape, weights) for shape in _backbone_shapes(scope, INPUT_SIZES["object_detection"]))
    extras = tuple(_filled(shape, weights) for shape in _extra_shapes(scope))
    features = _feature_shapes(scope)
    heads = tuple(
        Head(feature.name, _filled(boxes, weights), _filled(classes, weights), priors)
        for feature, (boxes, classes), priors in zip(features, _head_shapes(features), prior_sizes(), strict=True)
    )
    return Detector(backbone, extras, heads)


def conv_shapes(task: Task) -> tuple[ConvShape, ...]:
    """Every convolution of a task's network, in order of execution."""
    if task == "classification":
        return _classifier_shapes()
    scope = "FeatureExtractor/MobilenetV1/"
    heads = (shape for pair in _head_shapes(_feature_shapes(scope)) for shape in pair)
    return (*_backbone_shapes(scope, INPUT_SIZES[task]), *_extra_shapes(scope), *heads)


def expected_shapes(task: Task) -> dict[str, tuple[int, ...]]:
    """Name and shape of every array of a task's weights."""
    table: dict[str, tuple[int, ...]] = {}
    for shape in conv_shapes(task):
        table[shape.weights_name] = shape.weights_shape
        table[shape.bias_name] = (shape.out_channels,)
    return table


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after, as TensorFlow's SAME: an odd total puts the extra one after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def prior_sizes() -> tuple[tuple[tuple[float, float], ...], ...]:
    """Width and height of the anchors of each feature map, in TensorFlow's order.

    Scales run from 0.2 to 0.95; the lowest map has three reduced anchors, the others five aspect ratios and one
    anchor of the geometric mean of its scale and the next.
    """
    scales = [0.2 + 0.15 * k for k in range(6)] + [1.0]
    lowest = [(0.1, 1.0), (scales[0], 2.0), (scales[0], 0.5)]
    others = [
        [*((scales[k], ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 1 / 3)), ((scales[k] * scales[k + 1]) ** 0.5, 1.0)]
        for k in range(1, 6)
    ]
    return tuple(tuple((s * ratio**0.5, s / ratio**0.5) for s, ratio in layer) for layer in [lowest, *others])


def anchors() -> Array:
    """All anchors, shape (1917, 4): y centre, x centre, height, width, in units of the image."""
    return np.concatenate(
        [_grid(size, priors) for size, priors in zip(FEATURE_MAP_SIZES, prior_sizes(), strict=True)]
    ).astype(np.float32)


def prior_boxes() -> Array:
    """All anchors as corners, shape (1917, 4): xmin, ymin, xmax, ymax."""
    y, x, height, width = anchors().T
    return np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)


def _grid(size: int, priors: tuple[tuple[float, float], ...]) -> NDArray[np.float64]:
    y, x, prior = np.meshgrid(np.arange(size), np.arange(size), np.arange(len(priors)), indexing="ij")
    sizes = np.array(priors)[prior.ravel()]
    return np.stack([(y.ravel() + 0.5) / size, (x.ravel() + 0.5) / size, sizes[:, 1], sizes[:, 0]], axis=1)


def _filled(shape: ConvShape, weights: Mapping[str, Array]) -> Conv:
    return Conv(**asdict(shape), weights=weights[shape.weights_name], bias=weights[shape.bias_name])


def _classifier_shapes() -> tuple[ConvShape, ...]:
    logits = ConvShape("MobilenetV1/Logits/Conv2d_1c_1x1", 1, CHANNELS[-1], CLASSIFIER_CLASSES, 1, False, False, 1)
    return (*_backbone_shapes("MobilenetV1/", INPUT_SIZES["classification"]), logits)


def _backbone_shapes(scope: str, size: int) -> tuple[ConvShape, ...]:
    shapes = [ConvShape(f"{scope}Conv2d_0", 3, 3, 32, 2, True, False, size)]
    for block, (channels, stride) in enumerate(zip(CHANNELS, STRIDES, strict=True), 1):
        before = shapes[-1]
        inputs, size = before.out_channels, before.output_size
        depthwise = ConvShape(f"{scope}Conv2d_{block}_depthwise", 3, inputs, inputs, stride, True, True, size)
        pointwise = f"{scope}Conv2d_{block}_pointwise"
        shapes += [depthwise, ConvShape(pointwise, 1, inputs, channels, 1, True, False, depthwise.output_size)]
    return tuple(shapes)


def _extra_shapes(scope: str) -> tuple[ConvShape, ...]:
    shapes: list[ConvShape] = []
    inputs, size = CHANNELS[-1], FEATURE_MAP_SIZES[1]
    for layer, (squeeze, outputs) in enumerate(EXTRAS, 2):
        first = f"{scope}Conv2d_13_pointwise_1_Conv2d_{layer}_1x1_{squeeze}"
        second = f"{scope}Conv2d_13_pointwise_2_Conv2d_{layer}_3x3_s2_{outputs}"
        shapes.append(ConvShape(first, 1, inputs, squeeze, 1, True, False, size))
        shapes.append(ConvShape(second, 3, squeeze, outputs, 2, True, False, size))
        inputs, size = outputs, shapes[-1].output_size
    return tuple(shapes)


def _feature_shapes(scope: str) -> tuple[ConvShape, ...]:
    """The convolutions whose outputs the predictors look at."""
    backbone = {shape.name: shape for shape in _backbone_shapes(scope, INPUT_SIZES["object_detection"])}
    lower = (backbone[f"{scope}Conv2d_11_pointwise"], backbone[f"{scope}Conv2d_13_pointwise"])
    return (*lower, *_extra_shapes(scope)[1::2])


def _head_shapes(features: tuple[ConvShape, ...]) -> tuple[tuple[ConvShape, ConvShape], ...]:
    pairs = []
    for k, (feature, priors) in enumerate(zip(features, prior_sizes(), strict=True)):
        inputs, size = feature.out_channels, feature.output_size
        boxes = ConvShape(f"BoxPredictor_{k}/BoxEncodingPredictor", 1, inputs, 4 * len(priors), 1, False, False, size)
        classes = ConvShape(
            f"BoxPredictor_{k}/ClassPredictor", 1, inputs, DETECTOR_CLASSES * len(priors), 1, False, False, size
        )
        pairs.append((boxes, classes))
    return tuple(pairs)
