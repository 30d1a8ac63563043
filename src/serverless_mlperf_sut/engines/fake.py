"""A deterministic engine without a model: for tests, and for measuring everything but inference."""

from collections.abc import Sequence

import numpy as np

from serverless_mlperf_sut.engines.base import EngineError, Tensor
from serverless_mlperf_sut.images import INPUT_SIZES
from serverless_mlperf_sut.postprocess import CLASSES


class FakeEngine:
    """Answers by the mean colour of the input, in the shape the task would have."""

    name = "fake"
    version = "1"

    def __init__(self) -> None:
        self.loaded: tuple[int, int, str] | None = None

    def load(self, files: Sequence[bytes], threads: int, precision: str) -> None:
        """Note what was asked for."""
        if precision != "f32":
            raise EngineError(f"the fake engine computes in f32, not {precision!r}")
        self.loaded = (len(files), threads, precision)

    def compile(self) -> None:
        """There is nothing to compile."""

    def infer(self, batch: Tensor) -> Tensor:
        """One class for sure, or one box and one row of padding."""
        level = int((float(batch.mean()) + 1) / 2 * 255)
        if batch.shape[-1] == INPUT_SIZES["classification"]:
            answer = np.zeros((1, CLASSES), np.float32)
            answer[0, 1 + level] = 1
            return answer
        row = [0, 1 + level % 90, 0.5, 0.25, -0.1, 0.75, 1.1]
        return np.array([[[row, [-1, 0, 0, 0, 0, 0, 0]]]], np.float32)
