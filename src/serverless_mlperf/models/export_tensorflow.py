"""TensorFlow's frozen graph (`.pb`), and for the detector OpenCV's text graph (`.pbtxt`), from one node list.

Field numbers: GraphDef node=1, versions=4; NodeDef name=1, op=2, input=3, attr=5 (map: key=1, value=2); AttrValue
list=1, s=2, i=3, f=4, b=5, type=6, shape=7, tensor=8; ListValue i=3; TensorProto dtype=1, tensor_shape=2,
tensor_content=4; TensorShapeProto dim=2 (size=1) (`tensorflow/core/framework/*.proto`).

OpenCV takes the detector's structure from the text and the weights from the binary, as with its own
`tf_text_graph_ssd.py`: the text has no weights but PriorBox and DetectionOutput, which TensorFlow does not know.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from serverless_mlperf.models.architecture import (
    DETECTOR_CLASSES,
    INPUT_SIZES,
    NMS_THRESHOLD,
    PRIOR_VARIANCES,
    SCORE_THRESHOLD,
    TOP_DETECTIONS,
    Classifier,
    Conv,
    Detector,
    Head,
)
from serverless_mlperf.models.protobuf import block, float32, integer, packed_integers

_DTYPES = {"float32": (1, "DT_FLOAT", "float_val"), "int32": (3, "DT_INT32", "int_val")}
_PRODUCER_VERSION = 27  # GraphDef version of TensorFlow 1.13, of which OpenCV's importer knows the operations
_SIZE = INPUT_SIZES["object_detection"]

Tensor = NDArray[Any]


@dataclass(frozen=True, slots=True)
class _DType:
    name: str = "float32"


@dataclass(frozen=True, slots=True)
class _Shape:
    dims: tuple[int, ...]


Attribute = str | bool | int | float | _DType | _Shape | tuple[int, ...] | Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _Node:
    name: str
    op: str
    inputs: tuple[str, ...] = ()
    attributes: dict[str, Attribute] = field(default_factory=dict)
    only: Literal["binary", "text"] | None = None
    """The one file it goes into: weights are for the binary, OpenCV's own layers for the text."""
    text_attributes: dict[str, Attribute] = field(default_factory=dict)


def write_tensorflow(network: Classifier | Detector, *paths: Path) -> None:
    """Write the classifier's `.pb`, or the detector's `.pbtxt` and `.pb`."""
    nodes = (_classifier(network) if isinstance(network, Classifier) else _detector(network)).nodes
    *texts, binary = paths
    binary.write_bytes(_binary([node for node in nodes if node.only != "text"]))
    for text in texts:
        text.write_text("".join(_node_text(node) for node in nodes if node.only != "binary"))


class _Graph:
    """Nodes in order of execution."""

    def __init__(self, name: str, size: int) -> None:
        self.nodes: list[_Node] = []
        self.add(name, "Placeholder", dtype=_DType(), shape=_Shape((1, size, size, 3)))

    def add(self, name: str, op: str, inputs: Sequence[str] = (), **attributes: Attribute) -> str:
        """Append a node of both files."""
        self.nodes.append(_Node(name, op, tuple(inputs), attributes))
        return name

    def add_opencv(self, name: str, op: str, inputs: Sequence[str], **attributes: Attribute) -> str:
        """Append a node that only OpenCV knows."""
        self.nodes.append(_Node(name, op, tuple(inputs), attributes, only="text"))
        return name

    def weights(self, name: str, values: Tensor) -> str:
        """Append a constant of the binary."""
        attributes: dict[str, Attribute] = {"dtype": _DType(values.dtype.name), "value": values}
        self.nodes.append(_Node(name, "Const", (), attributes, only="binary"))
        return name

    def conv(self, source: str, conv: Conv, **text_attributes: Attribute) -> str:
        """Append a convolution, its bias and its activation."""
        op = "DepthwiseConv2dNative" if conv.depthwise else "Conv2D"
        inputs = (source, self.weights(conv.weights_name, conv.weights))
        attributes: dict[str, Attribute] = {
            "T": _DType(),
            "strides": (1, conv.stride, conv.stride, 1),
            "padding": "SAME",
            "data_format": "NHWC",
        }
        out = f"{conv.name}/{op}"
        self.nodes.append(_Node(out, op, inputs, attributes, text_attributes=text_attributes))
        bias = self.weights(conv.bias_name, conv.bias)
        out = self.add(f"{conv.name}/BiasAdd", "BiasAdd", (out, bias), T=_DType(), data_format="NHWC")
        return self.add(f"{conv.name}/Relu6", "Relu6", (out,), T=_DType()) if conv.relu6 else out


def _classifier(network: Classifier) -> _Graph:
    graph = _Graph("input", INPUT_SIZES["classification"])
    out = "input"
    for conv in network.backbone:
        out = graph.conv(out, conv)
    scope = "MobilenetV1/Logits"
    size = network.backbone[-1].output_size
    out = graph.add(
        f"{scope}/AvgPool_1a/AvgPool",
        "AvgPool",
        [out],
        T=_DType(),
        ksize=(1, size, size, 1),
        strides=(1, 2, 2, 1),
        padding="VALID",
        data_format="NHWC",
    )
    out = graph.conv(out, network.logits)
    out = graph.add(f"{scope}/SpatialSqueeze", "Squeeze", [out], T=_DType(), squeeze_dims=(1, 2))
    graph.add("MobilenetV1/Predictions/Softmax", "Softmax", [out], T=_DType())
    return graph


