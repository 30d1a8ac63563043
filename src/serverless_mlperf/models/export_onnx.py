"""ONNX, opset 13: the files of ONNX Runtime, which is the reference the other engines are held against.

Field numbers (`onnx/onnx.proto`): ModelProto ir_version=1, producer_name=2, graph=7, opset_import=8 (version=2);
GraphProto node=1, name=2, initializer=5, input=11, output=12; NodeProto input=1, output=2, name=3, op_type=4,
attribute=5; AttributeProto name=1, i=3, ints=8, type=20; TensorProto dims=1, data_type=2, name=8, raw_data=9.

The detector ends in `det_boxes` (n, 4: xmin, ymin, xmax, ymax), `det_scores` (n) and `det_classes` (n, 1 to 90), by
falling score. DetectionOutput keeps the best 100 candidates of each class *before* suppression; NonMaxSuppression can
only cap after it, so scores below a class's 100th are set to zero first.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serverless_mlperf.models.architecture import (
    ANCHOR_COUNT,
    CLASSIFIER_CLASSES,
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
    anchors,
)
from serverless_mlperf.models.protobuf import block, integer, packed_integers

_IR_VERSION, _OPSET = 8, 13
_DTYPES = {"float32": 1, "int64": 7}
_ATTRIBUTE_INT, _ATTRIBUTE_INTS = 2, 7

Values = NDArray[Any] | Sequence[int] | int | float


def write_onnx(network: Classifier | Detector, path: Path) -> None:
    """Write a network's model file."""
    path.write_bytes(_classifier(network) if isinstance(network, Classifier) else _detector(network))


class _Graph:
    """Nodes and initializers in order."""

    def __init__(self) -> None:
        self.nodes: list[bytes] = []
        self.initializers: list[bytes] = []

    def constant(self, name: str, values: Values) -> str:
        """Append an initializer: integers become int64, floats float32."""
        array = np.asarray(values)
        array = np.asarray(array, "<f4" if array.dtype.kind == "f" else "<i8", order="C")
        head = packed_integers(1, array.shape) + integer(2, _DTYPES[array.dtype.name])
        self.initializers.append(block(5, head + block(8, name) + block(9, array.tobytes())))
        return name

    def node(self, op: str, inputs: Sequence[str], *outputs: str, **attributes: int | Sequence[int]) -> str:
        """Append a node named after its first output."""
        wires = b"".join(block(1, name) for name in inputs) + b"".join(block(2, name) for name in outputs)
        body = wires + block(3, outputs[0]) + block(4, op)
        self.nodes.append(block(1, body + b"".join(_attribute(*item) for item in attributes.items())))
        return outputs[0]

    def conv(self, source: str, conv: Conv, numbers: tuple[Array, Array] | None = None) -> str:
        """Append a convolution and its activation; `numbers` replace its own OIHW kernel and bias."""
        kernel, bias = numbers or (conv.oihw, conv.bias)
        before, after = conv.padding
        inputs = [source, self.constant(conv.weights_name, kernel), self.constant(conv.bias_name, bias)]
        window = {"kernel_shape": [conv.kernel] * 2, "strides": [conv.stride] * 2}
        out = self.node("Conv", inputs, conv.name, **window, pads=[before, before, after, after], group=conv.groups)
        return self.node("Clip", [out, "zero", "six"], f"{conv.name}/relu6") if conv.relu6 else out

    def convs(self, convs: Sequence[Conv]) -> dict[str, str]:
        """Append a chain of convolutions; the result maps their names to their outputs."""
        self.constant("zero", 0.0)
        self.constant("six", 6.0)
        out, outputs = "input", {}
        for conv in convs:
            out = outputs[conv.name] = self.conv(out, conv)
        return outputs

    def model(self, name: str, source: bytes, outputs: Sequence[bytes]) -> bytes:
        """The finished file."""
        ends = block(11, source) + b"".join(block(12, output) for output in outputs)
        graph = b"".join(self.nodes) + block(2, name) + b"".join(self.initializers) + ends
        head = integer(1, _IR_VERSION) + block(2, "serverless-mlperf")
        return head + block(7, graph) + block(8, block(1, "") + integer(2, _OPSET))


def _attribute(name: str, value: int | Sequence[int]) -> bytes:
    if isinstance(value, int):
        return block(5, block(1, name) + integer(3, value) + integer(20, _ATTRIBUTE_INT))
    return block(5, block(1, name) + packed_integers(8, value) + integer(20, _ATTRIBUTE_INTS))


def _value_info(name: str, dtype: str, dims: Sequence[int | str]) -> bytes:
    """ValueInfoProto name=1, type=2; tensor_type=1: elem_type=1, shape=2; dim=1: dim_value=1, dim_param=2."""
    shape = b"".join(block(1, block(2, size) if isinstance(size, str) else integer(1, size)) for size in dims)
    return block(1, name) + block(2, block(1, integer(1, _DTYPES[dtype]) + block(2, shape)))


def _classifier(network: Classifier) -> bytes:
    graph = _Graph()
    out = graph.convs(network.backbone)[network.backbone[-1].name]
    out = graph.conv(graph.node("GlobalAveragePool", [out], "pool"), network.logits)
    out = graph.node("Flatten", [out], "logits", axis=1)
    graph.node("Softmax", [out], "prob", axis=1)
    size = INPUT_SIZES["classification"]
    outputs = [_value_info("prob", "float32", (1, CLASSIFIER_CLASSES))]
    return graph.model("mobilenet_v1", _value_info("input", "float32", (1, 3, size, size)), outputs)


