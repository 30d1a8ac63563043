"""A function and one layer, unpacked and alone, do the whole work of a query."""

from collections.abc import Iterator
from io import BytesIO
import json
from pathlib import Path
import subprocess
import sys
import sysconfig
from tempfile import TemporaryDirectory
from typing import Any

from package_builds import SITE_PACKAGES
import pytest

from serverless_mlperf import packages
from serverless_mlperf.datasets.synthetic import JPEG_QUALITY, picture
from serverless_mlperf.models.build import ModelSet, cached_models
from serverless_mlperf.workloads import ENGINE_AND_FORMATS, TASKS, EngineAndFormat, Task
from serverless_mlperf_sut.protocol import MODEL_FILES, MODEL_FOLDERS

QUERY = {"CompletedPath": "completed/c", "ImageFilenames": ["synthetic/1.jpg"], "OutputPath": "output/c"}
PROBE = """
import json, sys
from pathlib import Path
engine_and_format, task, objects, *folders = sys.argv[1:]
stdlib = [path for path in sys.path if path and "-packages" not in path]
sys.path[:] = [*folders, *stdlib]
from serverless_mlperf_sut import service
from serverless_mlperf_sut.engines.base import create
from serverless_mlperf_sut.settings import Settings
from serverless_mlperf_sut.stopwatch import Stopwatch
from serverless_mlperf_sut.storage import MemoryStorage
bucket = {str(p.relative_to(objects)): p.read_bytes() for p in Path(objects).rglob("*") if p.is_file()}
storage = MemoryStorage(bucket)
settings = Settings("bucket", engine_and_format, task, threads=2)
started = service.start(settings, storage, create(engine_and_format), Stopwatch())
event = {"Records": [{"s3": {"object": {"key": "input/c/1.json"}}}]}
assert started.handle(event, "id") == {"delivered": 1, "errors": 0, "duplicates": 0}, storage.objects
files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
mapped = {line.split()[-1] for line in open("/proc/self/maps") if line.rstrip().endswith(".so")}
print(json.dumps({"output": json.loads(storage.objects["output/c/1.json"]), "files": [f for f in files if f],
                  "mapped": sorted(mapped)}))
"""


@pytest.fixture(scope="module")
def models() -> ModelSet:
    """The embedded weights as every engine reads them."""
    return cached_models(None)


@pytest.fixture(scope="module", params=ENGINE_AND_FORMATS)
def unpacked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """An engine-and-format, and a folder with the function in `task` and its layer in `opt`."""
    function, layer = packages.cached_packages(request.param)
    with TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as folder:
        packages.unpack(function.path, Path(folder) / "task")
        packages.unpack(layer.path, Path(folder) / "opt")
        yield request.param, Path(folder)


def bucket(folder: Path, models: ModelSet, engine: EngineAndFormat, task: Task) -> tuple[Path, dict[str, Any]]:
    """A folder as the bucket of one query for a photograph-like JPEG; returns it with the picture's truth."""
    image, truth = picture(task, 8, 0)
    jpeg = BytesIO()
    image.save(jpeg, "JPEG", quality=JPEG_QUALITY)
    model_names = [MODEL_FOLDERS[task] + name for name in MODEL_FILES[task, engine]]
    objects = {f"models/{name}": (models.folder / name).read_bytes() for name in model_names}
    objects |= {"synthetic/1.jpg": jpeg.getvalue(), "input/c/1.json": json.dumps(QUERY).encode()}
    for key, data in objects.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(data)
    return folder, truth


@pytest.mark.parametrize("task", TASKS)
def test_function_and_layer_alone_serve_a_query(
    unpacked: tuple[EngineAndFormat, Path], task: Task, models: ModelSet, tmp_path: Path
) -> None:
    """With nothing else on the path they decode, infer and answer right; no module or library is from elsewhere."""
    engine, folder = unpacked
    objects, truth = bucket(tmp_path / "bucket", models, engine, task)
    paths = [str(folder / "task"), str(folder / "opt" / SITE_PACKAGES)]
    (tmp_path / "elsewhere").mkdir()
    command = [sys.executable, "-S", "-E", "-s", "-B", "-c", PROBE, engine, task, str(objects), *paths]
    done = subprocess.run(command, env={}, cwd=tmp_path / "elsewhere", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    rows = said["output"]["result"]
    if task == "classification":
        assert rows[0][0] == truth["label"] + 1
    else:
        assert {box[0] for box in truth["boxes"]} <= {row[1] for row in rows if row[2] > 0.5}
    stdlib = sysconfig.get_path("stdlib")
    for file in (*said["files"], *(name for name in said["mapped"] if "-packages" in name)):
        assert file.startswith((*paths, f"{stdlib}/"))
        assert not file.startswith((f"{stdlib}/site-packages", f"{stdlib}/dist-packages"))


def test_compiled_modules_are_what_runs(tmp_path: Path) -> None:
    """A source that unpacking gave another time and content is not looked at: its .pyc is taken unchecked."""
    function = packages.cached_packages("fake")[0]
    packages.unpack(function.path, tmp_path)
    (tmp_path / "serverless_mlperf_sut/protocol.py").write_text("raise SystemExit('the source was read')")
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; import serverless_mlperf_sut.protocol as p; print(p.__file__)"
    )
    command = [sys.executable, "-S", "-E", "-s", "-B", "-c", code]
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(tmp_path / "serverless_mlperf_sut/protocol.py"), done.stderr
