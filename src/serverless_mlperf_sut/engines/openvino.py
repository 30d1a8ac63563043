"""OpenVINO on IR files."""

from collections.abc import Sequence

import numpy as np
import openvino as ov

from serverless_mlperf_sut.engines.base import PRECISIONS, EngineError, Tensor


class OpenVinoEngine:
    """OpenVINO's CPU plugin with one stream: the latency of one query at a time."""

    name = "openvino"

    def __init__(self) -> None:
        self.version = str(ov.__version__)
        self._core = ov.Core()
        self._model: ov.Model | None = None
        self._settings: dict[str, str | int | bool] = {}
        self._request: ov.InferRequest | None = None

    def load(self, files: Sequence[bytes], threads: int, precision: str) -> None:
        """Read an IR from memory."""
        if precision not in PRECISIONS:
            raise EngineError(f"OpenVINO: unknown precision {precision!r}: one of {', '.join(PRECISIONS)}")
        structure, weights = files
        try:
            model = self._core.read_model(structure, ov.Tensor(np.frombuffer(weights, np.uint8)))
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot load the model: {str(error).strip()[-300:]}") from error
        self._model, self._settings = model, _settings(threads, precision)

    def compile(self) -> None:
        """Compile the model for this CPU."""
        if self._model is None:
            raise EngineError("OpenVINO: compile before load")
        try:
            self._request = self._core.compile_model(self._model, "CPU", self._settings).create_infer_request()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot compile the model: {str(error).strip()[-300:]}") from error
        self._model = None  # its memory is the compiled one's now

    def infer(self, batch: Tensor) -> Tensor:
        """Run the compiled model; the result is a view of the request's own buffer."""
        if self._request is None:
            raise EngineError("OpenVINO: infer before load and compile")
        try:
            self._request.set_input_tensor(ov.Tensor(batch, shared_memory=True))
            self._request.infer()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot infer: {str(error).strip()[-300:]}") from error
        output: Tensor = self._request.get_output_tensor(0).data
        return output


def _settings(threads: int, precision: str) -> dict[str, str | int | bool]:
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        # Left alone, OpenVINO takes bf16 where the CPU has it: twice as fast, other answers.
        "INFERENCE_PRECISION_HINT": precision,
        # Which cores a function may use is the platform's business.
        "ENABLE_CPU_PINNING": False,
    }
