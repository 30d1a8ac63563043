"""Accuracy against values worked out by hand, and against MLPerf's own reading of a log."""

from dataclasses import replace
import json
from pathlib import Path
import random
import struct

import pytest

from official_scripts import coco_stats
from serverless_mlperf.accuracy import (
    DetectionAccuracy,
    classification_accuracy,
    detection_accuracy,
    ground_truth,
    score,
)
from serverless_mlperf.datasets.base import Box, Dataset, Sample
from serverless_mlperf.errors import RunError
from serverless_mlperf.mlperf.responses import encode_boxes

LABELS = (0, 7, 999)


def classified() -> Dataset:
    """Three samples of the classes in LABELS."""
    samples = tuple(Sample(i, f"imagenet/{i}", Path(str(i)), label=label) for i, label in enumerate(LABELS))
    return Dataset("imagenet", "classification", samples, "d", {})


def detected() -> Dataset:
    """Two images of 100 x 200, one object of category 1 in each; a third image without objects."""
    box = Box(1, 10, 20, 50, 100, area=3200)
    samples = tuple(
        Sample(i, f"coco/{i}", Path(f"{i}.jpg"), boxes=boxes, width=100, height=200, image_id=40 + i)
        for i, boxes in enumerate(((box,), (box,), ()))
    )
    return Dataset("coco", "object_detection", samples, "d", {1: "person"})


EXACT = (0, 1, 0.9, 0.1, 0.1, 0.5, 0.5)
"""The box of `detected`, normalised."""


def test_top1_and_top5() -> None:
    """First right, third right and lost of three: Top-1 1/3, Top-5 2/3."""
    results = {0: [(1, 0.9)], 1: [(5, 0.5), (6, 0.3), (8, 0.1)], 2: None}
    accuracy = classification_accuracy(classified(), results)
    assert (accuracy.top1, accuracy.top5) == pytest.approx((1 / 3, 2 / 3))
    assert accuracy.sample_count == 3


def test_background_is_never_right() -> None:
    """The network's class 0 is the background, not data-set class 0."""
    assert classification_accuracy(classified(), {0: [(0, 1.0)]}).top5 == 0


def test_nothing_is_none_with_a_reason() -> None:
    """Without samples, or without any object in them, accuracy is None and says why."""
    assert classification_accuracy(classified(), {}).top1 is None
    assert detection_accuracy(detected(), {}).ap is None
    empty = detection_accuracy(detected(), {2: [EXACT]})
    assert empty.ap is None
    assert empty.reason == "none of the samples has an object"


def test_exact_boxes_have_ap_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Every object found exactly and nothing else: AP = AP50 = 1; nothing is printed."""
    accuracy = detection_accuracy(detected(), {0: [EXACT], 1: [EXACT], 2: []})
    assert (accuracy.ap, accuracy.ap50) == pytest.approx((1, 1))
    assert capsys.readouterr().out == ""


def test_lost_query_halves_recall() -> None:
    """One of two objects found: precision 1 up to recall .5, i.e. 51 of COCO's 101 recall levels."""
    accuracy = detection_accuracy(detected(), {0: [EXACT], 1: None})
    assert (accuracy.ap, accuracy.ap50) == pytest.approx((51 / 101, 51 / 101))


def test_loose_box_counts_at_50_only_as_far_as_it_overlaps() -> None:
    """A box with IoU 0.72 is right at .50 to .70, five of the ten thresholds."""
    loose = (0, 1, 0.9, 0.1, 0.1, 0.388, 0.5)  # 28.8 of 40 pixels wide
    accuracy = detection_accuracy(detected(), {0: [loose], 1: [loose]})
    assert (accuracy.ap, accuracy.ap50) == pytest.approx((0.5, 1))


def test_no_detection_is_zero() -> None:
    """Objects, but no box found at all: AP is 0, which is data."""
    assert detection_accuracy(detected(), {0: [], 1: []}).ap == 0


