"""A function and its layer with nothing else on the path, under any Python: one query, and where its code came from."""

from io import BytesIO
import json
from pathlib import Path
import subprocess
from typing import Any

from serverless_mlperf.datasets.synthetic import JPEG_QUALITY, picture
from serverless_mlperf.models.build import ModelSet
from serverless_mlperf.workloads import EngineAndFormat, Task
from serverless_mlperf_sut.protocol import MODEL_FILES, MODEL_FOLDERS

QUERY = {"CompletedPath": "completed/c", "ImageFilenames": ["synthetic/1.jpg"], "OutputPath": "output/c"}
PROBE = """
import json, sys, sysconfig
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
                  "mapped": sorted(mapped), "stdlib": sysconfig.get_path("stdlib")}))
"""


def assert_serves_alone(
    python: str, unpacked: Path, site_packages: str, engine: EngineAndFormat, task: Task, models: ModelSet, place: Path
) -> None:
    """Unpacked in `task` and `opt`, they decode, infer and answer right; no module or library is from elsewhere."""
    objects, truth = _bucket(place / "bucket", models, engine, task)
    paths = [str(unpacked / "task"), str(unpacked / "opt" / site_packages)]
    (place / "elsewhere").mkdir()
    command = [python, "-S", "-E", "-s", "-B", "-c", PROBE, engine, task, str(objects), *paths]
    done = subprocess.run(command, env={}, cwd=place / "elsewhere", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    rows = said["output"]["result"]
    if task == "classification":
        assert rows[0][0] == truth["label"] + 1
    else:
        assert {box[0] for box in truth["boxes"]} <= {row[1] for row in rows if row[2] > 0.5}
    stdlib = said["stdlib"]
    for file in (*said["files"], *(name for name in said["mapped"] if "-packages" in name)):
        assert file.startswith((*paths, f"{stdlib}/"))
        assert not file.startswith((f"{stdlib}/site-packages", f"{stdlib}/dist-packages"))


def _bucket(folder: Path, models: ModelSet, engine: EngineAndFormat, task: Task) -> tuple[Path, dict[str, Any]]:
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
