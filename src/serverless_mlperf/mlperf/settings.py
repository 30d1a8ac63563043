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
}
_EMBEDDED: Final = ("", 0)
"""Path and type that make FromConfig read the mlperf.conf compiled into the wheel: it ships no file."""


@dataclass(frozen=True, slots=True)
class LoadGenSettings:
    """What decides how many queries LoadGen issues, which and when."""

    model: str
    scenario: Scenario
    mode: Mode
    query_count: int
    """Performance mode: samples issued. Accuracy mode issues every sample once, whatever this says."""
    sample_count: int
    performance_sample_count: int
    min_duration_s: float = 0.0
    seeds: Seeds = field(default_factory=Seeds)

    @property
    def expected(self) -> int:
        """Samples LoadGen will issue in Offline."""
        return self.sample_count if self.mode == "accuracy" else self.query_count


def settings_of(spec: RunSpec) -> LoadGenSettings:
    """Settings for a run."""
    return LoadGenSettings(
        model=spec.loadgen_model,
        scenario=spec.scenario,
        mode=spec.mode,
        query_count=spec.query_count,
        sample_count=len(spec.samples),
        performance_sample_count=min(spec.performance_sample_count, len(spec.samples)),
        min_duration_s=spec.min_duration_s,
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
    # Offline issues one query of max(min_query_count, 1.1 x duration x expected QPS) samples
    # (loadgen/test_settings_internal.cc): without a duration that is the count asked for, exactly.
    made.min_query_count = settings.query_count
    made.max_query_count = 0 if settings.scenario == "Offline" else settings.query_count
    # The table of workloads decides, not the leftover override for ssd-mobilenet in mlperf.conf: a data set may
    # have fewer samples than it says.
    made.performance_sample_count_override = 0
    _apply_seeds(made, settings.seeds)
    return made


def _apply_seeds(made: Any, seeds: Seeds) -> None:
    for name, value in (
        ("qsl_rng_seed", seeds.qsl),
        ("sample_index_rng_seed", seeds.sample_index),
        ("schedule_rng_seed", seeds.schedule),
    ):
        if value is not None:
            setattr(made, name, value)


def log_settings(folder: str) -> Any:
    """Where LoadGen logs. Its trace is off: 0.7 kB per query, on by default, and not valid JSON."""
    output = lg.LogOutputSettings()
    output.outdir = folder
    output.copy_summary_to_stdout = False
    made = lg.LogSettings()
    made.enable_trace = False
    made.log_output = output
    return made
