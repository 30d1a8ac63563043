"""Is a run to be believed? Every reason why not, with its evidence and what to do next."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
import json
from pathlib import Path
from typing import Final, Self

from serverless_mlperf.files import write_whole
from serverless_mlperf.mlperf.spec import DriverResult
from serverless_mlperf.platforms.base import PlatformUsage
from serverless_mlperf.redaction import redacted_document

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
LATE_LIMIT_NS: Final = 2_000_000
"""How late the client may hand over a query at the 99th percentile, where latency is measured."""
CLIENT_LIMITED_SHARE: Final = 0.9
"""Of one core: a client that takes more (Python runs on one) may be what limits the throughput."""

_RULES: Final = (
    ("result_min_duration_met", "min_duration", "the run was shorter than its minimum duration"),
    ("result_min_queries_met", "min_query_count", "fewer queries than the minimum"),
    ("early_stopping_met", "early_stopping", "too few queries for the confidence that MLPerf asks for"),
    ("result_perf_constraints_met", "latency_bound", "the 99th percentile of latency is above its bound"),
)
"""LoadGen's rules by the key of its log: our code, and what it means (loadgen/results.cc)."""


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
    timing = (
        *_of_window(driver),
        *_of_client(driver),
        *_of_host("before", calibration_before),
        *_of_host("after", calibration_after),
        *_of_platform(usage, lag_limit_ns(median_service_ns)),
    )
    # Accuracy mode measures answers, not time: what only delays them is no reason (inference_rules, accuracy mode).
    always = (*_of_loadgen(driver), *_of_queries(driver), *_of_faults(usage))
    reasons = (*always, *(timing if driver.mode != "accuracy" else ()))
    return Validity(not reasons, reasons, tries)


def host_limited(mean_ms: float | None, quota_ms: float | None) -> Reason | None:
    """A reason when the measured mean forward is not what the quota makes of its own CPU time.

    Then something else than the function's quota decided: environments that compete for the host's cores, say. One
    that is shorter was not throttled as it should have been.
    """
    if not mean_ms or not quota_ms or abs(mean_ms / quota_ms - 1) <= PREDICTION_TOLERANCE:
        return None
    evidence = (
        f"mean forward {mean_ms:.1f} ms, {mean_ms / quota_ms - 1:+.0%} against the 20 ms quota's {quota_ms:.1f} ms"
    )
    next_step = (
        "measure with fewer environments (--concurrency)" if mean_ms > quota_ms else "measure again, with more queries"
    )
    return Reason("host_limited", evidence, next_step, transient=True)


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
    """Write validity.json, whole or not at all; its evidence, which may be AWS's words, names no account."""
    document = {"verdict": "VALID" if validity.valid else "INVALID", **redacted_document(asdict(validity))}
    write_whole(path, json.dumps(document, indent=1) + "\n")


def _of_loadgen(driver: DriverResult) -> Iterator[Reason]:
    if driver.aborted is not None:
        yield Reason("aborted", driver.aborted, "run the cell again (--resume)", transient=False)
    elif driver.budget is not None:
        evidence = f"{driver.budget}; {driver.unfinished} of {driver.issued} queries were not sent"
        yield Reason("budget", evidence, "raise the bound and go on with --resume", transient=False)
    elif driver.mode != "accuracy" and driver.loadgen_validity != "VALID":
        yield from _broken_rules(driver)
    if driver.loadgen_errors:
        evidence = f"{len(driver.loadgen_errors)} LoadGen errors, first: {driver.loadgen_errors[0]}"
        yield Reason("loadgen_errors", evidence, "read loadgen/mlperf_log_detail.txt", transient=False)
    if driver.trace_fault is not None:
        yield Reason("trace", driver.trace_fault, "measure again", transient=False)


def _broken_rules(driver: DriverResult) -> Iterator[Reason]:
    """Which of LoadGen's rules do not hold; none of them known, its verdict alone."""
    broken = [(code, meaning) for key, code, meaning in _RULES if driver.loadgen.get(key) is False]
    for code, meaning in broken:
        yield Reason(code, f"LoadGen: {meaning}{_detail(driver, code)}", _next_step(code), transient=False)
    if not broken:
        evidence = f"LoadGen says {driver.loadgen_validity or 'nothing'}"
        yield Reason("loadgen_invalid", evidence, "read loadgen/mlperf_log_summary.txt", transient=False)


