"""OpenVINO IR: `.xml` for the structure, `.bin` for the numbers, written by OpenVINO itself at float32.

Every node is named: OpenVINO numbers nameless ones with a counter of the process, and two builds would differ.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serverless_mlperf.errors import HostError
from serverless_mlperf.models.architecture import (
    ANCHOR_COUNT,
    INPUT_SIZES,
    NMS_THRESHOLD,
    PRIOR_VARIANCES,
    SCORE_THRESHOLD,
    TOP_DETECTIONS,
    Array,
    Classifier,
    Conv,
    Detector,
    prior_boxes,
)

Node = Any  # openvino.Node; the package carries no types


def write_openvino(network: Classifier | Detector, xml: Path) -> None:
    """Write `xml` and the `.bin` beside it."""
    # Imported late: it takes 0.2 s and only this exporter needs it.
    import openvino

    model = _classifier(network) if isinstance(network, Classifier) else _detector(network)
    try:
        openvino.save_model(model, xml, compress_to_fp16=False)
    except RuntimeError as error:
        raise HostError(f"{xml}: OpenVINO cannot write it ({str(error).strip()[-200:]}); is the disk full?") from error


class _Graph:
    """The operation set, with a name given to every constant."""

    def __init__(self) -> None:
        from openvino import opset8, opset13

        self.op = opset13
        self.detection_output = opset8.detection_output

    def input(self, name: str, size: int) -> Node:
        """The image parameter."""
        parameter = self.op.parameter([1, 3, size, size], np.float32, name=name)
        parameter.output(0).set_names({name})
        return parameter

    def constant(self, name: str, values: NDArray[Any] | list[int]) -> Node:
        """A named constant; lists are axes, orders and shapes."""
        array = np.array(values, np.int64) if isinstance(values, list) else np.ascontiguousarray(values)
        return self.op.constant(array, name=name)

    def conv(self, source: Node, conv: Conv, numbers: tuple[Array, Array] | None = None) -> Node:
        """A convolution, its bias and its activation; `numbers` replace its own OIHW kernel and bias."""
        kernel, bias = numbers or (conv.oihw, conv.bias)
        before, after = conv.padding
        window = ([conv.stride] * 2, [before] * 2, [after] * 2, [1, 1])
        convolution = self.op.group_convolution if conv.depthwise else self.op.convolution
        weights = self.constant(conv.weights_name, kernel[:, None] if conv.depthwise else kernel)
        out = convolution(source, weights, *window, name=conv.name)
        out = self.op.add(out, self.constant(conv.bias_name, bias.reshape(1, -1, 1, 1)), name=f"{conv.name}/bias")
        return self.op.clamp(out, 0.0, 6.0, name=f"{conv.name}/relu6") if conv.relu6 else out

    def model(self, name: str, source: Node, out: Node, out_name: str) -> Any:
        """The finished model of one input and one output."""
        import openvino

        out.output(0).set_names({out_name})
        return openvino.Model([self.op.result(out, name=f"{out_name}/result")], [source], name)


def _classifier(network: Classifier) -> Any:
    graph = _Graph()
    source = graph.input("input", INPUT_SIZES["classification"])
    out = source
    for conv in network.backbone:
        out = graph.conv(out, conv)
    out = graph.op.reduce_mean(out, graph.constant("pool/axes", [2, 3]), True, name="pool")
    out = graph.op.squeeze(graph.conv(out, network.logits), graph.constant("logits/axes", [2, 3]), name="logits")
    out = graph.op.softmax(out, 1, name="MobilenetV1/Predictions/Softmax")
    return graph.model("mobilenet_v1", source, out, "prob")


def _detector(network: Detector) -> Any:
    graph = _Graph()
    source = graph.input("image_tensor", INPUT_SIZES["object_detection"])
    out, outputs = source, {}
    for conv in (*network.backbone, *network.extras):
        out = outputs[conv.name] = graph.conv(out, conv)
    boxes, classes = [], []
    for head in network.heads:
        feature = outputs[head.feature]
        boxes.append(_flat(graph, head.boxes.name, graph.conv(feature, head.boxes, head.boxes_xywh)))
        classes.append(_flat(graph, head.classes.name, graph.conv(feature, head.classes)))
    scores = graph.op.sigmoid(graph.op.concat(classes, 1, name="logits"), name="scores")
    priors = graph.constant("priors", _priors())
    detections = graph.detection_output(
        graph.op.concat(boxes, 1, name="boxes"), scores, priors, _detection_attributes(), name="DetectionOutput"
    )
    return graph.model("ssd_mobilenet_v1", source, detections, "DetectionOutput")


def _flat(graph: _Graph, name: str, source: Node) -> Node:
    """Channels last, then flat: the order DetectionOutput reads."""
    nhwc = graph.op.transpose(source, graph.constant(f"{name}/order", [0, 2, 3, 1]), name=f"{name}/nhwc")
    return graph.op.reshape(nhwc, graph.constant(f"{name}/shape", [1, -1]), False, name=f"{name}/flat")


def _priors() -> Array:
    """Shape (1, 2, 4 x anchors): corners, then variances."""
    variances = np.tile(np.array(PRIOR_VARIANCES, np.float32), ANCHOR_COUNT)
    return np.stack([prior_boxes().ravel(), variances])[None]


def _detection_attributes() -> dict[str, object]:
    return {
        "background_label_id": 0,
        "top_k": TOP_DETECTIONS,
        "keep_top_k": [TOP_DETECTIONS],
        "code_type": "caffe.PriorBoxParameter.CENTER_SIZE",
        "share_location": True,
        "nms_threshold": NMS_THRESHOLD,
        "confidence_threshold": SCORE_THRESHOLD,
        "clip_after_nms": False,
        "clip_before_nms": True,
        "decrease_label_id": False,
        "normalized": True,
        "input_height": 1,
        "input_width": 1,
        "objectness_score": 0.0,
        "variance_encoded_in_target": False,
    }
