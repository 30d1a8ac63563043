"""Responses byte for byte as MLPerf's accuracy scripts read them."""

from typing import Any

import pytest

from serverless_mlperf.mlperf.responses import ENCODERS, encode_boxes, encode_classes
from serverless_mlperf.transports.base import Reply
from serverless_mlperf.workloads import TASKS, Task


def _reply(result: object) -> Reply:
    return Reply("k", True, {"result": result})


def test_classes_are_the_data_sets() -> None:
    """Five float32, little-endian: the network's classes 65, 8, 1000, 1 and 2 less the background; a sixth is cut."""
    rows = [[65, 0.5], [8, 0.2], [1000, 0.1], [1, 0.05], [2, 0.04], [3, 0.03]]
    assert encode_classes(3, rows).hex() == "00008042" + "0000e040" + "00c07944" + "00000000" + "0000803f"


def test_fewer_classes_are_filled_with_wrong_ones() -> None:
    """One answer alone is class 64 and four times -1."""
    assert encode_classes(0, [[65, 0.9]]).hex() == "00008042" + 4 * "000080bf"


def test_background_is_no_class() -> None:
    """The network's class 0 becomes -1, which no data set has."""
    assert encode_classes(0, [[0, 1.0]]).hex() == 5 * "000080bf"


def test_boxes_are_reordered() -> None:
    """`[0, 18, .5, .125, .25, .75, 1]` of sample 5 becomes index, ymin, xmin, ymax, xmax, score, class; two are two."""
    row = "0000a040" + "0000803e" + "0000003e" + "0000803f" + "0000403f" + "0000003f" + "00009041"
    box = [0, 18, 0.5, 0.125, 0.25, 0.75, 1.0]
    assert encode_boxes(5, [box]).hex() == row
    assert encode_boxes(5, [box, box]).hex() == 2 * row


def test_box_of_the_last_sample_keeps_its_index() -> None:
    """Index 4999 and float32's rounding of .1 are exact to the byte."""
    encoded = encode_boxes(4999, [[0, 90, 0.1, 0.1, 0.1, 0.1, 0.1]]).hex()
    assert encoded == "00389c45" + 5 * "cdcccc3d" + "0000b442"


@pytest.mark.parametrize("rows", [None, []])
def test_no_box_is_an_empty_one(rows: Any) -> None:
    """Lost, or nothing found: sample 5, an empty box of score 0, class 1; 28 bytes, for fewer count as no answer."""
    assert encode_boxes(5, rows).hex() == "0000a040" + 5 * "00000000" + "0000803f"


@pytest.mark.parametrize(("task", "size"), [("classification", 20), ("object_detection", 28)])
def test_lost_query_is_well_formed(task: Task, size: int) -> None:
    """The driver's encoders make of no reply what the row encoders make of no rows."""
    assert len(ENCODERS[task](7, None)) == size
    assert ENCODERS["classification"](7, None) == encode_classes(7, None)
    assert encode_classes(7, None).hex() == 5 * "000080bf"


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("result", ["x", None, {"a": 1}, [[]], [["a"]], [5], [[1, 2, 3]], [[1, 2, 3, 4, 5, 6, 7, 8]]])
def test_malformed_result_raises(task: Task, result: object) -> None:
    """The driver makes an error of it, by these exceptions."""
    with pytest.raises((ValueError, TypeError)):
        ENCODERS[task](0, _reply(result))


@pytest.mark.parametrize("row", [[-1, 0.5], [1001, 0.5], [1.5, 0.5], [float("nan"), 0.5], ["7", 0.5], [None, 0.5]])
def test_what_is_no_class_raises(row: Any) -> None:
    """Classes are 0..1000; a NaN would crash MLPerf's script."""
    with pytest.raises(ValueError, match="class"):
        encode_classes(0, [row])


@pytest.mark.parametrize(
    "row",
    [
        [0, 0, 0.5, 0, 0, 1, 1],
        [0, 91, 0.5, 0, 0, 1, 1],
        [0, 1, float("nan"), 0, 0, 1, 1],
        [0, 1, 0.5, 0, 0, float("inf"), 1],
        [0, 1, 0.5, 0, 0, 1e300, 1],
        [0, 1, "0.5", 0, 0, 1, 1],
    ],
)
def test_what_is_no_box_raises(row: Any) -> None:
    """Categories are COCO's 1..90, and every number is one that float32 holds."""
    with pytest.raises((ValueError, TypeError, OverflowError)):
        encode_boxes(0, [row])


def test_no_class_at_all_raises() -> None:
    """A classifier that answers nothing is broken, unlike a detector that finds nothing."""
    with pytest.raises(ValueError, match="no class"):
        ENCODERS["classification"](0, _reply([]))
