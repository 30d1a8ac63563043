"""Options and files out of all bounds: one line that names the option, what it was and what it must be."""

from collections.abc import Callable
import os
from pathlib import Path
from typing import Any

import pytest

from serverless_mlperf.config import load_config
from serverless_mlperf.errors import InputError

LIMITS = [
    ("queries", 1, 1_000_000),
    ("repeat", 1, 100),
    ("retry_invalid", 0, 10),
    ("samples", 1, 100_000),
    ("concurrency", 1, 1000),
    ("threads", 1, 64),
    ("seed", 0, 2**31 - 1),
    ("timeout_s", 1, 900),
]
FOLDER: dict[str, Any] = {"input_dataset": Path("x"), "weights": Path("w")}


def refusal(options: dict[str, Any], file: Path | None = None) -> str:
    """Why options, or a file, are refused."""
    with pytest.raises(InputError) as caught:
        load_config(file, options)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2
    return str(caught.value)


@pytest.mark.parametrize(("name", "low", "high"), LIMITS)
def test_numbers_are_taken_up_to_both_limits(name: str, low: int, high: int) -> None:
    """The least and the greatest value are taken; one beyond either is refused with the limit and the value."""
    for value in (low, high):
        assert getattr(load_config(None, {name: value}), name) == value
    said = f"{name}: Input should be"
    assert refusal({name: low - 1}) == f"{said} greater than or equal to {low}, not {low - 1}"
    assert refusal({name: high + 1}) == f"{said} less than or equal to {high}, not {high + 1}"


def test_memory_is_taken_up_to_both_limits() -> None:
    """128 and 10,240 MB are Lambda's own limits."""
    assert load_config(None, {"memory_mib": [128, 10_240]}).memory_mib == (128, 10_240)
    assert refusal({"memory_mib": [128, 127]}) == "memory_mib: Input should be greater than or equal to 128, not 127"
    assert refusal({"memory_mib": [10_241]}) == "memory_mib: Input should be less than or equal to 10240, not 10241"


@pytest.mark.parametrize("name", [name for name, _, _ in LIMITS])
@pytest.mark.parametrize("value", ["true", '"7"', "7.0", "7.5", "nan", "inf", "1e9", "[7]", "1979-05-27", "{ a = 1 }"])
def test_numbers_in_a_file_are_whole_numbers(tmp_path: Path, name: str, value: str) -> None:
    """Nothing else is taken for one, not even what looks like one."""
    (tmp_path / "e.toml").write_text(f"{name} = {value}\n")
    assert refusal({}, tmp_path / "e.toml").startswith(f"{name}: Input should be a valid integer")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("queries = ", "e.toml: cannot be read as TOML: Invalid value"),
        ("queries = 7\nqueries = 8", "e.toml: cannot be read as TOML: Cannot overwrite a value"),
        ("queries", "e.toml: cannot be read as TOML: Expected '='"),
        ("\x00", "e.toml: cannot be read as TOML:"),
        ("a = " + "[" * 100_000, "e.toml: cannot be read as TOML: maximum recursion depth exceeded"),
        ("queries = 9" + "0" * 5000, "e.toml: cannot be read as TOML: Exceeds the limit"),
        ("colour = 1", "colour: is not an option; known are tasks, engine_and_formats, memory_mib"),
        ("[run]\nqueries = 7", "run: is not an option; known are"),
        ("memory_mib = 768", "memory_mib: must be a list, not 768"),
        ("memory_mib = []", "memory_mib: must have at least one item"),
        ("memory_mib = [true]", "memory_mib: Input should be a valid integer, not True"),
        ("tasks = []", "tasks: must have at least one item"),
        ('tasks = ["segmentation"]', "tasks: Input should be 'classification' or 'object_detection'"),
        ('tasks = "classification"', "tasks: must be a list, not 'classification'"),
        ('engine_and_formats = ["tflite"]', "engine_and_formats: Input should be 'ie-ir', 'ocv-cf' or 'ocv-tf'"),
        ('platform = "mars"', "platform: Input should be 'local' or 'aws', not 'mars'"),
        (
            'scenario = "burst"',
            "scenario: Input should be 'single-stream', 'multi-stream', 'server' or 'offline', not 'burst'",
        ),
        ('transport = "pigeon"', "transport: Input should be 's3' or 'invoke', not 'pigeon'"),
        ('mode = "fast"', "mode: Input should be 'performance', 'accuracy', 'test01' or 'test04', not 'fast'"),
        ('precision = "f16"', "precision: Input should be 'f32' or 'bf16', not 'f16'"),
        ('dataset = "mnist"', "dataset: Input should be 'imagenet', 'coco' or 'synthetic', not 'mnist'"),
        ('bucket_name = "A_B"', "bucket_name: String should match pattern"),
        ('bucket_name = "../x"', "bucket_name: String should match pattern"),
        ('bucket_name = "ab\\n"', "bucket_name: String should match pattern"),
        ("output = 3", "output: Input is not a valid path"),
        ('output = "a\\u0000b"', "output: a path cannot hold the character NUL"),
        ('weights = ["a"]', "weights: Input is not a valid path"),
        ('dataset = "coco"', "data set coco needs its folder: add --input_dataset DIR"),
        ('precision = "bf16"', "precision bf16 is only for ie-ir: add --engine_and_format ie-ir"),
    ],
)
def test_files_are_refused_in_words(tmp_path: Path, text: str, said: str) -> None:
    """Bad syntax, unknown names, wrong types and unknown values, each with its place."""
    (tmp_path / "e.toml").write_text(text)
    assert said in refusal({}, tmp_path / "e.toml")