def test_ground_truth_is_in_sample_order() -> None:
    """Images of the annotation file are in the order of LoadGen's indices, which MLPerf's script relies on."""
    assert [image["id"] for image in ground_truth(detected())["images"]] == [40, 41, 42]


def test_sizes_are_told_apart() -> None:
    """An object of 3,200 square pixels is a medium one: small and large have no figure, which is not 0."""
    accuracy = detection_accuracy(detected(), {0: [EXACT], 1: [EXACT]})
    assert (accuracy.ap75, accuracy.ap_medium) == pytest.approx((1, 1))
    assert (accuracy.ap_small, accuracy.ap_large) == (None, None)


def test_crowds_are_not_to_be_found() -> None:
    """With crowd regions alone there is nothing to find, and the answer says so."""
    crowd = replace(detected().samples[0].boxes[0], crowd=True)
    dataset = replace(detected(), samples=tuple(replace(s, boxes=(crowd,)) for s in detected().samples))
    assert detection_accuracy(dataset, {0: [EXACT]}).reason == "none of the samples has an object to find"


@pytest.mark.parametrize("data", [b"", b"\0" * 4, b"\0" * 24, struct.pack("<5f", 1, 2, 3, 4, float("nan"))])
def test_bytes_that_are_no_classes_are_refused(data: bytes) -> None:
    """Anything but five numbers is a RunError that names the sample."""
    with pytest.raises(RunError, match="sample 1"):
        score(classified(), {1: data})


@pytest.mark.parametrize("data", [b"", b"\0" * 27, struct.pack("<7f", 0, 0, 0, 1, 1, 0.5, 1)])
def test_bytes_that_are_no_boxes_are_refused(data: bytes) -> None:
    """Rows of seven numbers that name their own sample, or a RunError."""
    with pytest.raises(RunError, match="sample 1"):
        score(detected(), {1: data})


def test_scores_are_those_of_mlperfs_script(tmp_path: Path) -> None:
    """Random boxes in a log: all six figures equal those of accuracy-coco.py's reading, to the last bit."""
    dataset, answers = random_scenes()
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_val2017.json").write_text(json.dumps(ground_truth(dataset)))
    log = [{"seq_id": n, "qsl_idx": index, "data": data.hex()} for n, (index, data) in enumerate(answers.items())]
    (tmp_path / "log.json").write_text(json.dumps(log))
    found = score(dataset, answers)
    assert isinstance(found, DetectionAccuracy)
    figures = (found.ap, found.ap50, found.ap75, found.ap_small, found.ap_medium, found.ap_large)
    assert figures == tuple(coco_stats(tmp_path / "log.json", tmp_path)[:6])
    assert 0.1 < figures[0] < 0.9  # type: ignore[operator]


def random_scenes() -> tuple[Dataset, dict[int, bytes]]:
    """Sixty images of two categories, and answers that are off by some pixels, too many or missing."""
    draw = random.Random(7)  # noqa: S311 - reproducible, not secret
    samples, answers = [], {}
    for index in range(60):
        width, height = draw.randrange(200, 640), draw.randrange(200, 480)
        rows, boxes = [], []
        for _ in range(draw.randrange(5)):
            x, y, w, h = (
                draw.uniform(0, width / 2),
                draw.uniform(0, height / 2),
                draw.uniform(8, 220),
                draw.uniform(8, 220),
            )
            category = draw.randrange(1, 3)
            boxes.append(Box(category, x, y, x + w, y + h, w * h))
            near = [v + draw.gauss(0, 3) for v in (x, y, x + w, y + h)]
            scaled = [near[0] / width, near[1] / height, near[2] / width, near[3] / height]
            rows.append([0, draw.choice((category, 1, 2)), draw.random(), *(round(v, 7) for v in scaled)])
        samples.append(
            Sample(
                index, f"coco/{index}", Path(f"{index}.jpg"), None, tuple(boxes), width, height, image_id=900 - index
            )
        )
        answers[index] = encode_boxes(index, rows if draw.random() > 0.1 else None)
    return Dataset("coco", "object_detection", tuple(samples), "d", {1: "one", 2: "two"}), answers
