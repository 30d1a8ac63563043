"""OpenCV's DNN module on Caffe and TensorFlow files."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
import os
from typing import Any, Protocol

import numpy as np

from serverless_mlperf_sut.engines.base import EngineError, Tensor

# Read once, when cv2 is loaded. Idle workers would spin into the phases that follow an inference (0.2 ms of CPU per
# query on 2 cores); the main thread's own waiting is left as it is: without it inference is 5 % slower.
os.environ.setdefault("OPENCV_THREAD_POOL_ACTIVE_WAIT_WORKER", "0")

import cv2


class _Net(Protocol):
    def setInput(self, blob: Tensor) -> None: ...  # noqa: N802 - OpenCV's spelling
    def forward(self) -> Tensor: ...


class _OpenCvEngine(ABC):
    """What both formats share: OpenCV's own backend on the CPU, f32 only."""

    name = "opencv"

    def __init__(self) -> None:
        self.version = str(cv2.__version__)
        self._net: _Net | None = None

    def load(self, files: Sequence[bytes], threads: int, precision: str) -> None:
        """Read a network from memory."""
        if precision != "f32":
            raise EngineError(f"OpenCV computes in f32 on a CPU, not {precision!r}: set SUT_PRECISION=f32")
        cv2.setNumThreads(threads)
        try:
            net = self._read([np.frombuffer(file, np.uint8) for file in files])
            net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
            net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
        except cv2.error as error:
            raise EngineError(f"OpenCV cannot load the model: {str(error).strip()[-300:]}") from error
        self._net = net

    def compile(self) -> None:
        """Check that there is a network: OpenCV prepares its layers in the first inference."""
        if self._net is None:
            raise EngineError("OpenCV: compile before load")

    def infer(self, batch: Tensor) -> Tensor:
        """Run the network to its last layer."""
        if self._net is None:
            raise EngineError("OpenCV: infer before load")
        try:
            self._net.setInput(batch)
            return self._net.forward()
        except cv2.error as error:
            raise EngineError(f"OpenCV cannot infer: {str(error).strip()[-300:]}") from error

    @abstractmethod
    def _read(self, files: list[Any]) -> Any:
        """Hand the files, structure first, to OpenCV's reader of the format."""


class CaffeEngine(_OpenCvEngine):
    """A prototxt and a caffemodel."""

    def _read(self, files: list[Any]) -> Any:
        structure, weights = files
        return cv2.dnn.readNetFromCaffe(structure, weights)


class TensorFlowEngine(_OpenCvEngine):
    """A frozen graph, for detection with a text graph that names the layers OpenCV replaces."""

    def _read(self, files: list[Any]) -> Any:
        *structure, weights = files
        return cv2.dnn.readNetFromTensorflow(weights, *structure)
