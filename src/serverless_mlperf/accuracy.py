"""Accuracy of what a function answered, and the same answers in the bytes that MLPerf's own accuracy scripts read.

Results are the function's rows per sample: `[[class, probability], ...]`, best first, in classification, with the
network's class 0..1000 (data-set class + 1); `[0, class, score, xmin, ymin, xmax, ymax]`, 0..1, in detection. A query
without a result (lost, or an error record) is None and counts as wrong.
"""

from collections.abc import Mapping, Sequence
import contextlib
from dataclasses import dataclass
import io
from typing import Any, Final

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .datasets.base import Dataset, Sample

Rows = Sequence[Sequence[float]]
Results = Mapping[int, Rows | None]
"""Sample index -> the function's rows."""

_NO_CLASS: Final = -1.0
_NO_BOX: Final = (0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""A row of the function's form that can match nothing: an empty box of score 0."""


@dataclass(frozen=True, slots=True)
class ClassificationAccuracy:
    """Shares of samples whose class is the first, or among the first five, of the answer; None with a reason."""

    top1: float | None
    top5: float | None
    sample_count: int
    missing_count: int
    """Samples without a result, counted as wrong."""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class DetectionAccuracy:
    """COCO's average precision: over IoU .50 to .95 (`ap`), and at .50; None with a reason."""

    ap: float | None
    ap50: float | None
    sample_count: int
    missing_count: int
    """Samples without a result: their objects count as not found."""
    reason: str | None = None


def classification_accuracy(dataset: Dataset, results: Results) -> ClassificationAccuracy:
    """Score the samples that `results` names; others of the data set were not asked for."""
    missing = sum(rows is None for rows in results.values())
    if not results:
        return ClassificationAccuracy(None, None, 0, 0, "no sample was answered or lost")
    ranks = [_rank(dataset.samples[index], rows or ()) for index, rows in results.items()]
    top1, top5 = (sum(rank < limit for rank in ranks) / len(ranks) for limit in (1, 5))
    return ClassificationAccuracy(top1, top5, len(ranks), missing)


def _rank(sample: Sample, rows: Rows) -> int:
    """Position of the right class in an answer; the length of the data set's classes if it is not there."""
    answers = [int(row[0]) - 1 for row in rows]
    return answers.index(sample.label) if sample.label in answers else 1000


def detection_accuracy(dataset: Dataset, results: Results) -> DetectionAccuracy:
    """Score the samples that `results` names with pycocotools."""
    missing = sum(rows is None for rows in results.values())
    truth = ground_truth(dataset, results)
    if not truth["annotations"]:
        reason = "none of the samples has an object" if results else "no sample was answered or lost"
        return DetectionAccuracy(None, None, len(results), missing, reason)
    found = [d for index, rows in results.items() for d in _detections(dataset.samples[index], rows or ())]
    if not found:  # pycocotools cannot load an empty list
        return DetectionAccuracy(0.0, 0.0, len(results), missing)
    ap, ap50 = _average_precision(truth, found)
    if ap < 0:  # pycocotools' mark for "no object to find", e.g. crowds only
        return DetectionAccuracy(None, None, len(results), missing, "none of the samples has an object to find")
    return DetectionAccuracy(ap, ap50, len(results), missing)


def ground_truth(dataset: Dataset, indices: Mapping[int, Any] | Sequence[int] | None = None) -> dict[str, Any]:
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


def _detections(sample: Sample, rows: Rows) -> list[dict[str, Any]]:
    if sample.width is None or sample.height is None:
        raise ValueError(f"sample {sample.key}: no width or height, so its boxes cannot be scaled")
    scale_x, scale_y = sample.width, sample.height
    return [
        {
            "image_id": sample.image_id,
            "category_id": int(category),
            "bbox": [xmin * scale_x, ymin * scale_y, (xmax - xmin) * scale_x, (ymax - ymin) * scale_y],
            "score": score,
        }
        for _, category, score, xmin, ymin, xmax, ymax in rows
    ]


def _average_precision(truth: dict[str, Any], found: list[dict[str, Any]]) -> tuple[float, float]:
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        expected = COCO()
        expected.dataset = truth
        expected.createIndex()
        evaluation = COCOeval(expected, expected.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[1])


def encode_classification(rows: Rows | None) -> bytes:
    """The answer as MLPerf's accuracy-imagenet.py reads it: one little-endian float32, the data-set class.

    Without a result it is class -1: well-formed and wrong (empty data makes that script crash).
    """
    best = float(rows[0][0]) - 1 if rows else _NO_CLASS
    return np.array([best], dtype="<f4").tobytes()


def encode_detection(sample_index: int, rows: Rows | None) -> bytes:
    """The answer as MLPerf's accuracy-coco.py reads it: float32 rows [index, ymin, xmin, ymax, xmax, score, class].

    Without a result or without any box it is one empty box of score 0, which changes no precision: fewer than seven
    numbers would count as a query without an answer.
    """
    table = np.array(rows or [_NO_BOX], dtype="<f4")[:, [0, 4, 3, 6, 5, 2, 1]]
    table[:, 0] = sample_index
    return table.tobytes()
