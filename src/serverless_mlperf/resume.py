"""Going on with an experiment that was cut off: its settings are the stored ones, and must be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic_core import to_jsonable_python

from serverless_mlperf.config import ExperimentConfig, checked_config
from serverless_mlperf.errors import InputError
from serverless_mlperf.store import EXPERIMENT, ResultsFolder

PATHS: Final = ("weights", "input_dataset")
"""May lie elsewhere now: the digests of what they hold are compared."""
FREE: Final = ("retry_invalid", "wait_for_host_s", "max_queries", "max_usd", "max_minutes", "output", *PATHS)
"""Change nothing of what is measured."""
_OPTIONS: Final = {
    "tasks": "--cv_task",
    "engine_and_formats": "--engine_and_format",
    "memory_mib": "--memory",
    "timeout_s": "--timeout",
    "wait_for_host_s": "--wait-for-host",
}


def stored_settings(config: ExperimentConfig) -> dict[str, Any]:
    """The configuration as experiment.json holds it: with absolute paths, to go on from any folder."""
    settings = config.model_dump(mode="json")
    absolute = {name: str(Path(settings[name]).absolute()) for name in PATHS if settings[name] is not None}
    return {**settings, **absolute}


def open_folder(path: Path | None, given: Mapping[str, Any]) -> ResultsFolder:
    """The folder to go on with; without a path the newest one below the output folder that was given."""
    if path is not None:
        return ResultsFolder.open(path)
    return ResultsFolder.newest(Path(given.get("output") or ExperimentConfig.model_fields["output"].default))


def resumed_config(folder: ResultsFolder, given: Mapping[str, Any]) -> ExperimentConfig:
    """The stored configuration with what may differ taken from `given`; raises InputError for anything else."""
    for name, value in given.items():
        if name in folder.settings and name not in FREE:
            _check_same(name, folder.settings[name], to_jsonable_python(value))
    config = checked_config({**folder.settings, **given}, str(folder.path / EXPERIMENT))
    if tuple(cell.name for cell in config.cells) != folder.cells:
        raise InputError(f"{folder.path / EXPERIMENT}: its cells are not those of its settings; begin a new experiment")
    return config


def _check_same(name: str, stored: object, given: object) -> None:
    if given != stored:
        option = _OPTIONS.get(name, f"--{name}")
        raise InputError(
            f"--resume: {option} was {_shown(stored)} and is {_shown(given)} now; "
            f"leave {option} out, or begin a new experiment"
        )


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "not given" if value is None else str(value)
