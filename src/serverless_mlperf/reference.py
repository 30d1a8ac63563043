"""The reference of a run's accuracy: the same network in FP32, in ONNX Runtime, on the same images.

MLPerf's targets are relative to the FP32 model. Ours is the ONNX file that is exported from the same weights as the
engines' files, behind the function's own decoder and pre-processing, and with the same post-processing: the detector's
graph cuts every class to its best 100 boxes of score > .3 before suppression, as DetectionOutput does in the engines'
files (NonMaxSuppression alone would not). So a ratio below 1 is the doing of engine, precision or platform, never of
another model or another NMS; it says nothing about how good the weights are.

Computed once per model, data set and code, in a process of its own before anything is deployed, and kept in the cache
as answers; scores are computed from them anew.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
import hashlib
from importlib.metadata import version
from importlib.resources import files
import json
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time
from typing import IO, Final

from serverless_mlperf.accuracy import Accuracy, score
from serverless_mlperf.cache import cache_section, is_ours
from serverless_mlperf.datasets.base import Dataset
from serverless_mlperf.errors import DatasetError, RunError
from serverless_mlperf.models.build import ONNX_FILES, ModelSet
from serverless_mlperf.owner import this_process
from serverless_mlperf_sut.protocol import MODEL_FOLDERS

Say = Callable[[str], None]

SAY_EVERY_S: Final = 5.0
_BAD_INPUT: Final = 2
_SOURCES: Final = (
    ("serverless_mlperf", "reference_process.py"),
    ("serverless_mlperf.mlperf", "responses.py"),
    ("serverless_mlperf_sut", "images.py"),
    ("serverless_mlperf_sut", "postprocess.py"),
)
"""What turns images into answers, beside the model."""
_QUIET: Final = {"ORT_DISABLE_TELEMETRY": "1"}
"""Without it ONNX Runtime 1.32 reports its use to its maker, and leaves a session file among the temporary ones."""
_TOOLS: Final = ("onnxruntime", "numpy", "pillow")


@dataclass(frozen=True, slots=True)
class Reference:
    """What the FP32 model says to every sample of a data set."""

    accuracy: Accuracy
    inputs: Mapping[str, str]
    """Digests and versions of everything it was computed from."""


def cached_reference(models: ModelSet, dataset: Dataset, say: Say) -> Reference:
    """The reference of a data set, computed only if the cache lacks it or holds a damaged one.

    Blocking: uses all cores for about 10 ms per image. Raises DatasetError for an image that cannot be read, RunError
    when the process fails.
    """
    model = MODEL_FOLDERS[dataset.task] + ONNX_FILES[dataset.task]
    inputs = _inputs(models.files[model], dataset)
    path = cache_section("references") / f"{dataset.task}-{_digest(json.dumps(inputs))[:16]}.json"
    answers = _kept(path, inputs, len(dataset.samples))
    say(f"reference: FP32 model, {len(dataset.samples)} images for {dataset.task}{', from the cache' * bool(answers)}")
    if not answers:
        answers = _computed(models.folder / model, dataset, say)
        _keep(path, inputs, answers)
    return Reference(score(dataset, dict(enumerate(map(bytes.fromhex, answers)))), inputs)


def _inputs(model_digest: str, dataset: Dataset) -> dict[str, str]:
    """The model's file follows from weights and exporter, so that its digest stands for both."""
    sources = {name: _digest((files(package) / name).read_text()) for package, name in _SOURCES}
    return {
        "model": model_digest,
        "dataset": dataset.digest,
        **sources,
        **{name: version(name) for name in _TOOLS},
    }


def _kept(path: Path, inputs: Mapping[str, str], count: int) -> list[str]:
    """Answers in hex; empty if there are none, or not those that were written: they are computed again then."""
    try:
        if not is_ours(path):
            return []
        kept = json.loads(path.read_text())
        answers = [str(answer) for answer in kept["answers"]]
        whole = kept["inputs"] == inputs and kept["sha256"] == _digest("".join(answers)) and len(answers) == count
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return answers if whole else []


def _keep(path: Path, inputs: Mapping[str, str], answers: list[str]) -> None:
    partial = path.with_name(f"{path.name}.{this_process().mark}.partial")
    partial.write_text(json.dumps({"inputs": inputs, "sha256": _digest("".join(answers)), "answers": answers}))
    partial.chmod(0o644)  # whatever our umask allows: what others can write to is not believed
    partial.replace(path)


def _computed(model: Path, dataset: Dataset, say: Say) -> list[str]:
    """Answers in hex, from the process; whatever ends this, ends the process."""
    images = [str(sample.path) for sample in dataset.samples]
    with tempfile.TemporaryFile("w+") as request, tempfile.TemporaryFile("w+") as errors:
        json.dump({"task": dataset.task, "model": str(model), "images": images}, request)
        request.seek(0)
        command = [sys.executable, "-P", "-m", "serverless_mlperf.reference_process"]
        process = subprocess.Popen(
            command, stdin=request, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **_QUIET}
        )
        try:
            answers = list(_followed(process, len(images), say))
            status = process.wait()
        finally:
            _end(process)
        _check(status, errors)
    return answers


def _followed(process: subprocess.Popen[str], total: int, say: Say) -> Iterator[str]:
    said_s = time.monotonic()
    for done, line in enumerate(process.stdout or (), 1):
        yield line.strip()
        if time.monotonic() - said_s >= SAY_EVERY_S:
            said_s = time.monotonic()
            say(f"reference: {done} of {total} images")


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _check(status: int, errors: IO[str]) -> None:
    if status == 0:
        return
    errors.seek(0)
    said = " | ".join(errors.read()[-2000:].split("\n")).strip(" |")
    if status == _BAD_INPUT:
        raise DatasetError(f"{said}; repair or remove it")
    raise RunError(f"the FP32 reference was not computed (status {status}): {said or 'it said nothing'}; try again")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
