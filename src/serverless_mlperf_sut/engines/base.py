"""The seam to an inference engine, and the table of those that exist."""

from collections.abc import Sequence
import importlib
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[np.float32]

ENGINES: Final[dict[str, str]] = {
    "ie-ir": "serverless_mlperf_sut.engines.openvino:OpenVinoEngine",
    "ocv-cf": "serverless_mlperf_sut.engines.opencv:CaffeEngine",
    "ocv-tf": "serverless_mlperf_sut.engines.opencv:TensorFlowEngine",
    "fake": "serverless_mlperf_sut.engines.fake:FakeEngine",
}
"""Engine-and-format -> class, imported on use: a deployed function carries one engine only."""
PRECISIONS: Final = ("f32", "bf16")


class EngineError(Exception):
    """An engine cannot be had, or cannot do what was asked of it; the message is one line, whatever a vendor's was."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class Engine(Protocol):
    """One loaded model on one inference engine.

    Blocking; used from one thread; holds its threads and memory until the process ends. Constructing it imports
    the engine, which is most of a cold start, and so is timed on its own.
    """

    name: str
    version: str

    def load(self, files: Sequence[bytes], threads: int, precision: str) -> None:
        """Read a model from its files (structure first, weights second); raises EngineError."""

    def compile(self) -> None:
        """Make the model ready for this machine; raises EngineError. Nothing where the first inference does it."""

    def infer(self, batch: Tensor) -> Tensor:
        """Run the model on 1 x 3 x S x S: probabilities 1 x 1001, or DetectionOutput rows 1 x 1 x N x 7.

        The array returned is only good until the next call.
        """


def create(engine_and_format: str) -> Engine:
    """Import and construct an engine by its engine-and-format; raises EngineError."""
    if engine_and_format not in ENGINES:
        raise EngineError(f"unknown engine-and-format {engine_and_format!r}: one of {', '.join(ENGINES)}")
    module, _, name = ENGINES[engine_and_format].partition(":")
    try:
        engine: Engine = getattr(importlib.import_module(module), name)()
    except ImportError as error:
        raise EngineError(f"{engine_and_format} does not import ({error}): use the layer built for it") from error
    return engine
