"""Linear heads of the embedded weights, fitted in closed form (ridge) or as a convex problem (logistic)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from serverless_mlperf.datasets.base import Box
from serverless_mlperf.models.architecture import ANCHOR_COUNT, PRIOR_VARIANCES, Array, anchors, prior_boxes

MATCH_IOU: Final = 0.5
"""An anchor that overlaps an object this much has to find it."""
NEAR_IOU: Final = 0.35
"""From here to MATCH_IOU an anchor is neither right nor wrong."""
HIT_WEIGHT: Final = 3.0
"""Weight of an anchor's right answer over its wrong ones, which are far more."""
PENALTY: Final = 1e-5
"""L2 penalty of the logistic heads; on validation scenes AP50 is the same from this to three times it."""
ITERATIONS: Final = 60
WHITENING_FLOOR: Final = 1e-3
"""Share of the mean variance added to every direction when features are whitened."""
FEWEST_CELLS: Final = 50
"""A map with fewer cells that have to find something gets no head of its own."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Linear:
    """Scores are features @ weights + bias."""

    weights: Matrix
    bias: Matrix


@dataclass(frozen=True, slots=True)
class Truth:
    """What each of the 1917 anchors has to say about one scene."""

    kinds: NDArray[np.int64]
    """Category of the object to find, 0 for none."""
    offsets: Array
    """Encoded box of that object, anchors x (y, x, height, width)."""
    near: NDArray[np.bool_]
    """True where neither answer is counted."""


@dataclass(frozen=True, slots=True)
class Cells:
    """A selection of the cells of one feature map, over all scenes, with the truth of the anchors of each."""

    features: Array
    kinds: NDArray[np.int64]
    offsets: Array
    near: NDArray[np.bool_]
    weights: Array
    """How many cells each stands for."""


def ridge(features: Matrix, targets: Matrix, penalty: float) -> Linear:
    """Least squares with an L2 penalty, in units of the mean variance; the bias is free."""
    mean, target_mean = features.mean(axis=0), targets.mean(axis=0)
    centred = features - mean
    gram = centred.T @ centred
    gram[np.diag_indices(len(gram))] += penalty * np.trace(gram) / len(gram)
    weights = np.linalg.solve(gram, centred.T @ (targets - target_mean))
    return Linear(weights, target_mean - mean @ weights)


def matched(width: int, height: int, boxes: Sequence[Box]) -> Truth:
    """Give each anchor the object it overlaps most, if enough, and each object its best anchor in any case."""
    scale = np.array([width, height, width, height])
    objects = np.array([(b.xmin, b.ymin, b.xmax, b.ymax) for b in boxes]) / scale
    overlap = _overlaps(prior_boxes().astype(float), objects)
    nearest, best = overlap.argmax(axis=1), overlap.argmax(axis=0)
    hit = overlap.max(axis=1) > MATCH_IOU
    hit[best], nearest[best] = True, np.arange(len(boxes))
    kinds = np.where(hit, np.array([b.category for b in boxes])[nearest], 0)
    return Truth(kinds, _encoded(objects[nearest]), ~hit & (overlap.max(axis=1) > NEAR_IOU))


def class_head(cells: Cells, categories: int) -> Linear | None:
    """Logistic scores anchors x categories of each cell, one against the rest; None where nothing is to be found."""
    found = cells.kinds > 0
    if found.any(axis=1).sum() < FEWEST_CELLS:
        return None
    targets = (cells.kinds[..., None] == np.arange(1, categories + 1)).astype(np.float32)
    counted = np.where(targets > 0, HIT_WEIGHT, ~cells.near[..., None]) * cells.weights[:, None, None]
    flat = (len(targets), -1)
    return _logistic(cells.features, targets.reshape(flat), counted.reshape(flat).astype(np.float32))


def box_head(cells: Cells) -> Linear:
    """Ridge from a cell's features to the boxes of its anchors, each fitted on the cells where it has an object."""
    width, anchor_count = cells.features.shape[1], cells.kinds.shape[1]
    weights, bias = np.zeros((width, anchor_count, 4)), np.zeros((anchor_count, 4))
    for anchor in range(anchor_count):
        hit = cells.kinds[:, anchor] > 0
        if hit.sum() >= FEWEST_CELLS:
            penalty = 0.1 if hit.sum() > 2000 else 1.0
            fitted = ridge(cells.features[hit].astype(float), cells.offsets[hit, anchor].astype(float), penalty)
            weights[:, anchor], bias[anchor] = fitted.weights, fitted.bias
    return Linear(weights.reshape(width, -1), bias.ravel())


def _overlaps(some: Matrix, others: Matrix) -> Matrix:
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (some, others)]
    return np.asarray(shared / (areas[0][:, None] + areas[1] - shared))


def _encoded(boxes: Matrix) -> Array:
    """Boxes in TensorFlow's code relative to the anchors: y, x, height, width over the coder's variances."""
    grid = anchors().astype(float)
    low, high = boxes[:, 1::-1], boxes[:, 3:1:-1]
    centre = ((low + high) / 2 - grid[:, :2]) / grid[:, 2:]
    size = np.log(np.clip(high - low, 1e-3, None) / grid[:, 2:])
    assert len(boxes) == ANCHOR_COUNT
    return np.asarray(np.concatenate([centre, size], axis=1) / PRIOR_VARIANCES, np.float32)


def _logistic(features: Array, targets: Array, counted: Array) -> Linear:
    """Independent logistic regressions, all columns at once by L-BFGS on whitened features."""
    mean, whitening = _whitening(features)
    white = (features - mean) @ whitening
    depth, columns = white.shape[1], targets.shape[1]
    total = float(counted.sum(dtype=np.float64)) / columns

    def loss(flat: Matrix) -> tuple[float, Matrix]:
        weights, bias = flat[: depth * columns].reshape(depth, columns).astype(np.float32), flat[depth * columns :]
        scores = white @ weights + bias.astype(np.float32)
        tail = np.exp(-np.abs(scores))
        losses = counted * (np.maximum(scores, 0) - scores * targets + np.log1p(tail))
        slope = counted * (np.where(scores >= 0, 1, tail) / (1 + tail) - targets) / np.float32(total)
        value = float(losses.sum(dtype=np.float64)) / total + PENALTY / 2 * float((weights**2).sum())
        gradient = white.T @ slope + np.float32(PENALTY) * weights
        return value, np.concatenate([gradient.ravel(), slope.sum(axis=0)]).astype(float)

    start = np.concatenate([np.zeros(depth * columns), np.full(columns, -4.0)])  # nearly all answers are "no"
    options: dict[str, Any] = {"maxiter": ITERATIONS, "maxcor": 8}
    flat = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    weights = whitening @ flat[: depth * columns].reshape(depth, columns)
    return Linear(weights, flat[depth * columns :] - mean @ weights)


def _whitening(features: Array) -> tuple[Array, Array]:
    mean = features.mean(axis=0)
    centred = features - mean
    variances, directions = np.linalg.eigh((centred.T @ centred).astype(float) / len(features))
    scale = np.sqrt(np.maximum(variances, 0) + WHITENING_FLOOR * variances.mean())
    return mean, np.asarray(directions / scale, np.float32)
