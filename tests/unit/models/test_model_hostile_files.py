"""Model files that are damaged or another model's: the environment's initialisation fails, and says why in one line."""

from collections.abc import Iterator, Mapping, Sequence
import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from random_weights import save_random_weights

from serverless_mlperf.models.build import build_models
from serverless_mlperf.workloads import ENGINE_AND_FORMATS, TASKS, EngineAndFormat, Task
from serverless_mlperf_sut import images, service
from serverless_mlperf_sut.engines.base import EngineError, Tensor, create
from serverless_mlperf_sut.engines.fake import FakeEngine
from serverless_mlperf_sut.protocol import MODEL_FILES, MODEL_FOLDERS
from serverless_mlperf_sut.settings import Settings
from serverless_mlperf_sut.stopwatch import Stopwatch
from serverless_mlperf_sut.storage import MemoryStorage, Storage

Files = Sequence[bytes]
Models = Mapping[tuple[Task, EngineAndFormat], Files]
POINTS = [(task, engine) for task in TASKS for engine in ENGINE_AND_FORMATS]
every_point = pytest.mark.parametrize(("task", "engine"), POINTS)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    """The files of every task and engine, made of random weights."""
    with TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as folder:
        built = build_models(Path(folder) / "models", save_random_weights(Path(folder) / "weights")).folder
        yield {
            point: tuple((built / MODEL_FOLDERS[point[0]] / name).read_bytes() for name in MODEL_FILES[point])
            for point in POINTS
        }


def start(task: Task, engine: EngineAndFormat, files: Files, expected: Files = ()) -> service.Service:
    """Initialise an environment with these files in its bucket; `expected` are those that were deployed."""
    digests = tuple(hashlib.sha256(data).hexdigest() for data in expected)
    settings = Settings("b", engine, task, model_sha256=digests)
    storage: Storage = MemoryStorage(dict(zip(settings.model_keys, files, strict=True)))
    return service.start(settings, storage, create(engine), Stopwatch())


def refusal(task: Task, engine: EngineAndFormat, files: Files, expected: Files = ()) -> str:
    """Why the initialisation fails; the line must be one."""
    with pytest.raises(EngineError) as caught:
        start(task, engine, files, expected)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@every_point
def test_intact_files_initialise(models: Models, task: Task, engine: EngineAndFormat) -> None:
    """The files as built pass the checks of digest and shape."""
    start(task, engine, models[task, engine], models[task, engine])


