"""The twelve outlines: mirror images of themselves, of one size, and unlike each other however they are tilted."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
import pytest

from serverless_mlperf.datasets.shapes import SHAPES, unit_outline

SIDE = 120
TILT_RAD = 0.3
"""As in pictures.py."""


def filled(shape: str, angle_rad: float = 0.0) -> NDArray[np.bool_]:
    """Pixels inside an outline."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    points = (unit_outline(shape) @ np.array([[cos, sin], [-sin, cos]]) / 1.05 + 1) * SIDE / 2
    image = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(image).polygon([(x, y) for x, y in points.tolist()], fill=255)
    return np.asarray(image) > 0


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """IoU of two sets of pixels."""
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_their_own_mirror_images(shape: str) -> None:
    """Left and right are alike, which is what lets training mirror its pictures."""
    pixels = filled(shape)
    assert overlap(pixels, pixels[:, ::-1]) > 0.93


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_fill_their_square(shape: str) -> None:
    """No outline leaves its unit circle by more than a fifth, and each is at least 1.4 tall or wide."""
    outline = unit_outline(shape)
    assert np.hypot(*outline.T).max() <= 1.2
    assert np.ptp(outline, axis=0).max() >= 1.4


def test_no_tilt_turns_one_shape_into_another() -> None:
    """Two shapes tilted against each other as far as pictures may do it still differ in a seventh of their pixels."""
    tilts = np.linspace(-2 * TILT_RAD, 2 * TILT_RAD, 7)
    closest = {
        (one, other): max(overlap(filled(one), filled(other, tilt)) for tilt in tilts)
        for one, other in combinations(SHAPES, 2)
    }
    assert max(closest.values()) < 0.86, max(closest, key=lambda pair: closest[pair])
