"""Raw outputs to results."""

import json

import numpy as np

from serverless_mlperf_sut.postprocess import postprocess


def test_top_five_are_ranked_and_ties_go_to_the_lower_class() -> None:
    """Classes are output indices, best first."""
    output = np.zeros((1, 1001), np.float32)
    output[0, [7, 900, 3]] = [0.5, 0.25, 0.25]
    best = postprocess("classification", output)
    assert best[:3] == [[7, 0.5], [3, 0.25], [900, 0.25]]
    assert len(best) == 5


def test_padding_rows_are_dropped_and_boxes_clipped() -> None:
    """OpenVINO's end mark and OpenCV's zero rows are no boxes."""
    box = [0, 18, 0.75, -0.01, 0.5, 1.01, 0.75]
    output = np.array([[[box, [0] * 7, [-1, 0, 0, 0, 0, 0, 0], [0, 1, 0.5, 0, 0, 1, 1]]]], np.float32)
    assert postprocess("object_detection", output) == [
        [0, 18, 0.75, 0, 0.5, 1, 0.75],
        [0, 1, 0.5, 0, 0, 1, 1],
    ]


def test_no_box_is_an_empty_result() -> None:
    """An image without a detection has a result: the empty list."""
    assert postprocess("object_detection", np.full((1, 1, 1, 7), -1, np.float32)) == []
    assert postprocess("object_detection", np.zeros((1, 1, 0, 7), np.float32)) == []


def test_results_are_plain_json() -> None:
    """No numpy scalar is left in a result."""
    json.dumps(postprocess("classification", np.random.default_rng(1).random((1, 1001), np.float32)))
