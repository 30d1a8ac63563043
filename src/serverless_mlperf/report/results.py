"""The row of one measured run: what the table, results.csv and summary.json show."""

from dataclasses import asdict, dataclass, field
from typing import Any, Self

from pydantic import TypeAdapter

from serverless_mlperf.latency import Latencies
from serverless_mlperf.percentiles import Quantile
from serverless_mlperf.pricing.cost import RunCost
from serverless_mlperf.waterfall import Waterfall
from serverless_mlperf.workloads import suffix


@dataclass(frozen=True, slots=True)
class CellResult:
    """One run of one cell. Optional figures are None where there is no data, never 0."""

    task: str
    engine_and_format: str
    memory_mib: int
    model_name: str
    run: int
    p50_ms: float | None
    """`forward` in the function, warm queries: the seed's latency."""
    p90_ms: float | None
    mean_ms: float | None
    stddev_ms: float | None
    qps_seed: float | None
    """Files / (last finish - first start), by the functions' clocks."""
    qps_loadgen: float | None
    """Samples / completion of the last one, by LoadGen's clock."""
    completion_p50_ms: float | None
    """Completion time in the burst: all samples are sent at once, so this is no latency."""
    completion_p90_ms: float | None
    files: int
    time_difference_s: float | None
    cold: int
    warm: int
    environments: int
    init_ms: float | None
    share_predicted_ms: float | None
    """Modelled: mean forward if only the CPU share counted."""
    quota_predicted_ms: float | None
    """Modelled: mean forward under the share as a budget per 20 ms."""
    function_cpu_ms: float | None
    forward_cpu_ms: float | None
    platform_cpu_ms: float | None
    client_cpu_ms: float | None
    lost: int
    duplicates: int
    errors: int
    valid: bool
    tries: int
    top1: float | None = None
    top5: float | None = None
    ap: float | None = None
    ap50: float | None = None
    ap75: float | None = None
    ap_small: float | None = None
    """AP of objects below 32 x 32 pixels."""
    ap_medium: float | None = None
    ap_large: float | None = None
    """AP of objects above 96 x 96 pixels."""
    accuracy_samples: int = 0
    accuracy_source: str | None = None
    """`accuracy log` (LoadGen's, in accuracy mode) or `outputs`."""
    accuracy_reference: float | None = None
    """Top-1 or AP of the same weights in FP32 in ONNX Runtime, over the whole data set."""
    accuracy_ratio: float | None = None
    """Top-1 or AP over the reference's; None with accuracy_reason."""
    accuracy_target_ratio: float | None = None
    """MLPerf's target for that ratio; a verdict in accuracy mode alone."""
    accuracy_reason: str | None = None
    reasons: tuple[str, ...] = ()
    calibration_before: float | None = None
    calibration_after: float | None = None
    billed_ms_mean: float | None = None
    max_memory_mib: int | None = None
    phases_ms: dict[str, float] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)
    scenario: str = "Offline"
    mode: str = "performance"
    step: int = 1
    """Of the runs that belong together: a compliance test and its references, the points of a sweep or a search."""
    transport: str = "s3"
    payload: str | None = None
    """`invoke`: what a query carried."""
    length: str | None = None
    """quick, standard or full."""
    target_qps: float | None = None
    """Server: mean rate of arrivals."""
    latency_bound_ms: float | None = None
    """Server."""
    capacity_qps: float | None = None
    """What the environments can serve together, by the warm-up: an upper bound."""
    max_in_flight: int | None = None
    flight: tuple[Quantile, ...] = ()
    """Sent -> completed, warm queries: latency without the wait for a free place, where `max_in_flight` bounds them."""
    client_cpu_share: float | None = None
    """CPU time of the client over the run's, in cores."""
    transport_counts: dict[str, int] = field(default_factory=dict)
    """What the transport had to deal with: retries, throttles, ... ; counted from the warm-up on."""
    forward: tuple[Quantile, ...] = ()
    """Percentiles of the seed's latency with their intervals, warm queries."""
    cold_forward: tuple[Quantile, ...] = ()
    """Of cold queries, those of the warm-up included."""
    latencies: Latencies | None = None
    """LoadGen's latency, of its queries; in Offline completion times in the burst."""
    waterfall: Waterfall | None = None
    """Where the time of warm queries went."""
    cold_waterfall: Waterfall | None = None
    isolation: str | None = None
    """How environments were kept apart, and what held them to their share; None on a platform that does not tell."""
    controller: str | None = None
    cost: RunCost | None = None
    """Price of a query, warm and cold apart; None where the platform billed nothing."""
    architecture: str = "x86_64"
    unreported: int = 0
    """Invocations of which the platform said nothing, though it was waited for: they are in no billed duration."""

    @property
    def size(self) -> str:
        """Memory and, where it is not x86_64, architecture."""
        return f"{self.memory_mib} MB{suffix(self.architecture, ' ')}"

    @property
    def place(self) -> str:
        """Model, memory size and architecture, by which rows of the same cell are found."""
        return f"{self.model_name} {self.memory_mib}{suffix(self.architecture, ' ')}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read `to_dict` back; keys of later schemas are ignored. Raises ValueError when it is not one."""
        return TypeAdapter(cls).validate_python(values)
