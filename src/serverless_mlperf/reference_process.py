"""The FP32 model over a list of images: `python -m serverless_mlperf.reference_process`, started by reference.py.

Reads `{"task", "model", "images"}` as JSON from stdin; writes one line per image, in order: the answer's bytes as
LoadGen would log them, in hex. Decoding, pre-processing and the form of results are the function's own code; only the
engine is another: ONNX Runtime, in FP32, on all cores. Exit status: 0 done, 2 an input cannot be read (one line on
stderr).
"""

import json
import os
from pathlib import Path
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
import onnxruntime

from serverless_mlperf.mlperf.responses import ROW_ENCODERS
from serverless_mlperf.workloads import Task
from serverless_mlperf_sut.images import Batch, decode, preprocess
from serverless_mlperf_sut.postprocess import postprocess
from serverless_mlperf_sut.protocol import QueryError

_ERRORS_ONLY = 3


def answer(session: Any, task: Task, index: int, image: bytes) -> bytes:
    """The model's answer to one image file; raises QueryError when it is none."""
    outputs = session.run(None, {"input": preprocess(task, decode(image))})
    return ROW_ENCODERS[task](index, postprocess(task, _as_engine_output(outputs)))


def open_session(model: Path) -> Any:
    """ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    options.log_severity_level = _ERRORS_ONLY
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _as_engine_output(outputs: list[NDArray[Any]]) -> Batch:
    """Probabilities as they are; boxes, scores and classes as DetectionOutput's rows."""
    if len(outputs) == 1:
        return np.asarray(outputs[0], np.float32)
    boxes, scores, classes = outputs
    return np.column_stack([np.zeros_like(scores), classes, scores, boxes]).astype(np.float32)


def main() -> int:
    """Answer every image; the exit status."""
    request = json.load(sys.stdin)
    session = open_session(Path(request["model"]))
    for index, name in enumerate(request["images"]):
        try:
            data = answer(session, request["task"], index, Path(name).read_bytes())
        except (OSError, QueryError) as error:
            sys.stderr.write(f"image {name}: {error}")
            return 2
        try:
            sys.stdout.write(data.hex() + "\n")
            sys.stdout.flush()
        except BrokenPipeError:  # nobody waits for the answers any more
            os._exit(1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