def _detail(driver: DriverResult, code: str) -> str:
    """What LoadGen says beyond yes and no."""
    p99_ns = driver.loadgen.get("result_99.00_percentile_latency_ns")
    if code == "latency_bound" and p99_ns is not None:
        return f" ({_ms(p99_ns)} against {driver.latency_bound_ms:g} ms at {driver.target_qps:.3g} queries/s)"
    said = " ".join(str(driver.loadgen.get(f"{code}_result", "")).split())
    return f" ({said[:200]})" if said else ""


def _next_step(code: str) -> str:
    if code == "latency_bound":
        return "lower --target-qps, give the function more memory, or raise --latency-bound-ms"
    return "measure longer: --full, or more --queries"


def _of_queries(driver: DriverResult) -> Iterator[Reason]:
    for code, count, what, next_step in (
        ("lost", driver.timeouts, "no result before the deadline", "read the function's log; raise --timeout"),
        ("errors", driver.errors, "error results", "read errors/*.json"),
        ("send_errors", driver.send_errors, "not accepted by the platform", "read the platform's log"),
        ("duplicates", driver.duplicates, "second executions", "measure again; see queries.jsonl"),
        ("unfinished", 0 if driver.budget else driver.unfinished, "had not ended", "measure again"),
    ):
        if count:
            yield Reason(code, f"{count} of {driver.issued} queries: {what}", next_step, transient=False)
    if driver.aborted is None and driver.budget is None and not _count_fits(driver):
        evidence = f"{driver.issued} queries issued, {driver.asked} asked"
        yield Reason("query_count", evidence, "read loadgen/mlperf_log_detail.txt", transient=False)


def _count_fits(driver: DriverResult) -> bool:
    """Whether LoadGen issued what was asked: where a duration was asked for as well, or more."""
    exact = driver.mode == "accuracy" or not driver.settings.get("min_duration_ms")
    return driver.issued == driver.asked if exact else driver.issued >= driver.asked


def _of_window(driver: DriverResult) -> Iterator[Reason]:
    if driver.cold:
        evidence = f"{driver.cold} cold starts in the measured window"
        yield Reason("cold_in_window", evidence, "measure again: an environment was replaced", transient=True)
    if driver.strays:
        evidence = f"{driver.strays} results of warm-up queries came in the measured window"
        yield Reason("strays", evidence, "measure again after a pause", transient=True)


def late_limit_ns(driver: DriverResult) -> int | None:
    """How late the client may be at the 99th percentile: in Server 5 % of the bound or 2 ms, in a burst no limit."""
    match driver.scenario:
        case "Offline":
            return None
        case "Server":
            return max(LATE_LIMIT_NS, round(LAG_SHARE * (driver.latency_bound_ms or 0) * 1e6))
    return LATE_LIMIT_NS


def client_cpu_share(driver: DriverResult) -> float | None:
    """CPU time of the client over the time of the test, in cores; None where it was not measured.

    Above CLIENT_LIMITED_SHARE the client may be what limits the throughput.
    """
    if driver.client_cpu_ns is None or not driver.wall_ns:
        return None
    return driver.client_cpu_ns / driver.wall_ns


def _of_client(driver: DriverResult) -> Iterator[Reason]:
    limit_ns = late_limit_ns(driver)
    for what, late_ns in (
        ("hand-over to the client's loop", driver.handover_p99_ns),
        ("hand-over to the transport", driver.send_wait_p99_ns),
    ):
        if limit_ns is not None and late_ns is not None and late_ns > limit_ns:
            evidence = f"{what} p99 {_ms(late_ns)}, limit {_ms(limit_ns)}"
            yield Reason("late_client", evidence, "free the host of other load and measure again", transient=True)
            return


def _of_host(when: str, calibration: float | None) -> Iterator[Reason]:
    if calibration is not None and calibration < MIN_CALIBRATION:
        evidence = f"{when} the run the host delivered {calibration:.0%} of its cores, limit {MIN_CALIBRATION:.0%}"
        yield Reason(f"host_{when}", evidence, "free the host of other load and measure again", transient=True)


def _of_faults(usage: PlatformUsage | None) -> Iterator[Reason]:
    if usage is not None and usage.faults is not None:
        evidence = f"faults on demand: {usage.faults}"
        yield Reason("faults", evidence, "measure without --faults", transient=False)


def _of_platform(usage: PlatformUsage | None, limit_ns: int) -> Iterator[Reason]:
    lag_ns = usage.loop_lag_p99_ns if usage is not None else None
    if lag_ns is not None and lag_ns > limit_ns:
        evidence = f"the platform's event loop was late by p99 {_ms(lag_ns)}, limit {_ms(limit_ns)}"
        yield Reason("platform_lag", evidence, "free the host of other load and measure again", transient=True)


def _ms(value_ns: int) -> str:
    return f"{value_ns / 1e6:.1f} ms"
