"""Weights become model files under the seed's names: built, and kept in the cache."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import hashlib
from importlib.metadata import version
from importlib.resources import files as package_files
from pathlib import Path
import platform
import shutil
from typing import Final

from serverless_mlperf.cache import cache_section, close_to_others, is_ours
from serverless_mlperf.errors import HostError
from serverless_mlperf.models.architecture import Array, mobilenet_v1, ssd_mobilenet_v1
from serverless_mlperf.models.export_caffe import write_caffe
from serverless_mlperf.models.export_onnx import write_onnx
from serverless_mlperf.models.export_openvino import write_openvino
from serverless_mlperf.models.export_tensorflow import write_tensorflow
from serverless_mlperf.models.manifest import (
    MANIFEST,
    Manifest,
    WeightsEntry,
    described_files,
    read_manifest,
    verify_models,
    write_manifest,
)
from serverless_mlperf.models.weights import EMBEDDED, load_weights, weights_digest
from serverless_mlperf.owner import own_folder
from serverless_mlperf.workloads import TASKS, Task
from serverless_mlperf_sut.protocol import MODEL_FILES, MODEL_FOLDERS

__all__ = [
    "ONNX_FILES",
    "ModelSet",
    "build_models",
    "cached_models",
    "exporter_version",
    "read_models",
    "verify_models",
]

ONNX_FILES: Final[dict[Task, str]] = {
    "classification": "mobilenet_v1_224_frozen.onnx",
    "object_detection": "ssdmobilenet_V1_coco.onnx",
}
"""For ONNX Runtime, the reference of the tests; no function reads them."""
_TOOLS: Final = ("numpy", "openvino")
_EXPORTER_SOURCES: Final = (
    "architecture.py",
    "protobuf.py",
    "export_caffe.py",
    "export_onnx.py",
    "export_openvino.py",
    "export_tensorflow.py",
)


@dataclass(frozen=True, slots=True)
class ModelSet:
    """A folder of model files and where they came from."""

    folder: Path
    weights_source: str
    """Folder of the weights, or `embedded`."""
    weights_digest: str
    files: dict[str, str]
    """Path below the folder -> SHA-256."""


def build_models(output: Path, weights: Path | None, tasks: Sequence[Task] = TASKS) -> ModelSet:
    """Write every model file and the manifest; other files in `output` are left alone.

    All is written to a folder beside `output` first, so that a failure leaves nothing half done.
    """
    return _build(output, weights, {task: load_weights(weights, task) for task in tasks})


def cached_models(weights: Path | None, tasks: Sequence[Task] = TASKS) -> ModelSet:
    """The model files of these weights, built only if the cache lacks them or holds damaged ones."""
    arrays = {task: load_weights(weights, task) for task in sorted(tasks)}
    folder = cache_section("models") / f"{weights_digest(*arrays.values())[:16]}-{exporter_version()[:16]}"
    if folder.is_dir():
        if is_ours(folder) and not verify_models(folder):
            return read_models(folder)
        shutil.rmtree(folder)
    built = _build(folder, weights, arrays)
    close_to_others(folder)
    return built


def read_models(folder: Path) -> ModelSet:
    """A folder's models as its manifest describes them; the files themselves are not looked at."""
    manifest = read_manifest(folder)
    digests = {name: entry.sha256 for name, entry in manifest.files.items()}
    return ModelSet(folder, manifest.weights.source, manifest.weights.digest, digests)


def exporter_version() -> str:
    """Digest of what turns weights into files: our exporters' sources and OpenVINO's version."""
    sources = package_files("serverless_mlperf.models")
    digest = hashlib.sha256(version("openvino").encode())
    for name in _EXPORTER_SOURCES:
        digest.update((sources / name).read_bytes())
    return digest.hexdigest()


def _build(output: Path, source: Path | None, arrays: Mapping[Task, Mapping[str, Array]]) -> ModelSet:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with own_folder(f".{output.name}-", output.parent) as scratch:
            _fill(scratch / "models", source, arrays)
            _publish(scratch / "models", output)
    except OSError as error:
        raise HostError(
            f"{output}: models cannot be written ({error}); free 200 MB or choose another folder"
        ) from error
    return read_models(output)


def _fill(folder: Path, source: Path | None, arrays: Mapping[Task, Mapping[str, Array]]) -> None:
    for task, weights in arrays.items():
        _write_task(folder / MODEL_FOLDERS[task], task, weights)
    write_manifest(folder, _described(folder, source, weights_digest(*arrays.values())))


def _write_task(folder: Path, task: Task, weights: Mapping[str, Array]) -> None:
    folder.mkdir(parents=True)
    paths = {engine: [folder / name for name in MODEL_FILES[task, engine]] for engine in ("ie-ir", "ocv-cf", "ocv-tf")}
    network = mobilenet_v1(weights) if task == "classification" else ssd_mobilenet_v1(weights)
    write_tensorflow(network, *paths["ocv-tf"])
    write_openvino(network, paths["ie-ir"][0])
    write_caffe(network, *paths["ocv-cf"])
    write_onnx(network, folder / ONNX_FILES[task])


def _described(folder: Path, source: Path | None, digest: str) -> Manifest:
    return Manifest(
        weights=WeightsEntry(source=EMBEDDED if source is None else str(source.resolve()), digest=digest),
        exporter=exporter_version(),
        tools={"python": platform.python_version(), **{name: version(name) for name in _TOOLS}},
        files=described_files(folder),
    )


def _publish(partial: Path, output: Path) -> None:
    """Move the finished files to their place: as a whole, or one by one into a folder that is already there."""
    if not output.exists():
        try:
            partial.rename(output)
        except OSError:
            # Another build of the same weights may have been quicker; its files serve as well as ours.
            if verify_models(output):
                raise
        return
    (output / MANIFEST).unlink(missing_ok=True)
    names = sorted(path.relative_to(partial) for path in partial.rglob("*") if path.is_file())
    for name in [*(n for n in names if n != Path(MANIFEST)), Path(MANIFEST)]:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (partial / name).replace(output / name)
