"""Results in the bytes that MLPerf's accuracy scripts read.

Classification (accuracy-imagenet.py): one float32, the class. Detection (accuracy-coco.py): rows of seven float32
`[qsl index, ymin, xmin, ymax, xmax, score, class]`, boxes in 0..1, class as COCO's category id.
"""

from array import array
from collections.abc import Mapping
from typing import Any, Final

from serverless_mlperf.mlperf.driver import Encoder
from serverless_mlperf.transports.base import Reply
from serverless_mlperf.workloads import Task

WRONG_CLASS: Final = -1.0
"""No data set has it."""


def encode_class(_index: int, reply: Reply | None) -> bytes:
    """Encode the most probable class; without a reply one that is wrong for every sample."""
    best = WRONG_CLASS if reply is None else float(_result(reply)[0][0])
    return array("f", [best]).tobytes()


def encode_boxes(index: int, reply: Reply | None) -> bytes:
    """Encode the boxes, reordered from `[image, class, score, xmin, ymin, xmax, ymax]`.

    No box at all is a row of score 0: fewer than seven floats would count as no result.
    """
    rows = array("f")
    for _, label, score, xmin, ymin, xmax, ymax in _result(reply) if reply is not None else ():
        rows.extend((index, ymin, xmin, ymax, xmax, score, label))
    return (rows or array("f", (index, 0, 0, 0, 0, 0, 1))).tobytes()


ENCODERS: Final[Mapping[Task, Encoder]] = {"classification": encode_class, "object_detection": encode_boxes}
"""Task -> encoder of its results."""


def _result(reply: Reply) -> list[Any]:
    result = reply.body["result"]
    if not isinstance(result, list):
        raise ValueError("`result` is not a list")
    return result
