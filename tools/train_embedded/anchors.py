"""Matching of objects with anchors, and the loss of a detector.

Scores are trained with quality focal loss (Li et al. 2020, "Generalized Focal Loss"): the target of an anchor's class
is the overlap that its own box has with the object, so that the best box of an object is also the best scored, which
is what suppression keeps. Boxes are trained with generalised IoU (Rezatofighi et al. 2019) and smooth L1.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from serverless_mlperf.models.architecture import PRIOR_VARIANCES, anchors, prior_boxes

MATCHED: Final = 0.5
"""From this overlap on an anchor has to find the object; every object has its best anchor in any case."""
IGNORED: Final = 0.4
"""From this overlap on an anchor may find it or not."""
_FOCUS: Final = 2.0
_L1_BEND: Final = 0.1
_L1_SHARE: Final = 0.3
_BOX_SHARE: Final = 2.0

_ANCHORS: Final = torch.from_numpy(anchors())
_CORNERS: Final = torch.from_numpy(prior_boxes())[:, [1, 0, 3, 2]]
_VARIANCES: Final = torch.tensor(PRIOR_VARIANCES)


def detector_loss(logits: Tensor, encodings: Tensor, kinds: Tensor, boxes: Tensor) -> Tensor:
    """Loss per matched anchor of a batch; kinds n x 4 (0: no object), boxes n x 4 x corners."""
    matches = torch.stack([matched(k, b) for k, b in zip(kinds, boxes, strict=True)])
    images, priors = torch.nonzero(matches >= 0, as_tuple=True)
    objects = matches[images, priors]
    truth, found = boxes[images, objects], encodings[images, priors]
    overlap, generalised = overlaps(decoded(found, priors), truth)
    bent = functional.smooth_l1_loss(found, encoded(truth, priors), beta=_L1_BEND, reduction="none").sum(1)
    targets = torch.zeros_like(logits)
    targets[images, priors, kinds[images, objects] - 1] = overlap.detach().clamp(0, 1)
    scores = _focal(logits, targets)[matches != _EITHER].sum()
    return (scores + _BOX_SHARE * (1 - generalised + _L1_SHARE * bent).sum()) / max(len(images), 1)


_NONE: Final = -1
_EITHER: Final = -2


def matched(kinds: Tensor, boxes: Tensor) -> Tensor:
    """Object that each anchor has to find: its slot, _NONE, or _EITHER."""
    overlap, _ = overlaps(_CORNERS[:, None], boxes[None])
    overlap[:, kinds == 0] = 0
    best, slots = overlap.max(1)
    slots = torch.where(best >= MATCHED, slots, torch.where(best >= IGNORED, _EITHER, _NONE))
    for slot in torch.nonzero(kinds)[:, 0]:
        slots[overlap[:, slot].argmax()] = slot
    return slots


def overlaps(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of boxes given by corners [ymin, xmin, ymax, xmax]."""
    shared = _area(torch.maximum(ours[..., :2], theirs[..., :2]), torch.minimum(ours[..., 2:], theirs[..., 2:]))
    hull = _area(torch.minimum(ours[..., :2], theirs[..., :2]), torch.maximum(ours[..., 2:], theirs[..., 2:]))
    union = _area(ours[..., :2], ours[..., 2:]) + _area(theirs[..., :2], theirs[..., 2:]) - shared
    overlap = shared / union.clamp(min=1e-9)
    return overlap, overlap - (hull - union) / hull.clamp(min=1e-9)


def encoded(boxes: Tensor, priors: Tensor) -> Tensor:
    """Encodings [y, x, height, width] of boxes relative to anchors."""
    anchor, sizes = _ANCHORS[priors], boxes[:, 2:] - boxes[:, :2]
    shift = ((boxes[:, 2:] + boxes[:, :2]) / 2 - anchor[:, :2]) / anchor[:, 2:]
    return torch.cat([shift, torch.log((sizes / anchor[:, 2:]).clamp(min=1e-6))], 1) / _VARIANCES


def decoded(encodings: Tensor, priors: Tensor) -> Tensor:
    """Boxes by corners from encodings."""
    anchor, steps = _ANCHORS[priors], encodings * _VARIANCES
    centres = anchor[:, :2] + steps[:, :2] * anchor[:, 2:]
    halves = anchor[:, 2:] * torch.exp(steps[:, 2:].clamp(max=4)) / 2
    return torch.cat([centres - halves, centres + halves], 1)


def _area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp(min=0).prod(-1)


def _focal(logits: Tensor, targets: Tensor) -> Tensor:
    entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return entropy * (torch.sigmoid(logits) - targets).abs() ** _FOCUS