def _detector(network: Detector) -> _Graph:
    graph = _Graph("image_tensor", _SIZE)
    out, outputs = "image_tensor", {}
    for conv in (*network.backbone, *network.extras):
        out = outputs[conv.name] = graph.conv(out, conv)
    predictions = [_predictors(graph, k, head, outputs[head.feature]) for k, head in enumerate(network.heads)]
    boxes, classes, priors = ([p[column] for p in predictions] for column in range(3))
    # OpenCV joins priors along the last axis only; axis -2 ends in "Inconsistent shape for ConcatLayer".
    last = graph.add_opencv("concat/axis", "Const", (), dtype=_DType("int32"), value=np.array([-1], np.int32))
    graph.add_opencv("BoxEncodingPredictor/concat", "ConcatV2", [*boxes, last])
    graph.add_opencv("ClassPredictor/concat", "ConcatV2", [*classes, last])
    graph.add_opencv("PriorBox/concat", "ConcatV2", [*priors, last])
    scores = graph.add_opencv("ClassPredictor/concat/sigmoid", "Sigmoid", ["ClassPredictor/concat"])
    _detection_output(graph, ["BoxEncodingPredictor/concat", scores, "PriorBox/concat"])
    return graph


def _predictors(graph: _Graph, index: int, head: Head, feature: str) -> tuple[str, str, str]:
    # Channels stay y, x, height, width as in TensorFlow; the attribute tells OpenCV so.
    boxes = graph.conv(feature, head.boxes, loc_pred_transposed=True)
    classes = graph.conv(feature, head.classes)
    width, height = (np.array(head.priors, np.float32) * np.float32(_SIZE)).T
    prior = graph.add_opencv(
        f"PriorBox_{index}",
        "PriorBox",
        [feature, "image_tensor"],
        width=width,
        height=height,
        variance=np.array(PRIOR_VARIANCES, np.float32),
        flip=False,
        clip=False,
    )
    flat = [
        graph.add_opencv(f"{conv.name}/Flatten", "Flatten", [out])
        for conv, out in ((head.boxes, boxes), (head.classes, classes))
    ]
    return flat[0], flat[1], prior


def _detection_output(graph: _Graph, inputs: Sequence[str]) -> None:
    graph.add_opencv(
        "detection_out",
        "DetectionOutput",
        inputs,
        num_classes=DETECTOR_CLASSES,
        share_location=True,
        background_label_id=0,
        nms_threshold=NMS_THRESHOLD,
        top_k=TOP_DETECTIONS,
        code_type="CENTER_SIZE",
        keep_top_k=TOP_DETECTIONS,
        confidence_threshold=SCORE_THRESHOLD,
        clip=True,
    )


def _binary(nodes: Sequence[_Node]) -> bytes:
    return b"".join(block(1, _node_binary(node)) for node in nodes) + block(4, integer(1, _PRODUCER_VERSION))


def _node_binary(node: _Node) -> bytes:
    inputs = b"".join(block(3, source) for source in node.inputs)
    attributes = b"".join(
        block(5, block(1, key) + block(2, _value_binary(value))) for key, value in node.attributes.items()
    )
    return block(1, node.name) + block(2, node.op) + inputs + attributes


def _value_binary(value: Attribute) -> bytes:  # noqa: PLR0911 - one line per type
    match value:
        case str():
            return block(2, value)
        case bool():
            return integer(5, value)
        case int():
            return integer(3, value)
        case float():
            return float32(4, value)
        case _DType():
            return integer(6, _DTYPES[value.name][0])
        case _Shape():
            return block(7, _shape_binary(value.dims))
        case tuple():
            return block(1, packed_integers(3, value))
        case _:
            return block(8, _tensor_binary(value))


def _shape_binary(dims: Sequence[int]) -> bytes:
    return b"".join(block(2, integer(1, size)) for size in dims)


def _tensor_binary(tensor: Tensor) -> bytes:
    little_endian = np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<"))
    content = block(4, little_endian.tobytes())
    return integer(1, _DTYPES[tensor.dtype.name][0]) + block(2, _shape_binary(tensor.shape)) + content


def _node_text(node: _Node) -> str:
    attributes = {**node.attributes, **node.text_attributes}
    lines = [f'name: "{node.name}"', f'op: "{node.op}"', *(f'input: "{source}"' for source in node.inputs)]
    lines += [f'attr {{ key: "{key}" value {{ {_value_text(value)} }} }}' for key, value in attributes.items()]
    return "node {\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


def _value_text(value: Attribute) -> str:  # noqa: PLR0911 - one line per type
    match value:
        case str():
            return f's: "{value}"'
        case bool():
            return f"b: {str(value).lower()}"
        case int():
            return f"i: {value}"
        case float():
            return f"f: {value:.9g}"
        case _DType():
            return f"type: {_DTYPES[value.name][1]}"
        case _Shape():
            return f"shape {{ {_dims_text(value.dims)} }}"
        case tuple():
            return f"list {{ {' '.join(f'i: {number}' for number in value)} }}"
        case _:
            return _tensor_text(value)


def _dims_text(dims: Sequence[int]) -> str:
    return " ".join(f"dim {{ size: {size} }}" for size in dims)


def _tensor_text(tensor: Tensor) -> str:
    _, dtype, key = _DTYPES[tensor.dtype.name]
    values = " ".join(f"{key}: {number:.9g}" for number in tensor.ravel().tolist())
    return f"tensor {{ dtype: {dtype} tensor_shape {{ {_dims_text(tensor.shape)} }} {values} }}"
