"""From an engine's raw output to the `result` of the output JSON."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

TOP: Final = 5
_DIGITS: Final = 7
"""What a float32 holds; more would be noise on the wire."""

Tensor = npt.NDArray[np.float32]


def postprocess(task: str, output: Tensor) -> list[list[float]]:
    """Top five `[class, probability]`, or rows `[0, class, score, xmin, ymin, xmax, ymax]` in 0..1.

    Classes are the model's own output indices: for classification 0 is the background, so that class c of the
    data set is c + 1.
    """
    return _top(output.reshape(-1)) if task == "classification" else _rows(output.reshape(-1, 7))


def _top(probabilities: Tensor) -> list[list[float]]:
    best = np.argpartition(probabilities, -TOP)[-TOP:]
    ranked = best[np.lexsort((best, -probabilities[best]))]
    return [[int(index), _rounded(probabilities[index])] for index in ranked]


def _rows(rows: Tensor) -> list[list[float]]:
    # OpenVINO ends its rows with image -1, OpenCV pads with zeros: a box has a class and a score.
    kept = rows[(rows[:, 0] >= 0) & (rows[:, 1] > 0) & (rows[:, 2] > 0)]
    boxes = np.clip(kept[:, 3:], 0, 1)
    return [_row(int(row[1]), row[2], box) for row, box in zip(kept, boxes, strict=True)]


def _row(label: int, score: Any, box: Tensor) -> list[float]:
    return [0, label, _rounded(score), *(_rounded(edge) for edge in box)]


def _rounded(value: Any) -> float:
    return round(float(value), _DIGITS)
