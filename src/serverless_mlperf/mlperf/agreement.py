"""What the records say against a run: figures that differ from LoadGen's summary, latency that no phase explains.

Nothing is measured here: the records carry the latencies of LoadGen's trace, and every figure that both can compute is
compared exactly. Each difference is a fault in the joining of trace and queries, in a formula, or in a version of
LoadGen that computes otherwise.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from serverless_mlperf.early_stopping import (
    MULTI_STREAM_LEVEL,
    SERVER_LEVEL,
    SINGLE_STREAM_LEVEL,
    criterion,
    estimate,
    loadgen_percentile,
)
from serverless_mlperf.latency import observations
from serverless_mlperf.mlperf.spec import DriverResult, Scenario
from serverless_mlperf.mlperf.verdict import Reason, Validity
from serverless_mlperf.percentiles import LEVELS
from serverless_mlperf.records import Record
from serverless_mlperf.waterfall import Waterfall, waterfall

NONE_NS: Final = 0
"""What LoadGen logs of an estimate that it could not make (results.h, `early_stopping_latency_ss = 0`)."""


def disagreements(
    records: Sequence[Record],
    scenario: Scenario,
    results: Mapping[str, Any],
    target_latency_ns: int | None = None,
) -> tuple[str, ...]:
    """Every figure in which LoadGen differs from our records, as `key: LoadGen a, records b`; () if there is none.

    `results` are the `result_*` and `early_stopping_*` values of LoadGen's detail log: none in accuracy mode.
    """
    if "result_50.00_percentile_latency_ns" not in results:
        return ()
    untimed = sum(record.loadgen_latency_ns is None for record in records)
    if untimed or not records:
        return (f"{untimed} of {len(records)} records are without LoadGen's latency: its summary cannot be checked",)
    ours = dict(_figures(records, scenario, target_latency_ns))
    return tuple(
        f"{key}: LoadGen {results.get(key)}, records {value}"
        for key, value in ours.items()
        if results.get(key) != value
    )


def _figures(records: Sequence[Record], scenario: Scenario, target_latency_ns: int | None) -> Iterator[tuple[str, Any]]:
    samples_ns = sorted(record.loadgen_latency_ns or 0 for record in records)
    yield from _distribution(samples_ns, "latency_ns")
    match scenario:
        case "SingleStream":
            yield "early_stopping_latency_ss", _estimate_ns(samples_ns, SINGLE_STREAM_LEVEL)
            # Of one sample per query, too: what LoadGen would infer for MultiStream.
            yield "early_stopping_latency_ms", _estimate_ns(samples_ns, MULTI_STREAM_LEVEL)
        case "MultiStream":
            queries_ns = sorted(query.latency_ns for query in observations(records, scenario))
            yield from _distribution(queries_ns, "query_latency_ns", "per_query_latency_ns")
            yield "early_stopping_latency_ms", _estimate_ns(queries_ns, MULTI_STREAM_LEVEL)
        case "Server" if target_latency_ns is not None:
            rule = criterion(samples_ns, target_latency_ns, SERVER_LEVEL)
            yield "result_overlatency_query_count", rule.over
            yield "early_stopping_met", rule.met


def _distribution(
    ordered_ns: Sequence[int], name: str, percentile_name: str | None = None
) -> Iterator[tuple[str, int]]:
    """LoadGen's keys and values (results.cc, `ProcessLatencies` and `LogDetail`); its mean is a whole number."""
    yield f"result_min_{name}", ordered_ns[0]
    yield f"result_max_{name}", ordered_ns[-1]
    yield f"result_mean_{name}", sum(ordered_ns) // len(ordered_ns)
    for p in LEVELS:
        yield f"result_{p * 100:.2f}_percentile_{percentile_name or name}", loadgen_percentile(ordered_ns, p)


def _estimate_ns(ordered_ns: Sequence[int], p: float) -> int:
    value_ns = estimate(ordered_ns, p).value_ns
    return NONE_NS if value_ns is None else value_ns


def checked(validity: Validity, records: Sequence[Record], driver: DriverResult) -> Validity:
    """Add to a verdict what the records themselves say against it."""
    found = (disagreement(records, driver), unexplained(waterfall(records)))
    reasons = tuple(reason for reason in found if reason is not None)
    return replace(validity, valid=validity.valid and not reasons, reasons=(*validity.reasons, *reasons))


def unexplained(found: Waterfall | None) -> Reason | None:
    """A reason when a noticeable part of the latency is in no phase."""
    if found is None or found.explained:
        return None
    evidence = (
        f"{found.unattributed_ms:.1f} ms per query, of a mean latency of {found.total.mean_ms:.1f} ms, are in no phase"
    )
    return Reason("unattributed", evidence, "free the host of other load and measure again", transient=True)


def disagreement(records: Sequence[Record], driver: DriverResult) -> Reason | None:
    """A reason when LoadGen's summary differs from our records."""
    target_ns = driver.settings.get("target_latency_ns")
    found = disagreements(records, driver.scenario, driver.loadgen, target_ns)
    if not found:
        return None
    evidence = f"{len(found)} figures of LoadGen's summary differ from the records, first: {found[0]}"
    return Reason("disagreement", evidence, "this is a fault of the benchmark: please report it", transient=False)
