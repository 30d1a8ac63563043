"""What MLPerf's accuracy scripts read out of a LoadGen log, written anew from a reading of them; for tests alone.

mlcommons/inference, vision/classification_and_detection/tools/: accuracy-imagenet.py @fe550622c0 and accuracy-coco.py
@2724679f2d. Line numbers below are theirs.
"""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def imagenet_counts(log: Path, val_map: Path) -> tuple[int, int]:
    """Right answers and samples, as accuracy-imagenet.py counts them."""
    labels = [int(line.split()[1]) for line in val_map.read_text().splitlines()]  # lines 45-49
    good, seen = 0, set()
    for entry in json.loads(log.read_text()):
        if entry["qsl_idx"] not in seen:  # lines 59-62: the first wins
            seen.add(entry["qsl_idx"])
            data = np.frombuffer(bytes.fromhex(entry["data"]), np.float32)  # line 68, --dtype's default
            good += int(data[0]) == labels[entry["qsl_idx"]]  # lines 69-71: element 0 alone
    return good, len(seen)


def coco_stats(log: Path, coco_dir: Path) -> list[float]:
    """The twelve figures of accuracy-coco.py, AP first; fails where that script prints ERROR."""
    detections: list[dict[str, Any]] = []
    image_ids, seen = set(), set()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(coco_dir / "annotations" / "instances_val2017.json")  # lines 49-52
        images = truth.dataset["images"]  # line 72: by position, which is the sample index
        for entry in json.loads(log.read_text()):
            index = entry["qsl_idx"]
            if index in seen:  # lines 76-79: the first wins
                continue
            seen.add(index)
            image = images[index]
            image_ids.add(image["id"])  # lines 91 and 135
            data = np.frombuffer(bytes.fromhex(entry["data"]), np.float32)  # line 86
            if len(data) >= 7:  # line 87
                detections += [_detection(data[n : n + 7], index, image) for n in range(0, len(data), 7)]
        evaluation = COCOeval(truth, truth.loadRes(json.loads(json.dumps(detections))), iouType="bbox")
        evaluation.params.imgIds = list(image_ids)  # line 146
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def _detection(row: Any, index: int, image: dict[str, Any]) -> dict[str, Any]:
    """Lines 97-134: scaled in float32, without --use-inv-map."""
    named, ymin, xmin, ymax, xmax, score, label = row
    assert int(named) == index
    ymin, ymax = ymin * image["height"], ymax * image["height"]
    xmin, xmax = xmin * image["width"], xmax * image["width"]
    return {
        "image_id": image["id"],
        "category_id": int(label),
        "bbox": [float(xmin), float(ymin), float(xmax - xmin), float(ymax - ymin)],
        "score": float(score),
    }
