"""Accuracy and encodings against values worked out by hand."""

from pathlib import Path
import struct

import pytest

from serverless_mlperf.accuracy import (
    classification_accuracy,
    detection_accuracy,
    encode_classification,
    encode_detection,
    ground_truth,
)
from serverless_mlperf.datasets.base import Box, Dataset, Sample

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
    """First right, third right and lost of three: Top-1 1/3, Top-5 2/3, one missing."""
    results = {0: [(1, 0.9)], 1: [(5, 0.5), (6, 0.3), (8, 0.1)], 2: None}
    accuracy = classification_accuracy(classified(), results)
    assert (accuracy.top1, accuracy.top5) == pytest.approx((1 / 3, 2 / 3))
    assert (accuracy.sample_count, accuracy.missing_count) == (3, 1)


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
    assert accuracy.missing_count == 1


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


def test_classification_encoding() -> None:
    """One little-endian float32: the network's best class minus 1; -1 when the query was lost."""
    assert encode_classification([(8, 0.5), (1, 0.2)]) == struct.pack("<f", 7)
    assert encode_classification(None) == struct.pack("<f", -1)


def test_detection_encoding() -> None:
    """Rows become [index, ymin, xmin, ymax, xmax, score, class]."""
    encoded = encode_detection(5, [(0, 3, 0.5, 0.125, 0.25, 0.75, 1.0)])
    assert struct.unpack("<7f", encoded) == (5, 0.25, 0.125, 1.0, 0.75, 0.5, 3)


@pytest.mark.parametrize("rows", [None, []])
def test_lost_detection_is_well_formed(rows: list[list[float]] | None) -> None:
    """A lost query, or one without boxes, still has seven numbers: an empty box of score 0."""
    assert struct.unpack("<7f", encode_detection(5, rows)) == (5, 0, 0, 0, 0, 0, 1)
