"""Going on with an experiment: stored settings win, differences are refused by name, harmless ones are not."""

from pathlib import Path
from typing import Any

import pytest

from serverless_mlperf.config import given_values, load_config
from serverless_mlperf.errors import InputError
from serverless_mlperf.provenance import check_unchanged, describe_client
from serverless_mlperf.resume import open_folder, resumed_config, stored_settings
from serverless_mlperf.store import ResultsFolder

OPTIONS: dict[str, Any] = {"tasks": ["classification"], "memory_mib": [768, 1536], "queries": 12, "repeat": 2}
ENVIRONMENT = {
    "version": "0.1.0",
    "host": {"cpu_model": "A", "flags": ["avx2"], "revision": "abc", "memory_mib": 1000},
    "packages": {"function.zip": "12ab"},
    "weights": {"source": "/old/place", "sha256": "77"},
}


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    """Of an experiment with a few settings of its own."""
    config = load_config(None, OPTIONS)
    return ResultsFolder.create(tmp_path, stored_settings(config), [c.name for c in config.cells], ENVIRONMENT)


def test_stored_settings_are_the_experiments(folder: ResultsFolder) -> None:
    """Without options the configuration is what it was."""
    assert resumed_config(ResultsFolder.open(folder.path), {}) == load_config(None, OPTIONS)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"queries": 13}, "--queries was 12 and is 13 now"),
        ({"repeat": 3}, "--repeat was 2 and is 3 now"),
        ({"tasks": ["object_detection"]}, "--cv_task was classification and is object_detection now"),
        ({"memory_mib": [768]}, "--memory was 768, 1536 and is 768 now"),
        ({"timeout_s": 5}, "--timeout was 60 and is 5 now"),
        ({"concurrency": 1}, "--concurrency was not given and is 1 now"),
        ({"dataset": "imagenet"}, "--dataset was synthetic and is imagenet now"),
    ],
)
def test_other_settings_are_refused_with_both_values(folder: ResultsFolder, given: dict[str, Any], said: str) -> None:
    """What would change what is measured is one line with the option and both values."""
    with pytest.raises(InputError) as caught:
        resumed_config(folder, given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_setting_is_either_compared_or_free(folder: ResultsFolder) -> None:
    """No field of the configuration can be changed unseen: but for the free ones, another value is refused."""
    free = {
        *("retry_invalid", "wait_for_host_s", "max_queries", "max_usd", "max_minutes", "output"),
        *("weights", "input_dataset"),
    }
    for name in load_config(None, {}).model_dump():
        if name not in free:
            with pytest.raises(InputError, match=r"--resume: --"):
                resumed_config(folder, {name: "something else"})


def test_same_and_free_options_are_taken(folder: ResultsFolder) -> None:
    """The same options again change nothing; tries and output may differ."""
    config = resumed_config(folder, {**OPTIONS, "retry_invalid": 0, "output": Path("elsewhere")})
    assert (config.retry_invalid, config.queries) == (0, 12)


def test_wrong_options_are_refused(folder: ResultsFolder) -> None:
    """Unknown names and impossible values of free options are InputErrors as ever."""
    for given in ({"colour": "red"}, {"retry_invalid": -1}):
        with pytest.raises(InputError, match=next(iter(given))):
            resumed_config(folder, given)


def test_the_same_toml_file_is_no_difference(folder: ResultsFolder, tmp_path: Path) -> None:
    """A file that says what is stored is taken, one that says something else is refused."""
    file = tmp_path / "experiment.toml"
    file.write_text('tasks = ["classification"]\nqueries = 12\n')
    resumed_config(folder, given_values(file, {}))
    file.write_text("queries = 14\n")
    with pytest.raises(InputError, match="12 and is 14"):
        resumed_config(folder, given_values(file, {}))


def test_folder_of_another_version_is_refused(tmp_path: Path) -> None:
    """Settings that are unknown now, and cells that are not those of the settings, are InputErrors."""
    settings = stored_settings(load_config(None, OPTIONS))
    with pytest.raises(InputError, match="colour"):
        resumed_config(ResultsFolder.create(tmp_path, {**settings, "colour": "red"}, [], {}), {})
    with pytest.raises(InputError, match="cells"):
        resumed_config(ResultsFolder.create(tmp_path, settings, ["x"], {}), {})


def test_paths_are_stored_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and data set are found again from any working folder."""
    monkeypatch.chdir(tmp_path)
    config = load_config(None, {"dataset": "coco", "input_dataset": Path("images"), "weights": Path("w")})
    settings = stored_settings(config)
    assert (settings["weights"], settings["input_dataset"]) == (str(tmp_path / "w"), str(tmp_path / "images"))


def test_newest_folder_is_below_the_output_given(folder: ResultsFolder, tmp_path: Path) -> None:
    """Without a path, the newest below --output."""
    assert open_folder(None, {"output": tmp_path}) == open_folder(folder.path, {}) == folder


def changed(key: str, value: object) -> dict[str, Any]:
    """The environment with one nested value changed; None takes it away."""
    name, _, inner = key.partition("/")
    made: dict[str, Any] = dict(ENVIRONMENT)
    made[name] = {**made[name], inner: value} if inner else value
    return made


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("host/cpu_model", "B", "host.cpu_model was A and is B"),
        ("host/flags", [], r"host.flags was \['avx2'\] and is \[\]"),
        ("packages/function.zip", "34cd", "packages.function.zip was 12ab and is 34cd"),
        ("packages/other.zip", "56", "packages.other.zip was missing and is 56"),
        ("packages", {}, "packages.function.zip was 12ab and is missing"),
        ("version", "0.2.0", "version was 0.1.0 and is 0.2.0"),
        ("weights/sha256", "78", "weights.sha256 was 77 and is 78"),
        ("code_sha256", "9", "code_sha256 was missing and is 9"),
    ],
)
def test_a_difference_is_refused_by_name(tmp_path: Path, key: str, value: object, said: str) -> None:
    """Host, code and digests must be what they were; the line names the first that is not, with both values."""
    with pytest.raises(InputError, match=said):
        check_unchanged(ENVIRONMENT, changed(key, value), tmp_path)


@pytest.mark.parametrize("key", ["host/revision", "host/memory_mib", "weights/source"])
def test_harmless_differences_are_taken(tmp_path: Path, key: str) -> None:
    """Commit, memory and place of the weights may differ: digests and preflight say what matters of them."""
    check_unchanged(ENVIRONMENT, changed(key, "other"), tmp_path)


def test_parts_are_compared_alone(tmp_path: Path) -> None:
    """What is not looked at yet is not missed."""
    check_unchanged(ENVIRONMENT, {"version": "0.1.0"}, tmp_path)


def test_client_is_described_the_same_twice() -> None:
    """Version, host and the digest of the sources are stable."""
    first = describe_client()
    assert first == describe_client()
    assert len(first["code_sha256"]) == 64
