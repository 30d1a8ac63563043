"""Outlines of the twelve shapes of the synthetic pictures.

An outline is a polygon in a square from -1 to 1 (y down), at its upright position. Every shape is its own mirror image
from left to right, and differs from the others by more than the tilt that pictures give it.
"""

from collections.abc import Callable
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Corners = tuple[tuple[float, float], ...]

SHAPES: Final = (
    *("disc", "ring", "square", "triangle", "star", "cross"),
    *("heart", "arrow", "dome", "hourglass", "crescent", "diamond"),
)

_RIGHT_HALVES: Final[dict[str, Corners]] = {
    "square": ((0.71, -0.71), (0.71, 0.71)),
    "triangle": ((0.0, -1.0), (0.87, 0.5)),
    "cross": ((0.33, -1.0), (0.33, -0.33), (1.0, -0.33), (1.0, 0.33), (0.33, 0.33), (0.33, 1.0)),
    "arrow": ((0.0, -1.0), (0.8, -0.1), (0.3, -0.1), (0.3, 1.0)),
    "hourglass": ((0.75, -0.9), (0.12, 0.0), (0.75, 0.9)),
    "diamond": ((0.0, -1.0), (0.55, 0.0), (0.0, 1.0)),
}
"""Corners from top to bottom of the half with x >= 0, for shapes of straight edges."""


@cache
def unit_outline(shape: str) -> Points:
    """The outline of a shape, n x 2; edges of a ring's hole are joined to the rim by a seam of no width."""
    if shape in _RIGHT_HALVES:
        right = np.array(_RIGHT_HALVES[shape])
        return np.concatenate([right, (right * (-1, 1))[::-1]])
    return _CURVED[shape]()


def _arc(begin_deg: float, end_deg: float, count: int = 25, radius: float = 1.0) -> Points:
    """Points on a circle about the origin, clockwise on the screen from the right."""
    turn = np.deg2rad(np.linspace(begin_deg, end_deg, count))
    return np.stack([np.cos(turn), np.sin(turn)], axis=1) * radius


def _ring() -> Points:
    return np.concatenate([_arc(-90, 270), _arc(270, -90, radius=0.55)])


def _star() -> Points:
    turn = np.deg2rad(np.arange(10) * 36 - 90)
    length = np.where(np.arange(10) % 2, 0.42, 1.0)
    return np.stack([np.cos(turn), np.sin(turn)], axis=1) * length[:, None]


def _heart() -> Points:
    turn = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    x = 16 * np.sin(turn) ** 3
    y = 13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)
    return np.stack([x, -y], axis=1) / 17


def _dome() -> Points:
    return np.add(_arc(-180, 0), (0, 0.45))


def _crescent() -> Points:
    """A moon that lies on its back: a disc without a smaller one that is shifted upwards."""
    inner_x, inner_y, inner_radius = 0.83, -0.55, 0.86  # where the circles meet, and the radius of the inner one
    centre_y = inner_y - (inner_radius**2 - inner_x**2) ** 0.5
    half_deg = float(np.rad2deg(np.arcsin(inner_x / inner_radius)))
    tip_deg = float(np.rad2deg(np.arctan2(inner_y, inner_x)))
    inner = _arc(90 + half_deg, 90 - half_deg, radius=inner_radius) + np.array([0, centre_y])
    return np.concatenate([_arc(tip_deg, 180 - tip_deg), inner])


_CURVED: Final[dict[str, Callable[[], Points]]] = {
    "disc": lambda: _arc(0, 345, 24),
    "ring": _ring,
    "star": _star,
    "heart": _heart,
    "dome": _dome,
    "crescent": _crescent,
}
