"""The experiment's configuration: defaults, merging, and refusals in one line."""

from pathlib import Path
from typing import Any, get_args

import pytest

from serverless_mlperf.budget import Budget
from serverless_mlperf.config import ExperimentConfig, load_config
from serverless_mlperf.errors import InputError
from serverless_mlperf.mlperf.length import Length
from serverless_mlperf.platforms.local.restraint import CHOICES, DEFAULT


def test_default_is_the_seeds_matrix() -> None:
    """Without options: 2 tasks x 3 engine-and-formats x 4 memory sizes, 100 queries each."""
    config = load_config(None, {})
    assert len(config.cells) == 24
    assert {cell.memory_mib for cell in config.cells} == {768, 1536, 2240, 3008}
    assert config.run_length == Length(100)


def test_data_set_chooses_its_task() -> None:
    """A data set with labels of one task restricts the matrix to it."""
    config = load_config(None, {"dataset": "imagenet", "input_dataset": Path("x"), "weights": Path("w")})
    assert {cell.task for cell in config.cells} == {"classification"}


def test_options_win_over_the_file(tmp_path: Path) -> None:
    """An option that is given replaces the file's value; one that is not (None) does not."""
    file = tmp_path / "experiment.toml"
    file.write_text('queries = 7\nmemory_mib = [1536]\nengine_and_formats = ["ie-ir"]\n')
    config = load_config(file, {"queries": 9, "memory_mib": None})
    assert (config.queries, config.memory_mib) == (9, (1536,))


def test_a_point_is_measured_once() -> None:
    """A memory size given twice is one cell."""
    config = load_config(None, {"memory_mib": [768, 768], "tasks": ["classification"], "engine_and_formats": ["ie-ir"]})
    assert [cell.name for cell in config.cells] == ["classification-ie-ir-768"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"queries": 0}, "queries"),
        ({"memory_mib": [64]}, "memory_mib"),
        ({"engine_and_formats": ["tflite"]}, "engine_and_formats"),
        ({"platform": "mars"}, "platform"),
        ({"dataset": "imagenet"}, "--input_dataset"),
        ({"dataset": "imagenet", "input_dataset": Path("x")}, "--weights"),
        ({"dataset": "imagenet", "tasks": ["object_detection"], "input_dataset": Path("x")}, "no labels"),
        ({"input_dataset": Path("x")}, "--dataset"),
        ({"precision": "bf16"}, "ie-ir"),
        ({"colour": "red"}, "colour"),
        ({"max_queries": 0}, "max_queries"),
        ({"max_queries": 1.5}, "max_queries"),
        ({"max_usd": 0.0}, "max_usd"),
        ({"max_usd": float("inf")}, "max_usd"),
        ({"max_minutes": -1.0}, "max_minutes"),
        ({"scenario": "burst"}, "scenario"),
        ({"target_qps": 5.0}, "--scenario server"),
        ({"target_qps": 0.0, "scenario": "server"}, "target_qps"),
        ({"latency_bound_ms": -1.0}, "latency_bound_ms"),
        ({"search_capacity": True}, "--search-capacity"),
        ({"search_capacity": True, "scenario": "server", "target_qps": 5.0}, "--search-capacity"),
        ({"sweep": [1, 2], "scenario": "server"}, "--sweep"),
        ({"sweep": [0]}, "sweep"),
        ({"payload": "s3ref"}, "--transport invoke"),
        ({"length": "quick", "queries": 5}, "--queries"),
        ({"faults": "lost=1"}, "'lost' is no kind of fault"),
        ({"faults": 1}, "faults"),
        ({"controller": "docker"}, "controller"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options: dict[str, Any], said: str) -> None:
    """Each wrong option gives an InputError that names it, in one line."""
    with pytest.raises(InputError, match=said) as caught:
        load_config(None, options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["queries = ", "\x00", 'weights = ["a"]'])
def test_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    """A file that is no TOML, or of wrong types, is an InputError."""
    file = tmp_path / "experiment.toml"
    file.write_text(text)
    with pytest.raises(InputError):
        load_config(file, {})


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(InputError, match=r"none\.toml"):
        load_config(tmp_path / "none.toml", {})


def test_compared_runs_are_long_enough_to_be() -> None:
    """A quick compliance test has 200 queries where a score is compared; a number that is asked for is kept."""
    for mode, queries, expected in (("performance", None, 50), ("test01", None, 200), ("test04", 30, 30)):
        config = load_config(None, {"mode": mode, "length": "quick" if queries is None else None, "queries": queries})
        assert config.run_length.queries == expected


def test_bounds_are_the_budget(tmp_path: Path) -> None:
    """From a file or options; none without."""
    file = tmp_path / "e.toml"
    file.write_text("max_usd = 1\nmax_minutes = 7.5\n")
    assert load_config(file, {"max_queries": 100}).budget == Budget(100, 1.0, 7.5)
    assert not load_config(None, {}).budget.bounded


def test_controllers_are_those_of_the_platform() -> None:
    """What an experiment may ask for is what its server takes, and without asking it is the server's own choice."""
    field = ExperimentConfig.model_fields["controller"]
    assert (set(get_args(field.annotation)), field.default) == (set(CHOICES), DEFAULT)
