"""A function and one layer, unpacked and alone, do the whole work of a query."""

from collections.abc import Iterator
from pathlib import Path
import subprocess
import sys
from tempfile import TemporaryDirectory

from alone import assert_serves_alone
from package_builds import SITE_PACKAGES
import pytest

from serverless_mlperf import packages
from serverless_mlperf.models.build import ModelSet, cached_models
from serverless_mlperf.workloads import ENGINE_AND_FORMATS, TASKS, EngineAndFormat, Task


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


@pytest.mark.parametrize("task", TASKS)
def test_function_and_layer_alone_serve_a_query(
    unpacked: tuple[EngineAndFormat, Path], task: Task, models: ModelSet, tmp_path: Path
) -> None:
    """With nothing else on the path they decode, infer and answer right; no module or library is from elsewhere."""
    engine, folder = unpacked
    assert_serves_alone(sys.executable, folder, SITE_PACKAGES, engine, task, models, tmp_path)


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
