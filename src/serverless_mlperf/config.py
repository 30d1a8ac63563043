"""An experiment as one immutable value: TOML file plus options, checked once at the edge."""

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
import tomllib
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from serverless_mlperf.budget import Budget
from serverless_mlperf.errors import InputError
from serverless_mlperf.mlperf.length import Length, LengthName, length_of
from serverless_mlperf.mlperf.spec import SAMPLES_PER_QUERY, Mode, Scenario
from serverless_mlperf.platforms.local.faults import FaultSettings
from serverless_mlperf.workloads import ENGINE_AND_FORMATS, MEMORY_MIB, TASKS, WORKLOADS, Cell, EngineAndFormat, Task

LAMBDA_MEMORY_MIB = (128, 10_240)
"""Memory a standard function may have (AWS: lambda/latest/dg/configuration-memory)."""
DEFAULT_IMAGES: Final = 128
"""Images taken from a data set where nobody has said how many."""

MIN_COLD: Final = 10
"""Cold starts for a median with an interval: six are the fewest (binomial), and wide."""
MIN_SEARCHED: Final = 459
"""Queries from which a Server run can be VALID: LoadGen's early stopping with none over the bound."""
SCENARIOS: Final[Mapping[str, Scenario]] = {
    "single-stream": "SingleStream",
    "multi-stream": "MultiStream",
    "server": "Server",
    "offline": "Offline",
}
"""Name of the option -> LoadGen's."""

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
    transport: Literal["s3", "invoke"] = "s3"
    payload: Literal["inline", "s3ref"] = "inline"
    """`invoke`: what a query carries, the image's bytes or its key in the bucket."""
    scenario: Literal["single-stream", "multi-stream", "server", "offline"] = "offline"
    mode: Mode = "performance"
    """`test01` and `test04` are MLPerf's compliance tests: they bring the runs that they are compared with."""
    length: LengthName = "standard"
    """`quick`: a smoke test; `full`: MLPerf's durations and counts."""
    queries: Count | None = Field(None, ge=1, le=1_000_000)
    """Queries per run at least (Offline: samples); None: the length's. Accuracy mode sends every sample once."""
    target_qps: float | None = Field(None, gt=0, le=100_000, allow_inf_nan=False)
    """Server: mean rate of arrivals; None: half of what the environments can serve, as the warm-up shows."""
    latency_bound_ms: float = Field(1000, gt=0, le=900_000, allow_inf_nan=False)
    """Server: what the 99th percentile of latency may reach. MLPerf v0.5 has 10 ms for both networks, which a function
    on a share of a core does not reach: this one is ours, and in an open division one's own to choose."""
    search_capacity: bool = False
    """Server: raise the rate from run to run until the bound breaks; the last VALID rate is the capacity."""
    sweep: tuple[Annotated[Count, Field(ge=1, le=1000)], ...] = ()
    """Numbers of queries in flight, one run each: the curve of latency over throughput (Offline)."""
    cold: Count = Field(0, ge=0, le=1000)
    """Cold starts forced per cell, before its runs, as a measurement of their own; 0: none."""
    repeat: Count = Field(1, ge=1, le=100)
    """Runs per cell."""
    retry_invalid: Count = Field(2, ge=0, le=10)
    """Further tries of a run that is INVALID for a passing reason."""
    wait_for_host_s: Count = Field(30, ge=0, le=3600)
    """How long to wait, before a run, for the host to deliver its CPU; the run is measured anyway, and marked."""
    weights: AnyPath | None = None
    """Folder of trained weights (.npz); None: the embedded weights for the synthetic data set."""
    dataset: Literal["imagenet", "coco", "synthetic"] = "synthetic"
    input_dataset: AnyPath | None = None
    """Folder of the data set's images and labels; the synthetic set needs none."""
    samples: Count | None = Field(None, ge=1, le=100_000)
    """Images taken from the data set; None: 128, or as many as its folder has. Where answers are scored (accuracy,
    test01) a folder is taken whole."""
    concurrency: Count | None = Field(None, ge=1, le=1000)
    """Environments per cell; None: as many as the host runs undisturbed."""
    threads: Count | None = Field(None, ge=1, le=64)
    """Engine threads; None: the cores a function of that size sees on Lambda."""
    precision: Literal["f32", "bf16"] = "f32"
    seed: Count = Field(0, ge=0, le=2**31 - 1)
    """Seed of the synthetic data set."""
    timeout_s: Count = Field(60, ge=1, le=900)
    """The function's timeout."""
    price_region: str = Field("us-east-1", pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")
    """Whose list prices the queries are priced by."""
    billing_date: date | None = None
    """By whose billing rules; None: the present ones. In 2020 durations were rounded up to 100 ms."""
    max_queries: Count | None = Field(None, ge=1)
    """Invocations of the experiment at most, those of warm-ups and cold starts included; None: as many as it needs."""
    max_usd: float | None = Field(None, gt=0, allow_inf_nan=False)
    """What the experiment may cost at list prices; on the local platform what it would cost."""
    max_minutes: float | None = Field(None, gt=0, allow_inf_nan=False)
    """How long one call of `run` may measure."""
    faults: str | None = None
    """Faults on demand of the local platform, as its `--faults` takes them; a run with any is never VALID."""
    controller: Literal["sigstop", "cgroup-v1", "cgroup-v2", "auto"] = "sigstop"
    """What holds the local platform's functions to their CPU share; the one in use is part of every result."""
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

    @field_validator("faults")
    @classmethod
    def _faults_are_known(cls, text: str | None) -> str | None:
        if text is not None:
            FaultSettings.from_text(text)  # raises InputError, which is a line for the user already
        return text

    @property
    def fault_settings(self) -> FaultSettings | None:
        """Faults on demand; None: nothing is to go wrong."""
        return None if self.faults is None else FaultSettings.from_text(self.faults)

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
        for reason in self._contradictions():
            raise ValueError(reason)
        if self.precision != "f32" and set(self.engine_and_formats) != {"ie-ir"}:
            raise ValueError(f"precision {self.precision} is only for ie-ir: add --engine_and_format ie-ir")
        return self

    def _contradictions(self) -> Iterator[str]:
        """Options that make no sense together."""
        server = self.scenario == "server"
        if self.target_qps is not None and not server:
            yield "--target-qps is the rate of arrivals of --scenario server: add it, or leave the rate out"
        if self.search_capacity and (not server or self.mode != "performance" or self.target_qps is not None):
            yield "--search-capacity chooses the rates itself: --scenario server, performance mode, no --target-qps"
        if self.search_capacity and (self.length == "quick" or (self.queries or MIN_SEARCHED) < MIN_SEARCHED):
            yield f"--search-capacity: runs below {MIN_SEARCHED} queries are INVALID at any rate (early stopping)"
        if self.sweep and (self.scenario != "offline" or self.mode != "performance"):
            yield "--sweep bounds the queries in flight of a burst: --scenario offline, performance mode"
        if self.payload != "inline" and self.transport != "invoke":
            yield "--payload is what an invocation carries: add --transport invoke"
        if 0 < self.cold < MIN_COLD:
            yield f"--cold {self.cold}: give at least {MIN_COLD}, or the median has no useful interval"
        if self.queries is not None and self.length != "standard":
            yield f"--queries and --{self.length} both say how long a run is: give one of them"

    @property
    def budget(self) -> Budget:
        """What the experiment may ask, cost and take."""
        return Budget(self.max_queries, self.max_usd, self.max_minutes)

    @property
    def loadgen_scenario(self) -> Scenario:
        """The scenario under LoadGen's name."""
        return SCENARIOS[self.scenario]

    @property
    def run_length(self) -> Length:
        """How long a run is; the scores of compliance tests are compared."""
        compared = self.mode in ("test01", "test04")
        return length_of(self.length, self.loadgen_scenario, self.queries, compared=compared)

    @property
    def takes_whole_folder(self) -> bool:
        """Whether `samples` does not count: MLPerf scores answers to the whole of a data set."""
        return self.mode in ("accuracy", "test01") and self.dataset != "synthetic"

    @property
    def images_at_most(self) -> int:
        """Images of a task, unless a folder is taken whole."""
        return self.samples or DEFAULT_IMAGES

    @property
    def samples_per_query(self) -> int:
        """Samples LoadGen puts into one query, each of which is sent on its own; Offline's one query is not counted."""
        return SAMPLES_PER_QUERY if self.loadgen_scenario == "MultiStream" else 1

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The matrix in order: task, engine, memory; each point once."""
        points = (Cell(t, e, m) for t in self.tasks for e in self.engine_and_formats for m in self.memory_mib)
        return tuple(dict.fromkeys(points))


def load_config(file: Path | None, options: Mapping[str, Any]) -> ExperimentConfig:
    """Merge a TOML file and options (which win; None means not given); raises InputError in one line."""
    return checked_config(given_values(file, options), str(file) if file else "options")


def given_values(file: Path | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """What a TOML file and options (which win; None means not given) say, unchecked; raises InputError."""
    values = _read_toml(file) if file else {}
    values.update({k: v for k, v in options.items() if v is not None})
    return values


def checked_config(values: Mapping[str, Any], source: str) -> ExperimentConfig:
    """Check values; raises InputError in one line, which names the field, or the source where no field is to blame."""
    try:
        return ExperimentConfig.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"][:1]) or source
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
