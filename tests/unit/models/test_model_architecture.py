"""The neutral layer lists."""

from math import prod, sqrt

import numpy as np
import pytest

from serverless_mlperf.models.architecture import (
    ANCHOR_COUNT,
    FEATURE_MAP_SIZES,
    anchors,
    conv_shapes,
    expected_shapes,
    prior_boxes,
    prior_sizes,
    same_padding,
)
from serverless_mlperf.workloads import Task


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [(224, 3, 2, (0, 1)), (75, 3, 2, (1, 1)), (150, 3, 1, (1, 1)), (2, 3, 2, (0, 1)), (19, 1, 1, (0, 0))],
)
def test_same_padding_puts_the_odd_row_after(size: int, kernel: int, stride: int, padding: tuple[int, int]) -> None:
    """SAME padding at stride 2 is (0, 1) on even inputs and symmetric on odd ones."""
    assert same_padding(size, kernel, stride) == padding


@pytest.mark.parametrize(
    ("task", "arrays", "parameters"),
    [
        # Keras' MobileNet has 4,253,864 with 4 x 10,944 of batch normalisation and 1,000 classes; ours has one bias per
        # channel instead, and a class more.
        ("classification", 56, 4_253_864 - 3 * 10_944 + 1025),
        ("object_detection", 94, 6_807_167),
    ],
)
def test_expected_shapes_count_the_published_parameters(task: Task, arrays: int, parameters: int) -> None:
    """The tables name every array of the 1.0 networks, batch normalisation folded."""
    shapes = expected_shapes(task)
    assert (len(shapes), sum(prod(shape) for shape in shapes.values())) == (arrays, parameters)


def test_convolutions_chain_to_the_published_sizes() -> None:
    """The classifier ends in 7 x 7 before pooling, the detector's maps are 19, 10, 5, 3, 2 and 1."""
    classifier, detector = conv_shapes("classification"), conv_shapes("object_detection")
    assert classifier[-2].output_size == 7
    assert tuple(shape.output_size for shape in detector if "BoxEncoding" in shape.name) == FEATURE_MAP_SIZES


def test_there_are_1917_anchors() -> None:
    """Three anchors per cell on the lowest map, six on the others."""
    per_cell = [len(priors) for priors in prior_sizes()]
    assert per_cell == [3, 6, 6, 6, 6, 6]
    assert anchors().shape == (ANCHOR_COUNT, 4)
    assert anchors().dtype == np.float32


@pytest.mark.parametrize(
    ("index", "anchor"),
    [
        (0, (0.5 / 19, 0.5 / 19, 0.1, 0.1)),
        (1, (0.5 / 19, 0.5 / 19, 0.2 / sqrt(2), 0.2 * sqrt(2))),
        (3, (0.5 / 19, 1.5 / 19, 0.1, 0.1)),
        (19 * 19 * 3, (0.05, 0.05, 0.35, 0.35)),
        (19 * 19 * 3 + 5, (0.05, 0.05, sqrt(0.35 * 0.5), sqrt(0.35 * 0.5))),
        (1916, (0.5, 0.5, sqrt(0.95), sqrt(0.95))),
    ],
)
def test_anchors_are_those_of_the_object_detection_api(index: int, anchor: tuple[float, ...]) -> None:
    """Order is row, column, anchor; values are y centre, x centre, height, width."""
    assert anchors()[index] == pytest.approx(anchor, rel=1e-6)


def test_prior_boxes_are_the_corners_of_the_anchors() -> None:
    """Corners are xmin, ymin, xmax, ymax."""
    low, high = prior_boxes()[1, :2], prior_boxes()[1, 2:]
    assert low == pytest.approx((0.5 / 19 - 0.1 * sqrt(2), 0.5 / 19 - 0.1 / sqrt(2)), rel=1e-5)
    assert high == pytest.approx((0.5 / 19 + 0.1 * sqrt(2), 0.5 / 19 + 0.1 / sqrt(2)), rel=1e-5)
