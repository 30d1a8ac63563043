"""The generator of input files: exactly N, in the seed's form, whole or not at all."""

import json
from pathlib import Path
import signal
import subprocess
import sys

import pytest

from serverless_mlperf.errors import DatasetError, InputError
from serverless_mlperf.inputs import write_inputs
from serverless_mlperf_sut.protocol import check_event_key, parse_query

PATHS = {"completed_path": "completed/ssd_tf", "output_path": "output/ssd_tf"}


def images(folder: Path, count: int, where: str = "") -> Path:
    """A data set's folder with images that are named in another order than they are made."""
    (folder / where).mkdir(parents=True, exist_ok=True)
    for number in reversed(range(count)):
        (folder / where / f"{number:012d}.jpg").write_bytes(b"x")
    (folder / where / "readme.txt").write_text("no image")
    return folder


def inputs(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `serverless-mlperf inputs`."""
    command = [sys.executable, "-m", "serverless_mlperf", "inputs", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_files_are_in_the_seeds_form(tmp_path: Path) -> None:
    """N files with the seed's keys in its order, one image each."""
    names = write_inputs(3, images(tmp_path / "d", 5), "coco", tmp_path / "input", **PATHS)
    assert names == sorted(path.name for path in (tmp_path / "input").iterdir())
    documents = [json.loads((tmp_path / "input" / name).read_text()) for name in names]
    assert [list(document) for document in documents] == [["CompletedPath", "ImageFilenames", "OutputPath"]] * 3
    assert documents[2] == {
        "CompletedPath": "completed/ssd_tf",
        "ImageFilenames": ["coco/000000000002.jpg"],
        "OutputPath": "output/ssd_tf",
    }


def test_function_takes_every_file(tmp_path: Path) -> None:
    """Names are event keys below input/, contents are queries."""
    for name in write_inputs(12, images(tmp_path / "d", 12), "imagenet", tmp_path / "input", **PATHS):
        assert check_event_key(f"input/{name}")
        query = parse_query((tmp_path / "input" / name).read_bytes())
        assert (query.output_path, query.completed_path) == ("output/ssd_tf/", "completed/ssd_tf/")


@pytest.mark.parametrize(("dataset", "where"), [("coco", "val2017"), ("coco", "images"), ("imagenet", "images")])
def test_images_lie_where_the_data_set_has_them(tmp_path: Path, dataset: str, where: str) -> None:
    """Subfolders of the original archives are found; no labels are needed."""
    assert len(write_inputs(2, images(tmp_path / "d", 2, where), dataset, tmp_path / "input", **PATHS)) == 2


def test_names_sort_in_the_order_of_the_images(tmp_path: Path) -> None:
    """Sorted by name, the files are in the order of the images' names."""
    folder = images(tmp_path / "d", 20)
    names = write_inputs(20, folder, "coco", tmp_path / "input", **PATHS)
    order = [json.loads((tmp_path / "input" / n).read_text())["ImageFilenames"][0] for n in sorted(names)]
    assert order == sorted(order)
    assert names[0] == "coco-000001.json"


def test_too_few_images_says_both_counts(tmp_path: Path) -> None:
    """Asking for more than there are names what was asked and what is there."""
    with pytest.raises(DatasetError, match=r"6 images asked but .* has 5"):
        write_inputs(6, images(tmp_path / "d", 5), "coco", tmp_path / "input", **PATHS)
    assert not (tmp_path / "input").exists()


def test_image_that_is_no_object_key_is_refused(tmp_path: Path) -> None:
    """A name the function would refuse is refused here, before anything is written."""
    (images(tmp_path / "d", 1) / "a b.jpg").write_bytes(b"x")
    with pytest.raises(DatasetError, match=r"a b\.jpg"):
        write_inputs(2, tmp_path / "d", "coco", tmp_path / "input", **PATHS)
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"completed_path": "done/x"}, "done/x"),
        ({"output_path": "output/../x"}, "output/../x"),
        ({"output_path": "completed/x"}, "completed/x"),
    ],
)
def test_paths_outside_the_buckets_layout_are_refused(tmp_path: Path, changed: dict[str, str], said: str) -> None:
    """CompletedPath lies below completed/, OutputPath below output/."""
    with pytest.raises(InputError, match=said):
        write_inputs(1, images(tmp_path / "d", 1), "coco", tmp_path / "input", **{**PATHS, **changed})


def test_folder_with_other_inputs_is_refused(tmp_path: Path) -> None:
    """A second set is not mixed into a first one; an empty folder is taken."""
    folder = images(tmp_path / "d", 3)
    (tmp_path / "input").mkdir()
    write_inputs(2, folder, "coco", tmp_path / "input", **PATHS)
    with pytest.raises(InputError, match="is not empty"):
        write_inputs(3, folder, "coco", tmp_path / "input", **PATHS)
    assert len(list((tmp_path / "input").iterdir())) == 2


def test_cut_off_run_leaves_no_set(tmp_path: Path) -> None:
    """Killed while it writes, it leaves no folder of the name asked for."""
    code = """
import os, signal, sys
from pathlib import Path
from serverless_mlperf.inputs import write_inputs
write_bytes, written = Path.write_bytes, []
def counted(path, data):
    written.append(path)
    return os.kill(os.getpid(), signal.SIGKILL) if len(written) == 3 else write_bytes(path, data)
Path.write_bytes = counted
write_inputs(5, Path(sys.argv[1]), "coco", Path(sys.argv[2]), completed_path="completed", output_path="output")
"""
    arguments = [str(images(tmp_path / "d", 5)), str(tmp_path / "input")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "input").exists()


@pytest.mark.parametrize("spelling", ["-", "_"])
def test_command_takes_both_spellings(tmp_path: Path, spelling: str) -> None:
    """Options may be written with - and with _; what was written is said."""
    names = ("input", "dataset"), ("dataset", "name"), ("completed", "path"), ("output", "path")
    options = [f"--{spelling.join(name)}" for name in names]
    values = [str(images(tmp_path / "d", 2)), "coco", "completed/c", "output/o"]
    pairs = [text for pair in zip(options, values, strict=True) for text in pair]
    done = inputs("--num", "2", *pairs, "--output", str(tmp_path / "input"))
    assert done.returncode == 0, done.stderr
    assert "2 input files, coco-000001.json to coco-000002.json" in done.stdout
    assert '"completed/c"' in (tmp_path / "input/coco-000001.json").read_text()


@pytest.mark.parametrize(
    ("num", "folder", "dataset", "output", "said"),
    [
        ("0", "full", "coco", "input", "--num"),
        ("-1", "full", "coco", "input", "--num"),
        ("4", "full", "coco", "input", "has 3"),
        ("1", "missing", "coco", "input", "missing"),
        ("1", "empty", "imagenet", "input", "no image"),
        ("1", "full", "coco2017", "input", "coco2017"),
        ("1", "full", "coco", "full", "is not empty"),
        ("1", "full", "coco", "file", "file"),
        ("1", "full", "coco", "/proc/input", "/proc/input"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    tmp_path: Path, num: str, folder: str, dataset: str, output: str, said: str
) -> None:
    """Counts, folders, names and outputs that do not fit are said in one line; nothing is written."""
    images(tmp_path / "full", 3)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    done = inputs(
        f"--num={num}", "--input_dataset", str(tmp_path / folder), "--dataset_name", dataset,
        "--output", str(tmp_path / output),
    )  # fmt: skip
    assert done.returncode == 2, done.stdout
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full"]
