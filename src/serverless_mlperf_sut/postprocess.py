"""From an engine's raw output to the `result` of the output JSON."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serverless_mlperf_sut.engines.base import EngineError

TOP: Final = 5
CLASSES: Final = 1001
"""Of the classifier: ImageNet's 1000 and the background."""
_DIGITS: Final = 7
"""What a float32 holds; more would be noise on the wire."""

Tensor = npt.NDArray[np.float32]


def postprocess(task: str, output: Tensor) -> list[list[float]]:
    """Top five `[class, probability]`, or rows `[0, class, score, xmin, ymin, xmax, ymax]` in 0..1.

    Classes are the model's own output indices: for classification 0 is the background, so that class c of the
    data set is c + 1. Raises EngineError for numbers that are none: those of a damaged model.
    """
    return _top(output.reshape(-1)) if task == "classification" else _rows(output.reshape(-1, 7))


def check_shape(task: str, output: Tensor) -> None:
    """Raise EngineError unless an output has the task's shape: files of another model may load and infer as well."""
    if task == "classification":
        fits, wanted = output.size == CLASSES and output.shape[1:2] == (CLASSES,), f"1 x {CLASSES}"
    else:
        fits, wanted = output.ndim == 4 and output.shape[:2] == (1, 1) and output.shape[3] == 7, "1 x 1 x N x 7"
    if not fits:
        shape = " x ".join(map(str, output.shape))
        raise EngineError(f"the model answers {shape}, {task} needs {wanted}: its files are those of another model")


def _top(probabilities: Tensor) -> list[list[float]]:
    _check_finite(probabilities)
    best = np.argpartition(probabilities, -TOP)[-TOP:]
    ranked = best[np.lexsort((best, -probabilities[best]))]
    return [[int(index), _rounded(probabilities[index])] for index in ranked]


def _rows(rows: Tensor) -> list[list[float]]:
    # OpenVINO ends its rows with image -1, OpenCV pads with zeros: a box has a class and a score.
    boxes_only = rows[(rows[:, 0] >= 0) & (rows[:, 1] > 0)]
    _check_finite(boxes_only)
    kept = boxes_only[boxes_only[:, 2] > 0]
    boxes = np.clip(kept[:, 3:], 0, 1)
    return [_row(int(row[1]), row[2], box) for row, box in zip(kept, boxes, strict=True)]


def _check_finite(values: Tensor) -> None:
    if not np.isfinite(values).all():
        raise EngineError("the model answers NaN or infinity: its weights are damaged; upload the model again")


def _row(label: int, score: Any, box: Tensor) -> list[float]:
    return [0, label, _rounded(score), *(_rounded(edge) for edge in box)]


def _rounded(value: Any) -> float:
    return round(float(value), _DIGITS)
