"""Is a run to be believed? Every reason why not, with its evidence and what to do next."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
import json
from pathlib import Path
from typing import Final, Self

from serverless_mlperf.mlperf.spec import DriverResult
from serverless_mlperf.platforms.base import PlatformUsage

MIN_CALIBRATION: Final = 0.95
"""Share of its cores the host must have delivered before and after the run."""
PREDICTION_TOLERANCE: Final = 0.2
"""How far the mean forward may be from what the quota predicts from the CPU time measured in the same run."""
MIN_LAG_LIMIT_NS: Final = 5_000_000
"""A quarter of the 20 ms quota period, below which no latency of a throttled function is resolved anyway."""
LAG_SHARE: Final = 0.05
"""Of the median service time: the error we accept in a latency that client or server cause."""
ROUNDING: Final = 1e-9
"""What the quotient of two accuracies may be off by: 343 of 350 right is 98 %, and the target is met."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a run is not VALID."""

    code: str
    evidence: str
    next_step: str
    transient: bool
    """The host's doing: the same run may be VALID when it is tried again."""


@dataclass(frozen=True, slots=True)
class Validity:
    """validity.json."""

    valid: bool
    reasons: tuple[Reason, ...]
    tries: int = 1

    @property
    def transient(self) -> bool:
        """Whether another try may help: all that is wrong was the host's doing."""
        return not self.valid and all(reason.transient for reason in self.reasons)

    def with_reason(self, reason: Reason | None) -> Self:
        """The same verdict with one more reason against it, if there is one."""
        return self if reason is None else replace(self, valid=False, reasons=(*self.reasons, reason))


def verdict(
    driver: DriverResult,
    calibration_before: float | None = None,
    calibration_after: float | None = None,
    usage: PlatformUsage | None = None,
    median_service_ns: int | None = None,
    tries: int = 1,
) -> Validity:
    """Judge a run.

    A calibration is the share of the host's cores that a spin test really got (1.0 = all of it); None where
    there is none (a platform elsewhere). `median_service_ns` is the median time a query spent in the function.
    """
    limit_ns = lag_limit_ns(median_service_ns)
    reasons = (
        *_of_loadgen(driver),
        *_of_queries(driver),
        *_of_window(driver),
        *_of_client(driver, limit_ns),
        *_of_host("before", calibration_before),
        *_of_host("after", calibration_after),
        *_of_platform(usage, limit_ns),
    )
    return Validity(not reasons, reasons, tries)


def host_limited(mean_ms: float | None, quota_ms: float | None) -> Reason | None:
    """A reason when the measured mean forward is not what the quota makes of its own CPU time.

    Then something else than the function's quota decided: environments that compete for the host's cores, say.
    """
    if not mean_ms or not quota_ms or abs(mean_ms / quota_ms - 1) <= PREDICTION_TOLERANCE:
        return None
    evidence = (
        f"mean forward {mean_ms:.1f} ms, {mean_ms / quota_ms - 1:+.0%} against the 20 ms quota's {quota_ms:.1f} ms"
    )
    return Reason("host_limited", evidence, "measure with fewer environments (--concurrency)", transient=True)


def accuracy_below_target(
    metric: str, value: float | None, reference: float | None, target_ratio: float, unknown: str | None = None
) -> Reason | None:
    """A reason when an accuracy run missed MLPerf's target, relative to the FP32 reference, or cannot tell.

    `unknown` says why a figure is missing.
    """
    if value is None or not reference:
        return Reason("accuracy_unknown", unknown or "no figure", "measure images with labels", transient=False)
    if value / reference >= target_ratio - ROUNDING:
        return None
    evidence = (
        f"{metric} {value:.4f} is {value / reference:.2%} of the FP32 reference's {reference:.4f}, "
        f"target {target_ratio:.0%}"
    )
    next_step = "look for lost queries; else compare the engine's answers in output/ with the reference's"
    return Reason("accuracy_below_target", evidence, next_step, transient=False)