def test_what_is_no_text_file_is_refused(tmp_path: Path) -> None:
    """A folder, a file of other bytes, another encoding and a file that is not there, each by its path."""
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "binary.toml").write_bytes(bytes(range(256)))
    (tmp_path / "utf16.toml").write_bytes("queries = 7".encode("utf-16"))
    for name, said in [
        ("folder", "Is a directory"),
        ("binary", "cannot be read as TOML"),
        ("utf16", "'utf-8' codec can't decode byte 0xff"),
        ("none", "No such file or directory"),
    ]:
        path = tmp_path / f"{name}.toml"
        assert refusal({}, path).startswith(f"{path}: cannot be read as TOML: ")
        assert said in refusal({}, path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dataset": "imagenet", "tasks": ["object_detection"], **FOLDER}, "imagenet has no labels for object_detect"),
        ({"dataset": "coco", "tasks": ["classification"], **FOLDER}, "data set coco has no labels for classification"),
        ({"dataset": "coco", "weights": Path("w")}, "data set coco needs its folder: add --input_dataset DIR"),
        ({"dataset": "imagenet", "input_dataset": Path("x")}, "imagenet needs --weights DIR"),
        ({"input_dataset": Path("x")}, "the synthetic data set has no folder: add --dataset NAME"),
        ({"precision": "bf16", "engine_and_formats": ["ie-ir", "ocv-cf"]}, "precision bf16 is only for ie-ir"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], said: str) -> None:
    """What does not go together is told with what to add or change."""
    assert said in refusal(options)


def outputs(tmp_path: Path) -> list[tuple[Path, str]]:
    """Places that cannot become a folder of results."""
    (tmp_path / "file").write_text("")
    (tmp_path / "broken").symlink_to(tmp_path / "file/x")
    return [
        (tmp_path / "file", "is a file, not a folder; choose another --output"),
        (tmp_path / "file/results", "is a file, not a folder; choose another --output"),
        (Path("/dev/null/results"), "/dev/null is a file, not a folder; choose another --output"),
        (tmp_path / ("x" * 300), "cannot be a folder (File name too long); choose another --output"),
        (tmp_path / "loop", "cannot be a folder (Too many levels of symbolic links); choose another --output"),
    ]


def test_output_that_cannot_be_a_folder_is_told_before_anything_is_built(tmp_path: Path) -> None:
    """A file, a place below one, a name no file system takes, links in a circle."""
    from serverless_mlperf.output import check_output

    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for output, said in outputs(tmp_path):
        with pytest.raises(InputError) as caught:
            check_output(output)
        assert str(caught.value).startswith(f"{output}: ")
        assert said in str(caught.value)
    check_output(tmp_path / "not" / "yet")


def test_more_environments_than_the_host_runs_are_refused() -> None:
    """A run would wait for them in vain; the least of the sizes asked decides."""
    from serverless_mlperf.platforms.local.host import most_at_once
    from serverless_mlperf.platforms.local.platform import check_concurrency

    cores = len(os.sched_getaffinity(0))
    most: Callable[[int], int] = lambda size: most_at_once(size, cores)  # noqa: E731
    check_concurrency(None, [128, 10_240])
    check_concurrency(most(1769), [1769, 128])
    with pytest.raises(InputError) as caught:
        check_concurrency(most(1769) + 1, [128, 1769])
    assert str(caught.value) == (
        f"--concurrency {most(1769) + 1}: {cores} cores run at most {most(1769)} environments of 1769 MB at once; "
        "give fewer, or leave it out"
    )
