"""What an experiment needs before anything is deployed: models, packages, data sets, and their object keys."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from serverless_mlperf.config import ExperimentConfig
from serverless_mlperf.datasets.base import Dataset, load_dataset
from serverless_mlperf.models.build import ModelSet, cached_models
from serverless_mlperf.packages import Package
from serverless_mlperf.reference import Reference, cached_reference
from serverless_mlperf.workloads import WORKLOADS, Architecture, EngineAndFormat, Task
from serverless_mlperf_sut.protocol import MODEL_FILES, MODEL_FOLDERS

MODELS_PREFIX = "models/"

Packages = Callable[[EngineAndFormat, Architecture], tuple[Package, Package]]
"""The function's zip and an engine's layer, as the platform wants them."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """Everything that is built or read before the platform starts."""

    models: ModelSet
    datasets: Mapping[Task, Dataset]
    function: Package
    layers: Mapping[tuple[EngineAndFormat, Architecture], Package]
    references: Mapping[Task, Reference]
    """The FP32 model's answers, for the tasks whose runs are held against them."""

    def objects(self) -> dict[str, Path]:
        """Object key -> file: the models that the cells read, and the images."""
        return {**dict(self._model_objects()), **dict(self._image_objects())}

    def digests(self) -> dict[str, object]:
        """What a result names so that it can be reproduced."""
        return {
            "weights": {"source": self.models.weights_source, "sha256": self.models.weights_digest},
            "models": dict(self.models.files),
            "packages": {p.path.name: p.sha256 for p in (self.function, *self.layers.values())},
            "datasets": {
                t: {"name": d.name, "samples": len(d.samples), "sha256": d.digest} for t, d in self.datasets.items()
            },
            "references": {t: asdict(reference) for t, reference in self.references.items()},
        }

    def model_digests(self, task: Task, engine: EngineAndFormat) -> list[str]:
        """SHA-256 of the files that a function loads, structure first: it holds what it fetched against them."""
        return [self.models.files[MODEL_FOLDERS[task] + name] for name in MODEL_FILES[task, engine]]

    def _model_objects(self) -> Iterator[tuple[str, Path]]:
        for task in self.datasets:
            for engine in dict.fromkeys(engine for engine, _ in self.layers):
                for name in MODEL_FILES[task, engine]:
                    path = MODEL_FOLDERS[task] + name
                    yield MODELS_PREFIX + path, self.models.folder / path

    def _image_objects(self) -> Iterator[tuple[str, Path]]:
        for dataset in self.datasets.values():
            for sample in dataset.samples:
                yield sample.key, sample.path


def prepare(config: ExperimentConfig, build: Packages, say: Callable[[str], None]) -> Preparation:
    """Build or take from the cache what the experiment needs, saying what it does."""
    say("models: " + (str(config.weights) if config.weights else "embedded weights"))
    models = cached_models(config.weights, config.tasks)
    datasets = {task: _dataset(config, task, say) for task in config.tasks}
    say("packages: function and " + ", ".join(dict.fromkeys(config.engine_and_formats)) + " layers")
    function, layers = _packages(config, build)
    references = {t: cached_reference(models, d, say) for t, d in datasets.items() if _is_compared(config, d)}
    return Preparation(models, datasets, function, layers, references)


def prepare_functions(config: ExperimentConfig, build: Packages) -> Preparation:
    """What is needed to deploy and not more: no data set is read, and no reference computed."""
    function, layers = _packages(config, build)
    return Preparation(cached_models(config.weights, config.tasks), {}, function, layers, {})


def _packages(
    config: ExperimentConfig, build: Packages
) -> tuple[Package, dict[tuple[EngineAndFormat, Architecture], Package]]:
    """The function's zip and the layers of all cells, each once."""
    points = dict.fromkeys((cell.engine_and_format, cell.architecture) for cell in config.cells)
    packages = {point: build(*point) for point in points}
    return next(iter(packages.values()))[0], {point: layer for point, (_, layer) in packages.items()}


def _dataset(config: ExperimentConfig, task: Task, say: Callable[[str], None]) -> Dataset:
    """The images of one task: the whole of a folder where answers are scored, else the first `samples`."""
    count, exactly = None if config.takes_whole_folder else config.images_at_most, config.samples is not None
    dataset = load_dataset(config.dataset, task, config.input_dataset, count, config.seed, exactly=exactly)
    say(f"data set: {config.dataset}, {len(dataset.samples)} images for {task}")
    return dataset


def _is_compared(config: ExperimentConfig, dataset: Dataset) -> bool:
    """Whether a run can query the whole data set: accuracy runs do, others repeat the samples LoadGen keeps ready."""
    length = config.run_length
    ready = WORKLOADS[dataset.task].performance_sample_count >= len(dataset.samples)
    enough = length.min_duration_s > 0 or length.queries * config.samples_per_query >= len(dataset.samples)
    return config.mode in ("accuracy", "test01") or (ready and enough)
