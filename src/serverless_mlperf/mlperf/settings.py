"""LoadGen's settings: MLPerf's own defaults, then what the run asks for; nothing is left to chance."""

from dataclasses import dataclass, field
from typing import Any, Final

import mlperf_loadgen as lg

from serverless_mlperf.errors import RunError
from serverless_mlperf.mlperf.spec import Mode, RunSpec, Scenario, Seeds

_SCENARIOS: Final[dict[Scenario, Any]] = {
    "SingleStream": lg.TestScenario.SingleStream,
    "MultiStream": lg.TestScenario.MultiStream,
    "Server": lg.TestScenario.Server,
    "Offline": lg.TestScenario.Offline,
}
_MODES: Final[dict[Mode, Any]] = {
    "performance": lg.TestMode.PerformanceOnly,
    "accuracy": lg.TestMode.AccuracyOnly,
    # Both are performance runs that an audit configuration changes.
    "test01": lg.TestMode.PerformanceOnly,
    "test04": lg.TestMode.PerformanceOnly,
}
LIST_MARGIN: Final = 10
OFFLINE_MARGIN: Final = 1.2
SERVER_PERCENTILE: Final = 0.99
"""MLPerf's for vision (mlperf.conf: *.Server.target_latency_percentile)."""
_EMBEDDED: Final = ("", 0)
"""Path and type that make FromConfig read the mlperf.conf compiled into the wheel: it ships no file."""


@dataclass(frozen=True, slots=True)
class LoadGenSettings:
    """What decides how many queries LoadGen issues, which and when."""

    model: str
    scenario: Scenario
    mode: Mode
    query_count: int
    """Queries issued at least (Offline: samples). Accuracy mode issues every sample once, whatever this says."""
    sample_count: int
    performance_sample_count: int
    min_duration_s: float = 0.0
    target_qps: float | None = None
    """Server."""
    latency_bound_ms: float = 1000.0
    """Server."""
    samples_per_query: int = 8
    """MultiStream."""
    expected_service_s: float = 0.1
    """Time a query takes in a warm environment: sizes the list of queries that LoadGen makes before it starts."""
    expected_qps: float = 1.0
    """What the environments can serve: sizes the one query of an Offline run with a duration."""
    seeds: Seeds = field(default_factory=Seeds)

    @property
    def expected(self) -> int:
        """Samples LoadGen will issue, at least."""
        per_query = self.samples_per_query if self.scenario == "MultiStream" else 1
        if self.mode == "accuracy":
            return -(-self.sample_count // per_query) * per_query  # LoadGen fills the last query up with samples
        return self.query_count * per_query


def settings_of(spec: RunSpec, capacity_qps: float | None = None) -> LoadGenSettings:
    """Settings for a run; `capacity_qps` is what its environments can serve together, as far as it is known."""
    return LoadGenSettings(
        model=spec.loadgen_model,
        scenario=spec.scenario,
        mode=spec.mode,
        query_count=spec.query_count,
        sample_count=len(spec.samples),
        performance_sample_count=min(spec.performance_sample_count, len(spec.samples)),
        min_duration_s=spec.min_duration_s,
        target_qps=spec.target_qps or (spec.load_share * capacity_qps if capacity_qps else None),
        latency_bound_ms=spec.latency_bound_ms,
        samples_per_query=spec.samples_per_query,
        expected_service_s=spec.target.concurrency / capacity_qps if capacity_qps else 0.1,
        expected_qps=capacity_qps or 1.0,
        seeds=spec.seeds,
    )


def test_settings(settings: LoadGenSettings) -> Any:
    """Make LoadGen's TestSettings; raises RunError when LoadGen finds no configuration."""
    made = lg.TestSettings()
    path, kind = _EMBEDDED
    code = made.FromConfig(path, settings.model, settings.scenario, kind)
    if code != 0:
        raise RunError(f"LoadGen read no configuration for {settings.model}/{settings.scenario} (code {code})")
    if made.qsl_rng_seed == 0:
        raise RunError("LoadGen's embedded mlperf.conf gave no seeds; use another version of mlcommons-loadgen")
    made.scenario = _SCENARIOS[settings.scenario]
    made.mode = _MODES[settings.mode]
    made.min_duration_ms = round(settings.min_duration_s * 1000)
    made.min_query_count = settings.query_count
    # Without a maximum: in Server it would end the run with an error (issue_query_controller.cc), and without a
    # duration LoadGen stops at the minimum by itself.
    made.max_query_count = 0
    # The table of workloads decides, not the leftover override for ssd-mobilenet in mlperf.conf: a data set may
    # have fewer samples than it says.
    made.performance_sample_count_override = 0
    _apply_scenario(made, settings)
    _apply_seeds(made, settings.seeds)
    return made


def _apply_scenario(made: Any, settings: LoadGenSettings) -> None:
    """Each scenario's own knobs; expectations only size lists, with a margin: a list that runs out is an error."""
    list_latency_ns = max(1, round(settings.expected_service_s * 1e9 / LIST_MARGIN))
    match settings.scenario:
        case "SingleStream":
            made.single_stream_expected_latency_ns = list_latency_ns
        case "MultiStream":
            made.multi_stream_samples_per_query = settings.samples_per_query
            made.multi_stream_expected_latency_ns = list_latency_ns
        case "Server":
            if settings.target_qps is None:
                raise RunError("Server: no rate of arrivals; give --target-qps")
            made.server_target_qps = settings.target_qps
            made.server_target_latency_ns = round(settings.latency_bound_ms * 1e6)
            made.server_target_latency_percentile = SERVER_PERCENTILE
            made.server_coalesce_queries = False
        case "Offline":
            # One query of max(min_query_count, 1.1 x duration x expected QPS) samples
            # (test_settings_internal.cc): with a duration it must not be over too soon.
            made.offline_expected_qps = settings.expected_qps * OFFLINE_MARGIN


def _apply_seeds(made: Any, seeds: Seeds) -> None:
    for name, value in (
        ("qsl_rng_seed", seeds.qsl),
        ("sample_index_rng_seed", seeds.sample_index),
        ("schedule_rng_seed", seeds.schedule),
    ):
        if value is not None:
            setattr(made, name, value)


def log_settings(folder: str) -> Any:
    """Where LoadGen logs, trace included: the only place where it writes each query's schedule and latency."""
    output = lg.LogOutputSettings()
    output.outdir = folder
    output.copy_summary_to_stdout = False
    made = lg.LogSettings()
    made.enable_trace = True
    made.log_output = output
    return made