def _detector(network: Detector) -> bytes:
    graph = _Graph()
    _raw_heads(graph, network)
    _decoded_boxes(graph)
    _candidate_scores(graph)
    _suppression(graph)
    _ranking(graph)
    size = INPUT_SIZES["object_detection"]
    outputs = [
        _value_info("det_boxes", "float32", ("n", 4)),
        _value_info("det_scores", "float32", ("n",)),
        _value_info("det_classes", "int64", ("n",)),
    ]
    return graph.model("ssd_mobilenet_v1", _value_info("input", "float32", (1, 3, size, size)), outputs)


def _raw_heads(graph: _Graph, network: Detector) -> None:
    """`encoded` (1, anchors, 4: x, y, width, height) and `logits` (1, anchors, classes)."""
    outputs = graph.convs((*network.backbone, *network.extras))
    box_shape = graph.constant("box_shape", [1, -1, 4])
    class_shape = graph.constant("class_shape", [1, -1, DETECTOR_CLASSES])
    boxes, classes = [], []
    for head in network.heads:
        feature = outputs[head.feature]
        boxes.append(_rows(graph, graph.conv(feature, head.boxes, head.boxes_xywh), box_shape))
        classes.append(_rows(graph, graph.conv(feature, head.classes), class_shape))
    graph.node("Concat", boxes, "encoded", axis=1)
    graph.node("Concat", classes, "logits", axis=1)


def _rows(graph: _Graph, source: str, shape: str) -> str:
    nhwc = graph.node("Transpose", [source], f"{source}/nhwc", perm=[0, 2, 3, 1])
    return graph.node("Reshape", [nhwc, shape], f"{source}/rows")


def _decoded_boxes(graph: _Graph) -> None:
    """`boxes` (1, anchors, 4): corners, clipped to the image as DetectionOutput does before suppression."""
    y, x, height, width = anchors().T
    centres, sizes = np.stack([x, y], 1)[None], np.stack([width, height], 1)[None]
    centre_variance, size_variance = np.float32(PRIOR_VARIANCES[0]), PRIOR_VARIANCES[2]
    graph.constant("halves", [2, 2])
    graph.node("Split", ["encoded", "halves"], "encoded_centre", "encoded_size", axis=2)
    graph.node("Mul", ["encoded_centre", graph.constant("centre_scale", sizes * centre_variance)], "shift")
    graph.node("Add", ["shift", graph.constant("anchor_centre", centres)], "centre")
    graph.node("Mul", ["encoded_size", graph.constant("size_variance", size_variance)], "log_size")
    graph.node("Exp", ["log_size"], "relative_size")
    graph.node("Mul", ["relative_size", graph.constant("anchor_half", sizes / 2)], "half")
    graph.node("Sub", ["centre", "half"], "low")
    graph.node("Add", ["centre", "half"], "high")
    graph.node("Concat", ["low", "high"], "corners", axis=2)
    graph.node("Clip", ["corners", "zero", graph.constant("one", 1.0)], "boxes")


def _candidate_scores(graph: _Graph) -> None:
    """`candidates` (1, classes 1 to 90, anchors): scores, zero beyond the best 100 of a class."""
    graph.node("Sigmoid", ["logits"], "all_scores")
    axis = graph.constant("class_axis", [2])
    ends = [graph.constant("first_class", [1]), graph.constant("end_class", [DETECTOR_CLASSES])]
    graph.node("Slice", ["all_scores", *ends, axis], "foreground")
    graph.node("Transpose", ["foreground"], "scores", perm=[0, 2, 1])
    best = min(TOP_DETECTIONS, ANCHOR_COUNT)
    graph.node("TopK", ["scores", graph.constant("best", [best])], "best_scores", "best_index", axis=2)
    last = [graph.constant("last_begin", [best - 1]), graph.constant("last_end", [best])]
    graph.node("Slice", ["best_scores", *last, axis], "cut")
    graph.node("GreaterOrEqual", ["scores", "cut"], "is_candidate")
    graph.node("Where", ["is_candidate", "scores", "zero"], "candidates")


def _suppression(graph: _Graph) -> None:
    """`kept` (m, 3): image, class from 0, anchor. It takes corners in either order of axes."""
    limits = [
        graph.constant("max_per_class", [TOP_DETECTIONS]),
        graph.constant("iou_threshold", np.array([NMS_THRESHOLD], np.float32)),
        graph.constant("score_threshold", np.array([SCORE_THRESHOLD], np.float32)),
    ]
    graph.node("NonMaxSuppression", ["boxes", "candidates", *limits], "kept")


def _ranking(graph: _Graph) -> None:
    """The best 100 of all classes, by falling score."""
    graph.node("Gather", ["kept", graph.constant("column_class", 1)], "kept_class", axis=1)
    graph.node("Gather", ["kept", graph.constant("column_anchor", 2)], "kept_anchor", axis=1)
    graph.node("GatherND", ["candidates", "kept"], "kept_scores")
    graph.node("Shape", ["kept_scores"], "kept_count")
    graph.node("Min", ["kept_count", graph.constant("top", [TOP_DETECTIONS])], "count")
    graph.node("TopK", ["kept_scores", "count"], "det_scores", "rank", axis=0)
    graph.node("Squeeze", ["boxes", graph.constant("image_axis", [0])], "image_boxes")
    graph.node("Gather", ["kept_anchor", "rank"], "ranked_anchor", axis=0)
    graph.node("Gather", ["image_boxes", "ranked_anchor"], "det_boxes", axis=0)
    graph.node("Gather", ["kept_class", "rank"], "ranked_class", axis=0)
    graph.node("Add", ["ranked_class", "first_class"], "det_classes")