@every_point
def test_cut_files_are_refused_by_the_engine(models: Models, task: Task, engine: EngineAndFormat) -> None:
    """Without any digest, each file at half its length is refused when the environment initialises."""
    files = models[task, engine]
    for index, data in enumerate(files):
        said = refusal(task, engine, [*files[:index], data[: len(data) // 2], *files[index + 1 :]])
        assert said.startswith(("OpenVINO cannot", "OpenCV cannot"))


@every_point
def test_empty_files_are_refused(models: Models, task: Task, engine: EngineAndFormat) -> None:
    """Without any digest, each file as an empty one is refused by the engine or by the shape of its answer."""
    files = models[task, engine]
    for index in range(len(files)):
        said = refusal(task, engine, [*files[:index], b"", *files[index + 1 :]])
        assert said.startswith(("OpenVINO cannot", "OpenCV cannot", "the model answers"))


@every_point
def test_flipped_bits_are_refused_by_their_digest(models: Models, task: Task, engine: EngineAndFormat) -> None:
    """One bit anywhere in a file, which engines would load without a word, is named with its key."""
    files = models[task, engine]
    for name, place in ((name, place) for name in MODEL_FILES[task, engine] for place in (0.0, 0.5, 0.999)):
        index = MODEL_FILES[task, engine].index(name)
        altered = bytearray(files[index])
        altered[int(place * len(altered))] ^= 4
        said = refusal(task, engine, [*files[:index], bytes(altered), *files[index + 1 :]], files)
        assert said.startswith(f"models/{MODEL_FOLDERS[task]}{name} is not the file that was deployed")
        assert said.endswith("upload the model again")


@every_point
def test_files_of_the_other_task_are_refused(models: Models, task: Task, engine: EngineAndFormat) -> None:
    """Under the right names but of the other network: the shape tells, before the first query."""
    other = models[TASKS[1 - TASKS.index(task)], engine]
    if len(other) < len(MODEL_FILES[task, engine]):  # a classifier's graph needs no text beside it
        other = (b"", *other)
    said = refusal(task, engine, other[-len(MODEL_FILES[task, engine]) :])
    assert said.startswith(("OpenVINO cannot infer", "OpenCV cannot infer", "the model answers"))
    if said.startswith("the model answers"):
        assert f"{task} needs 1 x " in said
        assert said.endswith("its files are those of another model")


class Answering(FakeEngine):
    """A model whose weights have become nonsense."""

    def __init__(self, answer: Tensor, always: bool = True) -> None:
        super().__init__()
        self._answer, self._always = answer, always

    def infer(self, batch: Tensor) -> Tensor:
        """The answer it was made with, to anything bright."""
        return self._answer if self._always or batch.max() > 0.1 else super().infer(batch)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("task", TASKS)
def test_answers_that_are_no_numbers_are_refused(task: Task, bad: float) -> None:
    """NaN and infinity, which no JSON holds, fail the initialisation."""
    if task == "classification":
        answer = np.full((1, 1001), bad, np.float32)
    else:
        answer = np.array([[[[0, 1, bad, 0, 0, 1, 1], [-1, 0, 0, 0, 0, 0, 0]]]], np.float32)
    with pytest.raises(EngineError, match="the model answers NaN or infinity: its weights are damaged"):
        service.start(Settings("b", "fake", task), MemoryStorage(), Answering(answer), Stopwatch())


@pytest.mark.parametrize("task", TASKS)
def test_nonsense_at_a_query_is_an_error_record(task: Task) -> None:
    """A model that fails on one picture only fails that query, and its output is never half written."""
    picture = images.encode(np.full((40, 60, 3), 200, np.uint8))
    storage = MemoryStorage({"coco/1.jpg": picture, "input/c/a.json": b'{"ImageFilenames": ["coco/1.jpg"]}'})
    answer = np.full((1, 1001) if task == "classification" else (1, 1, 1, 7), np.nan, np.float32)
    answer.flat[:2] = 1
    running = service.start(Settings("b", "fake", task), storage, Answering(answer, always=False), Stopwatch())
    assert running.handle({"Records": [{"s3": {"object": {"key": "input/c/a.json"}}}]}, "id-1")["errors"] == 1
    assert set(storage.objects) == {"coco/1.jpg", "failed/c/a.json", "output/c/errors/a.json"}
    assert b"EngineError" in storage.objects["output/c/errors/a.json"]
    assert b"NaN or infinity" in storage.objects["output/c/errors/a.json"]


@pytest.mark.parametrize(
    ("task", "shape", "shown"),
    [
        ("classification", (1, 1000), "1 x 1000, classification needs 1 x 1001"),
        ("classification", (1, 1, 143, 7), "1 x 1 x 143 x 7, classification needs 1 x 1001"),
        ("classification", (1, 1001, 4, 4), "1 x 1001 x 4 x 4, classification needs 1 x 1001"),
        ("object_detection", (1, 1001), "1 x 1001, object_detection needs 1 x 1 x N x 7"),
        ("object_detection", (1, 1, 100, 6), "1 x 1 x 100 x 6, object_detection needs 1 x 1 x N x 7"),
    ],
)
def test_shape_of_the_answer_is_the_tasks(task: Task, shape: tuple[int, ...], shown: str) -> None:
    """As many numbers in another shape are not taken for an answer: 1001 are 143 boxes, too."""
    engine = Answering(np.zeros(shape, np.float32))
    with pytest.raises(EngineError) as caught:
        service.start(Settings("b", "fake", task), MemoryStorage(), engine, Stopwatch())
    assert str(caught.value) == f"the model answers {shown}: its files are those of another model"
