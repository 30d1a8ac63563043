"""No room on the disk: one line that says where, and what was written before stays readable."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
import json
from pathlib import Path
import zipfile

import pytest

from full_disk import file_limit, fill, small_disk
from serverless_mlperf import packages
from serverless_mlperf.errors import BenchmarkError, HostError, InputError, PackageError
from serverless_mlperf.models.build import build_models
from serverless_mlperf.platforms.local.runtime import prepare_runtime
from serverless_mlperf.report.figures import draw_figures
from serverless_mlperf.store import ResultsFolder
from serverless_mlperf.tries import write_json

NO_ROOM = "File too large|No space left on device|iostream error"
LimitedTo = Callable[[int], AbstractContextManager[object]]


@pytest.fixture(params=["limit", "disk"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, LimitedTo]]:
    """A folder, and what leaves room for so many bytes: a limit for this process, or a full file system."""
    if request.param == "limit":
        yield tmp_path, file_limit
        return
    with small_disk(tmp_path / "disk", "4m") as disk:
        (disk / "kept").write_bytes(bytes(1 << 16))

        class Full:
            def __init__(self, size_bytes: int) -> None:
                self.size_bytes = size_bytes

            def __enter__(self) -> None:
                fill(disk)
                with (disk / "filler").open("r+b") as file:
                    file.truncate(file.seek(0, 2) - self.size_bytes // 4096 * 4096)

            def __exit__(self, *_: object) -> None:
                (disk / "filler").unlink()

        yield disk, Full


def refused(kind: type[BenchmarkError], call: Callable[[], object]) -> str:
    """The one line of an error of ours that tells of the lack of room."""
    with pytest.raises(kind, match=NO_ROOM) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_models_leave_nothing_behind(place: tuple[Path, LimitedTo]) -> None:
    """A build that finds no room names the folder and how much it takes, and removes what it had begun."""
    folder, limited_to = place
    with limited_to(1 << 20):
        said = refused(HostError, lambda: build_models(folder / "models" / "built", None, ["classification"]))
    assert said.startswith(str(folder / "models"))
    assert list((folder / "models").iterdir()) == []


def test_packages_say_where(place: tuple[Path, LimitedTo]) -> None:
    """Function and layers go to the cache: its folder is named, and the variable that chooses another."""
    folder, limited_to = place
    with limited_to(1 << 12):
        said = refused(HostError, lambda: packages.cached_packages("fake", folder / "packages"))
    assert said.startswith(f"{folder / 'packages'}: packages cannot be written (")
    assert said.endswith("free 200 MB, or set SERVERLESS_MLPERF_CACHE")
    assert packages.build_function_zip(folder / "again.zip").members > 5


def test_unpacking_says_where(place: tuple[Path, LimitedTo], tmp_path: Path) -> None:
    """The server unpacks packages into the cache: archive and folder are named."""
    folder, limited_to = place
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("member", bytes(range(256)) * 1024)
    with limited_to(1 << 12):
        said = refused(PackageError, lambda: packages.unpack(tmp_path / "a.zip", folder / "unpacked"))
    assert said.startswith(f"{tmp_path / 'a.zip'}: cannot be unpacked into {folder / 'unpacked'} (")
    assert said.endswith("free disk space, or build or upload it again")


def test_runtime_is_whole_or_absent(place: tuple[Path, LimitedTo], monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter and runtime of the environments are copied once: half a copy is never taken for one."""
    folder, limited_to = place
    monkeypatch.setenv("SERVERLESS_MLPERF_CACHE", str(folder / "cache"))
    with limited_to(1 << 12):
        said = refused(HostError, lambda: prepare_runtime(0))
    assert said.startswith("runtime of the environments: cannot be made: ")
    assert not any((folder / "cache" / "runtimes").glob("*/.complete"))


def test_results_folder_is_refused_with_another_output(place: tuple[Path, LimitedTo]) -> None:
    """An experiment that cannot even be written down does not begin."""
    folder, limited_to = place
    settings = {"long": "x" * 20_000}
    with limited_to(1 << 12):
        said = refused(InputError, lambda: ResultsFolder.create(folder / "results", settings, ["a"], {}))
    assert said.startswith(f"{folder / 'results'}: ")
    assert "choose another --output" in said


def test_earlier_results_stay_readable(place: tuple[Path, LimitedTo]) -> None:
    """A file that cannot be written anew keeps its former content, and the folder's states are those of before."""
    folder, limited_to = place
    results = ResultsFolder.create(folder / "results", {}, ["a", "b"], {})
    (results.path / "x.json").write_text('{"n": 1}')
    before = [results.state(cell) for cell in results.cells]
    with limited_to(1 << 12), pytest.raises((OSError, HostError), match=NO_ROOM):
        write_json(results.path / "x.json", {"n": "x" * 20_000})
    assert json.loads((results.path / "x.json").read_text()) == {"n": 1}
    again = ResultsFolder.open(results.path)
    assert [again.state(cell) for cell in again.cells] == before


def test_figures_say_where(place: tuple[Path, LimitedTo], tmp_path: Path) -> None:
    """Drawing into a full folder is one line."""
    folder, limited_to = place
    (tmp_path / "r.csv").write_text("model_name,latency,qps,memory\nmobilenet_tf,1,2,768\n")
    draw_figures(tmp_path / "r.csv", tmp_path / "warm")  # matplotlib writes a cache of its own, once
    with limited_to(1 << 12):
        said = refused(InputError, lambda: draw_figures(tmp_path / "r.csv", folder / "figures"))
    assert said.startswith(f"{folder / 'figures'}: cannot be written (")
