"""The narrow networks that are trained: the layer lists of `architecture.py` with fewer channels, in torch."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor, nn

from serverless_mlperf.models.architecture import ConvShape, conv_shapes, prior_sizes
from serverless_mlperf.workloads import Task

WIDTHS: Final = {3: 3, 32: 16, 64: 16, 128: 32, 256: 64, 512: 160, 1024: 256}
"""Channels of the full network -> channels that are trained: about a quarter."""
FROZEN: Final = 7
"""The first layer and the separable blocks 1 to 3, up to maps of 75 x 75."""
_LOW_SCORE_LOGIT: Final = -4.6
"""A detector starts with every score at 0.01, or the many empty anchors would drown the first steps."""

Folded = dict[str, NDArray[np.float32]]


class Layer(nn.Module):
    """A convolution with batch normalisation and ReLU6, padded as TensorFlow's SAME."""

    def __init__(self, shape: ConvShape) -> None:
        super().__init__()
        self.shape = shape
        inputs, outputs = WIDTHS[shape.in_channels], WIDTHS[shape.out_channels]
        groups, (before, after) = inputs if shape.depthwise else 1, shape.padding
        self.uneven = (before, after, before, after) if before != after else None
        padding = 0 if self.uneven else before
        self.conv = nn.Conv2d(inputs, outputs, shape.kernel, shape.stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, momentum=0.02)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out" if shape.depthwise else "fan_in")

    def forward(self, images: Tensor) -> Tensor:
        """Run the layer."""
        if self.uneven:
            images = nn.functional.pad(images, self.uneven)
        return nn.functional.relu6(self.norm(self.conv(images)), inplace=True)

    def folded(self) -> Folded:
        """Kernel (HWIO, or HWC1) and bias with the normalisation folded in, under their names."""
        factor = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
        kernel = self.conv.weight * factor[:, None, None, None]
        bias = self.norm.bias - self.norm.running_mean * factor
        order = (2, 3, 0, 1) if self.shape.depthwise else (2, 3, 1, 0)
        return {self.shape.weights_name: _numpy(kernel.permute(*order)), self.shape.bias_name: _numpy(bias)}


class Classifier(nn.Module):
    """Narrow MobileNetV1: logits of the data set's classes."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        *shapes, logits = conv_shapes("classification")
        self.layers = nn.ModuleList(Layer(shape) for shape in shapes)
        self.logits = nn.Linear(WIDTHS[logits.in_channels], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, n x classes."""
        for layer in self.layers:
            images = layer(images)
        return self.logits(images.mean((2, 3)).float())


class Detector(nn.Module):
    """Narrow SSD-MobileNetV1: class logits and box encodings of every anchor.

    Its first FROZEN layers are the classifier's and stay as they are: edges and textures look the same in both tasks,
    and these layers, on the largest maps, are two thirds of the work of a step.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        shapes = conv_shapes("object_detection")
        self.classes = classes
        self.layers = nn.ModuleList(Layer(shape) for shape in shapes if shape.relu6)
        self.features = feature_positions([shape for shape in shapes if shape.relu6])
        widths = [WIDTHS[self.layers[position].shape.out_channels] for position in self.features]
        anchors = [len(priors) for priors in prior_sizes()]
        self.boxes = nn.ModuleList(nn.Conv2d(w, 4 * a, 1) for w, a in zip(widths, anchors, strict=True))
        self.scores = nn.ModuleList(nn.Conv2d(w, classes * a, 1) for w, a in zip(widths, anchors, strict=True))
        for head in (*self.boxes, *self.scores):
            nn.init.normal_(head.weight, std=0.01)
        for head in self.scores:
            nn.init.constant_(head.bias, _LOW_SCORE_LOGIT)

    def begin_with(self, classifier: dict[str, Tensor]) -> None:
        """Take over the backbone of a trained classifier's state, and freeze the first layers."""
        backbone = {name: value for name, value in classifier.items() if name.startswith("layers.")}
        self.load_state_dict(self.state_dict() | backbone)
        self.layers[:FROZEN].requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "Detector":
        """Set the mode of all layers but the frozen ones, whose normalisation must not drift."""
        super().train(mode)
        for layer in self.layers[:FROZEN]:
            layer.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits n x 1917 x classes, and encodings n x 1917 x [y, x, height, width]."""
        logits, boxes = [], []
        for position, layer in enumerate(self.layers):
            images = layer(images)
            if position in self.features:
                head = self.features.index(position)
                logits.append(_rows(self.scores[head](images), self.classes))
                boxes.append(_rows(self.boxes[head](images), 4))
        return torch.cat(logits, 1).float(), torch.cat(boxes, 1).float()


def feature_positions(shapes: list[ConvShape]) -> list[int]:
    """Positions of the layers the predictors look at: pointwise 11 and 13, and the second of each pair of extras."""
    endings = ("_11_pointwise", "_13_pointwise")
    return [n for n, shape in enumerate(shapes) if shape.name.endswith(endings) or "_3x3_s2_" in shape.name]


def folded_layers(network: Any) -> Folded:
    """Kernels and biases of all layers but the heads."""
    arrays: Folded = {}
    for layer in network.layers:
        arrays |= layer.folded()
    return arrays


def folded_logits(network: Classifier) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights (inputs x classes) and bias of the logits."""
    return _numpy(network.logits.weight.T), _numpy(network.logits.bias)


def folded_heads(network: Detector) -> Iterator[tuple[NDArray[np.float32], ...]]:
    """Per feature map: weights (inputs x channels) and bias of the class predictor, then of the box predictor."""
    for scores, boxes in zip(network.scores, network.boxes, strict=True):
        yield tuple(_numpy(part) for head in (scores, boxes) for part in (head.weight[:, :, 0, 0].T, head.bias))


def new_network(task: Task, classes: int) -> Any:
    """An untrained network of a task."""
    return Classifier(classes) if task == "classification" else Detector(classes)


def _rows(maps: Tensor, columns: int) -> Tensor:
    return maps.permute(0, 2, 3, 1).reshape(len(maps), -1, columns)


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().float().numpy())