def lag_limit_ns(median_service_ns: int | None) -> int:
    """How late client or server may act at the 99th percentile."""
    return max(MIN_LAG_LIMIT_NS, round(LAG_SHARE * (median_service_ns or 0)))


def write_validity(path: Path, validity: Validity) -> None:
    """Write validity.json, whole or not at all."""
    document = {"verdict": "VALID" if validity.valid else "INVALID", **asdict(validity)}
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=1) + "\n")
    partial.replace(path)


def _of_loadgen(driver: DriverResult) -> Iterator[Reason]:
    if driver.aborted is not None:
        yield Reason("aborted", driver.aborted, "run the cell again (--resume)", transient=False)
    elif driver.mode == "performance" and driver.loadgen_validity != "VALID":
        evidence = f"LoadGen says {driver.loadgen_validity or 'nothing'}"
        yield Reason("loadgen_invalid", evidence, "read loadgen/mlperf_log_summary.txt", transient=False)
    if driver.loadgen_errors:
        evidence = f"{len(driver.loadgen_errors)} LoadGen errors, first: {driver.loadgen_errors[0]}"
        yield Reason("loadgen_errors", evidence, "read loadgen/mlperf_log_detail.txt", transient=False)


def _of_queries(driver: DriverResult) -> Iterator[Reason]:
    for code, count, what, next_step in (
        ("lost", driver.timeouts, "no result before the deadline", "read the function's log; raise --timeout"),
        ("errors", driver.errors, "error results", "read errors/*.json"),
        ("send_errors", driver.send_errors, "not accepted by the platform", "read the platform's log"),
        ("duplicates", driver.duplicates, "second executions", "measure again; see queries.jsonl"),
        ("unfinished", driver.unfinished, "had not ended", "measure again"),
    ):
        if count:
            yield Reason(code, f"{count} of {driver.issued} queries: {what}", next_step, transient=False)
    if driver.aborted is None and driver.issued != driver.asked:
        evidence = f"{driver.issued} queries issued, {driver.asked} asked"
        yield Reason("query_count", evidence, "read loadgen/mlperf_log_detail.txt", transient=False)


def _of_window(driver: DriverResult) -> Iterator[Reason]:
    if driver.cold:
        evidence = f"{driver.cold} cold starts in the measured window"
        yield Reason("cold_in_window", evidence, "measure again: an environment was replaced", transient=True)
    if driver.strays:
        evidence = f"{driver.strays} results of warm-up queries came in the measured window"
        yield Reason("strays", evidence, "measure again after a pause", transient=True)


def _of_client(driver: DriverResult, limit_ns: int) -> Iterator[Reason]:
    if driver.handover_p99_ns is not None and driver.handover_p99_ns > limit_ns:
        evidence = f"hand-over to the client's loop p99 {_ms(driver.handover_p99_ns)}, limit {_ms(limit_ns)}"
        yield Reason("late_client", evidence, "free the host of other load and measure again", transient=True)


def _of_host(when: str, calibration: float | None) -> Iterator[Reason]:
    if calibration is not None and calibration < MIN_CALIBRATION:
        evidence = f"{when} the run the host delivered {calibration:.0%} of its cores, limit {MIN_CALIBRATION:.0%}"
        yield Reason(f"host_{when}", evidence, "free the host of other load and measure again", transient=True)


def _of_platform(usage: PlatformUsage | None, limit_ns: int) -> Iterator[Reason]:
    lag_ns = usage.loop_lag_p99_ns if usage is not None else None
    if lag_ns is not None and lag_ns > limit_ns:
        evidence = f"the platform's event loop was late by p99 {_ms(lag_ns)}, limit {_ms(limit_ns)}"
        yield Reason("platform_lag", evidence, "free the host of other load and measure again", transient=True)


def _ms(value_ns: int) -> str:
    return f"{value_ns / 1e6:.1f} ms"
