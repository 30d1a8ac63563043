"""Accuracy of answers as MLPerf's scripts compute it: from the bytes that LoadGen logs, in the scripts' own arithmetic.

Answers are responses as `mlperf.responses` encodes them, by sample index. Results are a function's rows; they are
encoded first, so that one way leads to a score, wherever the answers were kept.
"""

from collections.abc import Iterable, Mapping
import contextlib
from dataclasses import dataclass
import io
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .datasets.base import Dataset, Sample
from .errors import RunError
from .mlperf.responses import BOX_FLOATS, ROW_ENCODERS, TOP, Rows
from .workloads import Task

Results = Mapping[int, Rows | None]
"""Sample index -> the function's rows; None: lost, or an error record."""
Answers = Mapping[int, bytes]
"""Sample index -> response."""

_NOTHING: Final = "no sample was answered or lost"


@dataclass(frozen=True, slots=True)
class ClassificationAccuracy:
    """Shares of samples whose class is the first, or among the first five, of the answer; None with a reason."""

    top1: float | None
    top5: float | None
    sample_count: int
    reason: str | None = None

    @property
    def value(self) -> float | None:
        """What MLPerf's target is about: Top-1."""
        return self.top1


@dataclass(frozen=True, slots=True)
class DetectionAccuracy:
    """COCO's average precision: over IoU .50 to .95 (`ap`), at .50 and .75, and over objects of three sizes.

    Small is below 32 x 32 pixels, large above 96 x 96. All are None, with a reason, where there is no object to find;
    of a size alone, where there is none of it.
    """

    ap: float | None
    ap50: float | None
    sample_count: int
    reason: str | None = None
    ap75: float | None = None
    ap_small: float | None = None
    ap_medium: float | None = None
    ap_large: float | None = None

    @property
    def value(self) -> float | None:
        """What MLPerf's target is about: AP."""
        return self.ap


Accuracy = ClassificationAccuracy | DetectionAccuracy


def score(dataset: Dataset, answers: Answers) -> Accuracy:
    """Score the samples that `answers` names; others of the data set were not asked for. Raises RunError."""
    return _score_classes(dataset, answers) if dataset.task == "classification" else _score_boxes(dataset, answers)


def encoded(task: Task, results: Results) -> dict[int, bytes]:
    """Results as answers."""
    return {index: ROW_ENCODERS[task](index, rows) for index, rows in results.items()}


def classification_accuracy(dataset: Dataset, results: Results) -> ClassificationAccuracy:
    """Top-1 and Top-5 of the samples that `results` names."""
    return _score_classes(dataset, encoded("classification", results))


def detection_accuracy(dataset: Dataset, results: Results) -> DetectionAccuracy:
    """Average precision over the samples that `results` names."""
    return _score_boxes(dataset, encoded("object_detection", results))


def _score_classes(dataset: Dataset, answers: Answers) -> ClassificationAccuracy:
    if not answers:
        return ClassificationAccuracy(None, None, 0, _NOTHING)
    ranks = [_rank(dataset.samples[index], _table(index, data, TOP)) for index, data in answers.items()]
    top1, top5 = (sum(rank < limit for rank in ranks) / len(ranks) for limit in (1, TOP))
    return ClassificationAccuracy(top1, top5, len(ranks))


def _rank(sample: Sample, table: NDArray[np.float32]) -> int:
    """Position of the right class in an answer; TOP if it is not there."""
    classes = [int(number) for number in table[0]]
    return classes.index(sample.label) if sample.label in classes else TOP


def _score_boxes(dataset: Dataset, answers: Answers) -> DetectionAccuracy:
    truth = ground_truth(dataset, answers)
    if not truth["annotations"]:
        return DetectionAccuracy(None, None, len(answers), "none of the samples has an object" if answers else _NOTHING)
    found = [d for index, data in answers.items() for d in _detections(index, dataset.samples[index], data)]
    stats = _coco_stats(truth, found)
    if stats[0] is None:  # crowds only, which pycocotools neither asks for nor counts
        return DetectionAccuracy(None, None, len(answers), "none of the samples has an object to find")
    ap, ap50, ap75, small, medium, large = stats
    return DetectionAccuracy(ap, ap50, len(answers), None, ap75, small, medium, large)


def ground_truth(dataset: Dataset, indices: Iterable[int] | None = None) -> dict[str, Any]:
    """The data set (or the samples named) as a COCO annotation file's content, images in the order of the samples."""
    chosen = dataset.samples if indices is None else [dataset.samples[index] for index in sorted(indices)]
    boxes = [(sample, box) for sample in chosen for box in sample.boxes]
    return {
        "info": {"description": f"{dataset.name} {dataset.digest}"},
        "images": [{"id": s.image_id, "file_name": s.path.name, "width": s.width, "height": s.height} for s in chosen],
        "annotations": [
            {
                "id": number,
                "image_id": sample.image_id,
                "category_id": box.category,
                "bbox": [box.xmin, box.ymin, box.xmax - box.xmin, box.ymax - box.ymin],
                "area": box.area,
                "iscrowd": int(box.crowd),
            }
            for number, (sample, box) in enumerate(boxes, 1)  # pycocotools takes id 0 for "unmatched"
        ],
        "categories": [{"id": number, "name": name} for number, name in dataset.categories.items()],
    }


def _table(index: int, data: bytes, columns: int) -> NDArray[np.float32]:
    """A response as rows of numbers; raises RunError when it is none."""
    if not data or len(data) % (4 * columns):
        raise RunError(f"answer of sample {index}: {len(data)} bytes are no rows of {columns} float32; measure again")
    table: NDArray[np.float32] = np.frombuffer(data, "<f4").reshape(-1, columns)
    if not np.isfinite(table).all():
        raise RunError(f"answer of sample {index}: holds NaN or infinity; measure again")
    return table


def _detections(index: int, sample: Sample, data: bytes) -> list[dict[str, Any]]:
    """The boxes of an answer as pycocotools takes them, in pixels; scaled in float32, as accuracy-coco.py does."""
    if sample.width is None or sample.height is None:
        raise ValueError(f"sample {sample.key}: no width or height, so its boxes cannot be scaled")
    table = _table(index, data, BOX_FLOATS)
    if (table[:, 0] != index).any():
        raise RunError(f"answer of sample {index}: its boxes name sample {int(table[0, 0])}; measure again")
    ymin, xmin, ymax, xmax = table[:, 1:5].T * np.array([[sample.height, sample.width] * 2], np.float32).T
    columns = (xmin, ymin, xmax - xmin, ymax - ymin, table[:, 5], table[:, 6])
    return [
        {"image_id": sample.image_id, "category_id": int(category), "bbox": bbox, "score": confidence}
        for *bbox, confidence, category in np.stack(columns, axis=1).tolist()
    ]


def _coco_stats(truth: dict[str, Any], found: list[dict[str, Any]]) -> list[float | None]:
    """AP, AP50, AP75, AP of small, medium and large objects; None for pycocotools' -1, "nothing to find"."""
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        expected = COCO()
        expected.dataset = truth
        expected.createIndex()
        evaluation = COCOeval(expected, expected.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [None if value < 0 else float(value) for value in evaluation.stats[:6]]
