"""An experiment as one immutable value: TOML file plus options, checked once at the edge."""

from collections.abc import Mapping
from pathlib import Path
import tomllib
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from serverless_mlperf.errors import InputError
from serverless_mlperf.workloads import ENGINE_AND_FORMATS, MEMORY_MIB, TASKS, WORKLOADS, Cell, EngineAndFormat, Task

LAMBDA_MEMORY_MIB = (128, 10_240)
"""Memory a standard function may have (AWS: lambda/latest/dg/configuration-memory)."""

Count = Annotated[int, Field(strict=True)]
"""A whole number and nothing that could be taken for one: no 1.0, no true, no "1"."""
Memory = Annotated[Count, Field(ge=LAMBDA_MEMORY_MIB[0], le=LAMBDA_MEMORY_MIB[1])]


def _path_of_a_system(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("a path cannot hold the character NUL")
    return path


AnyPath = Annotated[Path, AfterValidator(_path_of_a_system)]


class ExperimentConfig(BaseModel):
    """What is measured, on what, and how; the defaults are the seed's 24 cells on the local platform."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: tuple[Task, ...] = Field(TASKS, min_length=1)
    engine_and_formats: tuple[EngineAndFormat, ...] = Field(ENGINE_AND_FORMATS, min_length=1)
    memory_mib: tuple[Memory, ...] = Field(MEMORY_MIB, min_length=1)
    platform: Literal["local"] = "local"
    transport: Literal["s3"] = "s3"
    scenario: Literal["offline"] = "offline"
    mode: Literal["performance", "accuracy"] = "performance"
    queries: Count = Field(100, ge=1, le=1_000_000)
    """Measured warm queries per run in performance mode; accuracy mode sends every sample once."""
    repeat: Count = Field(1, ge=1, le=100)
    """Runs per cell."""
    retry_invalid: Count = Field(2, ge=0, le=10)
    """Further tries of a run that is INVALID for a passing reason."""
    weights: AnyPath | None = None
    """Folder of trained weights (.npz); None: the embedded weights for the synthetic data set."""
    dataset: Literal["imagenet", "coco", "synthetic"] = "synthetic"
    input_dataset: AnyPath | None = None
    """Folder of the data set's images and labels; the synthetic set needs none."""
    samples: Count = Field(128, ge=1, le=100_000)
    """Images taken from the data set in performance mode; accuracy mode takes all of a folder."""
    concurrency: Count | None = Field(None, ge=1, le=1000)
    """Environments per cell; None: as many as the host can run at their full share."""
    threads: Count | None = Field(None, ge=1, le=64)
    """Engine threads; None: the cores a function of that size sees on Lambda."""
    precision: Literal["f32", "bf16"] = "f32"
    seed: Count = Field(0, ge=0, le=2**31 - 1)
    """Seed of the synthetic data set."""
    timeout_s: Count = Field(60, ge=1, le=900)
    """The function's timeout."""
    bucket_name: str = Field("serverless-mlperf", pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    output: AnyPath = Path("results")

    @model_validator(mode="before")
    @classmethod
    def _tasks_follow_data_set(cls, values: Any) -> Any:
        """`imagenet` and `coco` carry labels of one task each: without a choice, that task is meant."""
        if isinstance(values, dict) and "tasks" not in values:
            fitting = tuple(t for t in TASKS if values.get("dataset", "synthetic") in WORKLOADS[t].datasets)
            return {**values, "tasks": fitting or TASKS}
        return values

    @model_validator(mode="after")
    def _belongs_together(self) -> "ExperimentConfig":
        wrong = [t for t in self.tasks if self.dataset not in WORKLOADS[t].datasets]
        if wrong:
            raise ValueError(
                f"data set {self.dataset} has no labels for {wrong[0]}; choose another --dataset or --cv_task"
            )
        if self.dataset != "synthetic" and self.input_dataset is None:
            raise ValueError(f"data set {self.dataset} needs its folder: add --input_dataset DIR")
        if self.dataset == "synthetic" and self.input_dataset is not None:
            raise ValueError("--input_dataset is given, but the synthetic data set has no folder: add --dataset NAME")
        if self.dataset != "synthetic" and self.weights is None:
            raise ValueError(
                f"the embedded weights know only the synthetic data set: {self.dataset} needs --weights DIR"
            )
        if self.precision != "f32" and set(self.engine_and_formats) != {"ie-ir"}:
            raise ValueError(f"precision {self.precision} is only for ie-ir: add --engine_and_format ie-ir")
        return self

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The matrix in order: task, engine, memory; each point once."""
        points = (Cell(t, e, m) for t in self.tasks for e in self.engine_and_formats for m in self.memory_mib)
        return tuple(dict.fromkeys(points))


def load_config(file: Path | None, options: Mapping[str, Any]) -> ExperimentConfig:
    """Merge a TOML file and options (which win; None means not given); raises InputError in one line."""
    values = _read_toml(file) if file else {}
    values.update({k: v for k, v in options.items() if v is not None})
    try:
        return ExperimentConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"][:1]) or (str(file) if file else "options")
        raise InputError(f"{where}: {_in_words(first)}") from error


def _in_words(error: ErrorDetails) -> str:
    """What pydantic says, with the value it says it of; its words for lists and unknown names are not a user's."""
    if error["type"] == "extra_forbidden":
        return f"is not an option; known are {', '.join(ExperimentConfig.model_fields)}"
    message = {"tuple_type": "must be a list", "too_short": "must have at least one item"}.get(error["type"])
    value = error["input"]
    shown = f", not {value!r}" if isinstance(value, bool | int | float | str) and len(repr(value)) < 80 else ""
    return (message or error["msg"].removeprefix("Value error, ")) + shown


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # text and TOML errors are ValueErrors
        raise InputError(f"{file}: cannot be read as TOML: {error}; see the README for an example") from error
