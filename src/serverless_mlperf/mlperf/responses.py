"""A function's answers in the bytes that MLPerf's accuracy scripts read: the only place that writes them.

Little-endian float32. Classification (`accuracy-imagenet.py`): five data-set classes, best first; the script reads the
first alone, the others are there for Top-5. The network's class is the data set's plus 1, 0 being the background, and
the reference subtracts it. Detection (`accuracy-coco.py`): rows of `[sample index, ymin, xmin, ymax, xmax, score,
class]`, boxes in 0..1, class as COCO's category id.

A query without a result becomes an answer that is well-formed and wrong: empty data would crash the first script.
Standard library only: the process of a run imports this, and numpy would cost it more to import than to use.
"""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
import struct
from typing import Any, Final

from serverless_mlperf.transports.base import Reply
from serverless_mlperf.workloads import Task

Rows = Sequence[Sequence[float]]
"""A function's result: `[[class, probability], ...]`, best first, or `[0, class, score, xmin, ymin, xmax, ymax]`."""

TOP: Final = 5
BOX_FLOATS: Final = 7
WRONG_CLASS: Final = -1
"""No data set has it; also what the network's background becomes."""
NETWORK_CLASSES: Final = range(1001)
CATEGORIES: Final = range(1, 91)
_NO_BOX: Final = (0, 0, 0, 0, 0, 1)
"""An empty box of score 0: it matches nothing and changes no precision."""


def encode_classes(_index: int, rows: Rows | None) -> bytes:
    """Encode the five best classes of a result, or five wrong ones for None; raises ValueError or TypeError."""
    classes = [_data_set_class(row) for row in rows[:TOP]] if rows is not None else [WRONG_CLASS]
    if not classes:
        raise ValueError("no class in the result")
    return struct.pack(f"<{TOP}f", *classes, *[WRONG_CLASS] * (TOP - len(classes)))


def encode_boxes(index: int, rows: Rows | None) -> bytes:
    """Encode the boxes of a result, or an empty one for None or no box; raises ValueError or TypeError.

    Fewer than seven numbers would count as a query that was never answered.
    """
    numbers: list[float] = []
    for _, category, score, xmin, ymin, xmax, ymax in rows or ():
        if category not in CATEGORIES:
            raise ValueError(f"category {category!r} is not one of 1..90")
        numbers += (index, ymin, xmin, ymax, xmax, score, category)
    if not all(map(isfinite, numbers)):
        raise ValueError("a box has NaN or infinity")
    numbers = numbers or [index, *_NO_BOX]
    return struct.pack(f"<{len(numbers)}f", *numbers)


ROW_ENCODERS: Final[Mapping[Task, Callable[[int, Rows | None], bytes]]] = {
    "classification": encode_classes,
    "object_detection": encode_boxes,
}
"""Task -> encoder of (sample index, rows)."""


def _of_reply(encode: Callable[[int, Rows | None], bytes]) -> Callable[[int, Reply | None], bytes]:
    def encode_reply(index: int, reply: Reply | None) -> bytes:
        return encode(index, None if reply is None else _result(reply))

    return encode_reply


ENCODERS: Final[Mapping[Task, Callable[[int, Reply | None], bytes]]] = {
    task: _of_reply(encode) for task, encode in ROW_ENCODERS.items()
}
"""Task -> encoder of (sample index, reply), as the driver takes it."""


def _data_set_class(row: Sequence[float]) -> float:
    number, _probability = row
    if number not in NETWORK_CLASSES:
        raise ValueError(f"class {number!r} is not one of 0..1000")
    return number - 1


def _result(reply: Reply) -> list[Any]:
    result = reply.body["result"]
    if not isinstance(result, list):
        raise ValueError("`result` is not a list")
    return result
