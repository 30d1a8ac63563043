"""Drawing of synthetic pictures: textured shapes on uneven backgrounds, under uneven light, with noise.

What a picture shows is drawn from a random generator alone, so the same generator state gives the same pixels.
Shape makes the class, in classification together with texture; everything else, colour first, varies from picture to
picture as nuisances.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .shapes import SHAPES, unit_outline

COLOURS: Final = ((220, 40, 40), (40, 190, 60), (50, 80, 230), (230, 200, 40), (200, 60, 210), (40, 200, 210))
"""Red, green and blue of the paints; each object mixes its own shade."""
TEXTURES: Final = ("plain", "striped", "checked", "dotted")
CLASSES: Final = tuple(f"{texture} {shape}" for texture in TEXTURES[:2] for shape in SHAPES[:10])
"""Data-set classes of classification: ten shapes, plain or striped."""
SIZES: Final = ((500, 375), (640, 480))
"""Width and height of pictures in pixels, as photographs of ImageNet and COCO have them."""

_SHADE: Final = 0.45
"""Brightness of a texture's dark parts."""
_TILT_RAD: Final = 0.3
"""Greatest tilt of an object to either side: beyond it a square would become a diamond."""
_NOISE_SHAPE: Final = (768, 1024, 3)

Pixels = NDArray[np.float32]
Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """An object to draw."""

    shape: str
    texture: str
    x: float
    y: float
    radius: float
    angle: float
    colour: tuple[float, float, float]


def drawn_figure(
    rng: np.random.Generator, shape: str, texture: str, centre: tuple[float, float], radius: float
) -> Figure:
    """Draw the nuisances of an object: its angle, its paint and the shade of it."""
    base = np.array(COLOURS[rng.integers(len(COLOURS))]) + rng.normal(0, 15, 3)
    red, green, blue = np.clip(base, 0, 255)
    return Figure(shape, texture, *centre, radius, rng.uniform(-_TILT_RAD, _TILT_RAD), (red, green, blue))


def background(rng: np.random.Generator, width: int, height: int) -> Pixels:
    """A smooth random field of colours: a few random patches, interpolated."""
    patches = rng.integers(60, 190, (rng.integers(3, 9), rng.integers(3, 9), 3)).astype(np.uint8)
    smooth = Image.fromarray(patches).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth, dtype=np.float32)


def paint(canvas: Pixels, figure: Figure) -> Rectangle:
    """Paint an object onto the canvas; return the box (xmin, ymin, xmax, ymax) of its visible part."""
    outline = _outline(figure)
    height, width, _ = canvas.shape
    xmin, ymin = np.clip(outline.min(axis=0), 0, (width, height))
    xmax, ymax = np.clip(outline.max(axis=0), 0, (width, height))
    left, top, right, bottom = int(xmin), int(ymin), int(np.ceil(xmax)), int(np.ceil(ymax))
    mask = _mask(outline - (left, top), right - left, bottom - top)
    shade = _shade(figure, np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32))
    region = canvas[top:bottom, left:right]
    region += mask[..., None] * (shade[..., None] * np.array(figure.colour, np.float32) - region)
    return float(xmin), float(ymin), float(xmax), float(ymax)


def photographed(rng: np.random.Generator, canvas: Pixels) -> Image.Image:
    """Light that falls off in one direction, and noise of a random strength; then 8-bit pixels."""
    height, width, _ = canvas.shape
    slope_x, slope_y = rng.uniform(-0.15, 0.15, 2)
    columns = np.linspace(-slope_x, slope_x, width, dtype=np.float32)
    rows = np.linspace(-slope_y, slope_y, height, dtype=np.float32)
    light = np.float32(rng.uniform(0.85, 1.15)) + columns + rows[:, None]
    canvas *= light[..., None]
    canvas += _noise(rng, width, height) * np.float32(rng.uniform(6, 16))
    np.clip(canvas, 0, 255, out=canvas)
    return Image.fromarray(canvas.astype(np.uint8))


def _noise(rng: np.random.Generator, width: int, height: int) -> Pixels:
    top, left = rng.integers(_NOISE_SHAPE[0] - height), rng.integers(_NOISE_SHAPE[1] - width)
    return _noise_field()[top : top + height, left : left + width]


@cache
def _noise_field() -> Pixels:
    # Windows of one field: drawing fresh noise would take most of the time of a picture.
    return np.random.default_rng(0).standard_normal(_NOISE_SHAPE, dtype=np.float32)


def _outline(figure: Figure) -> NDArray[np.float64]:
    points = unit_outline(figure.shape)
    cos, sin = np.cos(figure.angle), np.sin(figure.angle)
    turned = points @ np.array([[cos, sin], [-sin, cos]])
    return np.asarray(turned * figure.radius + (figure.x, figure.y))


def _mask(outline: NDArray[np.float64], width: int, height: int) -> Pixels:
    twice = Image.new("L", (2 * width, 2 * height))  # drawn at twice the size, for smooth edges
    ImageDraw.Draw(twice).polygon([(2 * x, 2 * y) for x, y in outline.tolist()], fill=255)
    return np.asarray(twice.reduce(2), dtype=np.float32) / np.float32(255)


def _shade(figure: Figure, columns: Pixels, rows: Pixels) -> Pixels:
    """Brightness of each pixel of the object: 1, or _SHADE in the dark parts of its texture."""
    cos, sin = np.float32(np.cos(figure.angle)), np.float32(np.sin(figure.angle))
    x, y = columns - np.float32(figure.x), rows[:, None] - np.float32(figure.y)
    along, across = x * cos + y * sin, y * cos - x * sin
    period = np.float32(max(6.0, figure.radius / 3))
    if figure.texture == "striped":
        dark = np.floor(across / period) % 2 > 0
    elif figure.texture == "checked":
        dark = (np.floor(across / period) + np.floor(along / period)) % 2 > 0
    elif figure.texture == "dotted":
        dark = (along % period - period / 2) ** 2 + (across % period - period / 2) ** 2 < (0.3 * period) ** 2
    else:
        dark = np.zeros(along.shape, dtype=bool)
    return np.where(dark, np.float32(_SHADE), np.float32(1))
