"""Caffe files for OpenCV: a text `.prototxt` for the structure, a `.caffemodel` for the numbers.

Field numbers: NetParameter name=1, layer=100; LayerParameter name=1, type=2, blobs=7; BlobProto shape=7 (dim=1),
data=5 (`caffe.proto`; OpenCV's copy is `modules/dnn/src/caffe/opencv-caffe.proto`).

Padding: TensorFlow pads an even input at stride 2 by one row after and none before; Caffe's `pad` is symmetric, and
`pad: 1` here ruins the accuracy (Top-1 0.89 -> 0.81). OpenCV reads *four* values of `pad` as top, left, bottom, right
(`getStrideAndPadding` in `modules/dnn/src/layers/layers_common.cpp`), which is exact and costs nothing: no larger
kernel, no rows computed and sliced away again. BVLC Caffe refuses four values, as it does the other OpenCV extensions
used: `ReLU6`, and `width`/`height` of PriorBox, without which TensorFlow's anchors cannot be written.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from serverless_mlperf.models.architecture import (
    DETECTOR_CLASSES,
    INPUT_SIZES,
    NMS_THRESHOLD,
    PRIOR_VARIANCES,
    SCORE_THRESHOLD,
    TOP_DETECTIONS,
    Array,
    Classifier,
    Conv,
    Detector,
    Head,
)
from serverless_mlperf.models.protobuf import block, packed_integers

_SIZE = INPUT_SIZES["object_detection"]


def write_caffe(network: Classifier | Detector, prototxt: Path, caffemodel: Path) -> None:
    """Write both files of a network."""
    graph = _classifier(network) if isinstance(network, Classifier) else _detector(network)
    prototxt.write_text("".join(graph.text))
    caffemodel.write_bytes(b"".join(graph.binary))


class _Graph:
    """Layers in order, as text and as binary at once."""

    def __init__(self, name: str, size: int) -> None:
        dims = " ".join(f"dim: {d}" for d in (1, 3, size, size))
        self.text = [f'name: "{name}"\ninput: "data"\ninput_shape {{ {dims} }}\n']
        self.binary = [block(1, name)]

    def layer(
        self, name: str, kind: str, bottoms: Sequence[str], body: str = "", blobs: Sequence[Array] = (), top: str = ""
    ) -> str:
        """Append a layer; its output has its name unless `top` says otherwise (in place)."""
        wires = [f'bottom: "{bottom}"' for bottom in bottoms] + [f'top: "{top or name}"']
        lines = [f'name: "{name}"', f'type: "{kind}"', *wires, *([body] if body else [])]
        self.text.append("layer {\n" + "".join(f"  {line}\n" for line in lines) + "}\n")
        if blobs:
            self.binary.append(block(100, block(1, name) + block(2, kind) + b"".join(map(_blob, blobs))))
        return top or name

    def conv(self, source: str, conv: Conv, numbers: tuple[Array, Array] | None = None) -> str:
        """Append a convolution and its activation; `numbers` replace its own OIHW kernel and bias."""
        body = (
            f"convolution_param {{ num_output: {conv.out_channels} kernel_size: {conv.kernel} stride: {conv.stride}"
            f" {_padding(conv)} group: {conv.groups} bias_term: true }}"
        )
        out = self.layer(conv.name, "Convolution", [source], body, numbers or (conv.oihw, conv.bias))
        return self.layer(f"{conv.name}/relu6", "ReLU6", [out], top=out) if conv.relu6 else out


def _padding(conv: Conv) -> str:
    before, after = conv.padding
    if before == after:
        return f"pad: {before}"
    return f"pad: {before} pad: {before} pad: {after} pad: {after}"


def _blob(array: Array) -> bytes:
    raw = np.ascontiguousarray(array, "<f4").tobytes()
    return block(7, block(7, packed_integers(1, array.shape)) + block(5, raw))


def _classifier(network: Classifier) -> _Graph:
    graph = _Graph("MobileNetV1", INPUT_SIZES["classification"])
    out = "data"
    for conv in network.backbone:
        out = graph.conv(out, conv)
    out = graph.layer("pool", "Pooling", [out], "pooling_param { pool: AVE global_pooling: true }")
    out = graph.layer("logits", "Flatten", [graph.conv(out, network.logits)])
    graph.layer("prob", "Softmax", [out], "softmax_param { axis: 1 }")
    return graph


def _detector(network: Detector) -> _Graph:
    graph = _Graph("SSD-MobileNetV1", _SIZE)
    out = "data"
    for conv in (*network.backbone, *network.extras):
        out = graph.conv(out, conv)
    predictions = [_predictors(graph, k, head) for k, head in enumerate(network.heads)]
    boxes, classes, priors = ([p[column] for p in predictions] for column in range(3))
    graph.layer("boxes", "Concat", boxes, "concat_param { axis: 1 }")
    graph.layer("logits", "Concat", classes, "concat_param { axis: 1 }")
    graph.layer("priors", "Concat", priors, "concat_param { axis: 2 }")
    graph.layer("scores", "Sigmoid", ["logits"])
    graph.layer("detection_out", "DetectionOutput", ["boxes", "scores", "priors"], _detection_parameters())
    return graph


def _predictors(graph: _Graph, index: int, head: Head) -> tuple[str, str, str]:
    boxes = _flat(graph, graph.conv(head.feature, head.boxes, head.boxes_xywh))
    classes = _flat(graph, graph.conv(head.feature, head.classes))
    prior = graph.layer(f"prior_{index}", "PriorBox", [head.feature, "data"], _prior_parameters(head))
    return boxes, classes, prior


def _flat(graph: _Graph, source: str) -> str:
    """Channels last, then flat: the order DetectionOutput reads."""
    permuted = graph.layer(f"{source}/nhwc", "Permute", [source], _orders("permute_param", (0, 2, 3, 1)))
    return graph.layer(f"{source}/flat", "Flatten", [permuted], "flatten_param { axis: 1 }")


def _orders(parameter: str, order: Sequence[int]) -> str:
    return f"{parameter} {{ {' '.join(f'order: {axis}' for axis in order)} }}"


def _prior_parameters(head: Head) -> str:
    sizes = " ".join(f"width: {width * _SIZE:.9g} height: {height * _SIZE:.9g}" for width, height in head.priors)
    variances = " ".join(f"variance: {variance:g}" for variance in PRIOR_VARIANCES)
    step = f"{_SIZE / head.boxes.input_size:.9g}"
    return f"prior_box_param {{ {sizes} clip: false {variances} step: {step} offset: 0.5 }}"


def _detection_parameters() -> str:
    return (
        f"detection_output_param {{ num_classes: {DETECTOR_CLASSES} share_location: true background_label_id: 0"
        f" nms_param {{ nms_threshold: {NMS_THRESHOLD} top_k: {TOP_DETECTIONS} }} code_type: CENTER_SIZE"
        f" keep_top_k: {TOP_DETECTIONS} confidence_threshold: {SCORE_THRESHOLD} clip: true }}"
    )
