"""The training loop: AdamW under one cosine cycle, with a running mean of the weights, on two threads in bfloat16."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
import math
from pathlib import Path
import time
from typing import Any, Final

import numpy as np
from rendering import Rendered
import torch
from torch import Tensor

from serverless_mlperf.workloads import Task

WARMUP_SHARE: Final = 0.06
WEIGHT_DECAY: Final = 1e-4
MEAN_DECAY: Final = 0.995
"""The weights that are kept are a mean over about the last 200 steps."""
GRADIENT_LIMIT: Final = 10.0
RECALIBRATION_BATCH: Final = 32
RECALIBRATION_BATCHES: Final = 30
_PRINT_EVERY: Final = 50

Batch = tuple[Tensor, Tensor, Tensor]
"""Pixels, kinds, boxes."""
Loss = Callable[[Any, Tensor, Tensor], Tensor]
"""Of a network's output, kinds and boxes."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast a task is trained."""

    epochs: int
    batch: int
    peak_rate: float


SCHEDULES: Final[dict[Task, Schedule]] = {
    "classification": Schedule(epochs=5, batch=32, peak_rate=4e-3),
    "object_detection": Schedule(epochs=4, batch=16, peak_rate=2e-3),
}


def train(
    network: Any, loss_of: Loss, training: Rendered, validation: Rendered, schedule: Schedule, kept: Path, seed: int
) -> None:
    """Train; the mean network's state is written to `kept` after every epoch, fit for use if training is cut off."""
    rng, learner = np.random.default_rng(seed), Learner(network, loss_of, schedule.peak_rate)
    for epoch in range(schedule.epochs):
        learner.run_epoch(epoch, schedule, training, rng)
        recalibrate(learner.mean.module, training)
        kept.parent.mkdir(parents=True, exist_ok=True)
        torch.save(learner.mean.module.state_dict(), kept)
        loss = _mean_loss(learner.mean.module, loss_of, validation)
        print(f"epoch {epoch + 1}: validation loss {loss:.4f}", flush=True)


class Learner:
    """A network under training, its optimiser and the running mean of its weights."""

    def __init__(self, network: Any, loss_of: Loss, peak_rate: float) -> None:
        self.network = network.to(memory_format=torch.channels_last).train()
        averaging = torch.optim.swa_utils.get_ema_multi_avg_fn(MEAN_DECAY)
        self.mean = torch.optim.swa_utils.AveragedModel(self.network, multi_avg_fn=averaging)
        self.optimiser = torch.optim.AdamW(_groups(network), lr=peak_rate)
        self.loss_of = loss_of

    def run_epoch(self, epoch: int, schedule: Schedule, training: Rendered, rng: np.random.Generator) -> None:
        """See every picture once."""
        step_count, begin = len(training.kinds) // schedule.batch, time.monotonic()
        for step, batch in enumerate(batches(training, schedule.batch, rng)):
            rate = schedule.peak_rate * rate_share((epoch + step / step_count) / schedule.epochs)
            loss = self._step(batch, rate)
            if step % _PRINT_EVERY == 0:
                passed = f"{time.monotonic() - begin:.0f} s"
                print(f"epoch {epoch + 1}, step {step} of {step_count}, {passed}: loss {loss:.3f}", flush=True)

    def _step(self, batch: Batch, rate: float) -> float:
        pixels, kinds, boxes = batch
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16):
            output = self.network(pixels)
        loss = self.loss_of(output, kinds, boxes)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_LIMIT)
        self.optimiser.step()
        self.mean.update_parameters(self.network)
        return float(loss.item())


def recalibrate(network: Any, pictures: Rendered) -> None:
    """Measure the statistics of normalisation anew: those of the steps do not fit the mean weights."""
    norms = [module for module in network.train().modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        if norm.training:  # a frozen layer's are part of it
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over all that follows
    some = batches(pictures, RECALIBRATION_BATCH, np.random.default_rng(0))
    with torch.no_grad():
        for _, (pixels, _, _) in zip(range(RECALIBRATION_BATCHES), some, strict=False):
            network(pixels)
    network.eval()


def rate_share(done: float) -> float:
    """Share of the peak learning rate when a share of the steps is done."""
    if done < WARMUP_SHARE:
        return done / WARMUP_SHARE
    return 0.5 + 0.5 * math.cos(math.pi * (done - WARMUP_SHARE) / (1 - WARMUP_SHARE))


def batches(pictures: Rendered, size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """An epoch in random order: half mirrored, colours exchanged; shapes are their own mirror images."""
    order = rng.permutation(len(pictures.kinds))
    for begin in range(0, len(order) - size + 1, size):
        chosen = np.sort(order[begin : begin + size])
        pixels, boxes = pictures.pixels[chosen], pictures.boxes[chosen].copy()
        mirrored = rng.random(size) < 0.5
        pixels[mirrored] = pixels[mirrored, :, ::-1]
        boxes[mirrored] = boxes[mirrored][..., [0, 3, 2, 1]] * (1, -1, 1, -1) + (0, 1, 0, 1)
        pixels = pixels[..., rng.permutation(3)]
        yield _normalised(pixels), torch.from_numpy(pictures.kinds[chosen]), torch.from_numpy(boxes)


def _normalised(pixels: Any) -> Tensor:
    """-1..1, n x 3 x S x S over memory that is n x S x S x 3: the order convolutions are fastest in."""
    return (torch.from_numpy(np.array(pixels)).float() / 127.5 - 1).permute(0, 3, 1, 2)


def _groups(network: Any) -> list[dict[str, Any]]:
    """Kernels decay towards zero; biases and the scales of normalisation do not."""
    kernels = [p for p in network.parameters() if p.ndim > 1 and p.requires_grad]
    others = [p for p in network.parameters() if p.ndim <= 1 and p.requires_grad]
    return [{"params": kernels, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]


def _mean_loss(network: Any, loss_of: Loss, pictures: Rendered) -> float:
    network.eval()
    losses = []
    with torch.no_grad():
        for begin in range(0, len(pictures.kinds), 32):
            part = slice(begin, begin + 32)
            kinds, boxes = torch.from_numpy(pictures.kinds[part]), torch.from_numpy(pictures.boxes[part])
            losses.append(loss_of(network(_normalised(pictures.pixels[part])), kinds, boxes).item())
    return float(np.mean(losses))


def loss_for(task: Task) -> Loss:
    """The loss of a task."""
    if task == "classification":
        return lambda logits, kinds, _: torch.nn.functional.cross_entropy(logits, kinds)
    from anchors import detector_loss

    return lambda output, kinds, boxes: detector_loss(output[0], output[1], kinds, boxes)
