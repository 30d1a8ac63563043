"""The results of a run as files: everything that need not happen while it is measured."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
import math
from pathlib import Path

from serverless_mlperf.clock import ClockOffset, estimate_offsets
from serverless_mlperf.errors import RunError
from serverless_mlperf.mlperf.collection import Delivery, deliveries, exchanges, make_record, timings
from serverless_mlperf.mlperf.driver import Driver
from serverless_mlperf.mlperf.logs import DetailLog
from serverless_mlperf.mlperf.meter import Meter
from serverless_mlperf.mlperf.query import Query
from serverless_mlperf.mlperf.settings import settings_of
from serverless_mlperf.mlperf.spec import DriverResult, RunSpec, dump_result
from serverless_mlperf.mlperf.trace import TraceSample, read_trace
from serverless_mlperf.mlperf.warmup import WarmUp
from serverless_mlperf.records import Record, write_records
from serverless_mlperf.redaction import redacted_json
from serverless_mlperf.transports.base import Reply
from serverless_mlperf.transports.table import effective_options


@dataclass(frozen=True, slots=True)
class Account:
    """A finished run, about to be written down."""

    spec: RunSpec
    driver: Driver
    warm_up: WarmUp | None
    detail: DetailLog
    transport: Mapping[str, int]
    meter: Meter

    def write(self) -> DriverResult:
        """Write queries.jsonl, warmup.jsonl, output/, errors/ and, last, driver.json."""
        folder = self.spec.output
        warmed = list(self.warm_up.queries.values()) if self.warm_up else []
        delivered = deliveries([*_replies(warmed), *_replies(self.driver.queries), *self.driver.surplus])
        timed, trace_fault = self._timings()
        offsets = estimate_offsets(exchanges(self.driver.queries))
        records, clamped = _records(self.driver.queries, delivered, offsets, timed)
        write_records(folder / "queries.jsonl", records)
        write_records(folder / "warmup.jsonl", _records(warmed, delivered)[0])
        write_bodies(folder, self.driver.queries)
        result = make_result(
            self.spec,
            self.driver,
            records,
            clamped,
            len(warmed),
            self.detail,
            self.transport,
            capacity_qps=self.warm_up.capacity_qps if self.warm_up else None,
            meter=self.meter,
        )
        result = replace(result, deadline_s=self.spec.timeout_s, trace_fault=trace_fault)
        (folder / "driver.json").write_bytes(dump_result(result))
        return result

    def _timings(self) -> tuple[dict[str, TraceSample], str | None]:
        """LoadGen's times by key, or why there are none: the queries were measured all the same.

        LoadGen has no account of a test that it was left in the middle of.
        """
        if self.meter.refused is not None:
            return {}, None
        try:
            return timings(self.driver.queries, read_trace(self.spec.output / "loadgen")), None
        except RunError as error:
            return {}, str(error)


def write_bodies(folder: Path, queries: Iterable[Query]) -> None:
    """Write every result as it was delivered, into output/ or errors/; an error names no account."""
    for name in ("output", "errors"):
        (folder / name).mkdir(exist_ok=True)
    for query in queries:
        if query.reply is not None and query.reply.raw:
            name = "output" if query.reply.ok else "errors"
            raw = query.reply.raw if query.reply.ok else redacted_json(query.reply.raw)
            (folder / name / f"{query.key}.json").write_bytes(raw)


def make_result(  # noqa: PLR0913 - everything that is counted
    spec: RunSpec,
    driver: Driver | None,
    records: Iterable[Record] = (),
    clamped: int = 0,
    warmup_queries: int = 0,
    detail: DetailLog | None = None,
    transport: Mapping[str, int] | None = None,
    aborted: str | None = None,
    capacity_qps: float | None = None,
    meter: Meter | None = None,
) -> DriverResult:
    """Count everything; also of a run that was ended early, with what is there."""
    queries = driver.queries if driver else []
    verdicts = Counter(query.verdict for query in queries)
    counts = driver.counts if driver else Counter[str]()
    detail = detail or DetailLog({}, (), ())
    served = [record for record in records if record.environment_id is not None]
    settings = settings_of(spec, capacity_qps)
    server = spec.scenario == "Server"
    return DriverResult(
        run=spec.run,
        scenario=spec.scenario,
        mode=spec.mode,
        asked=settings.expected,
        issued=len(queries),
        ok=verdicts["ok"],
        errors=verdicts["error"],
        timeouts=verdicts["timeout"],
        send_errors=verdicts["send_error"],
        unfinished=verdicts[None],
        duplicates=counts["duplicates"],
        late=counts["late"],
        strays=counts["strays"],
        loadgen_validity=detail.validity,
        loadgen_errors=detail.errors,
        loadgen_warnings=detail.warnings,
        loadgen=detail.results,
        target_qps=settings.target_qps if server else None,
        latency_bound_ms=settings.latency_bound_ms if server else None,
        length=spec.length,
        max_in_flight=spec.max_in_flight,
        capacity_qps=capacity_qps,
        handover_p99_ns=_p99([query.accepted_tick_ns - query.issued_tick_ns for query in queries]),
        send_wait_p99_ns=_send_wait_p99_ns(spec, queries),
        client_cpu_ns=driver.cpu_ns if driver else None,
        wall_ns=driver.wall_ns if driver else None,
        peak_in_flight=driver.peak_in_flight if driver else 0,
        clamped=clamped,
        environments=dict(Counter(str(record.environment_id) for record in served)),
        cold=sum(bool(record.cold) for record in served),
        warmup_queries=warmup_queries,
        transport_name=spec.transport,
        transport_options=effective_options(spec.transport, spec.transport_options),
        transport=dict(transport or {}),
        settings=detail.effective,
        sent=meter.sent if meter else 0,
        budget=meter.refused if meter else None,
        aborted=aborted,
    )


def _records(
    queries: Iterable[Query],
    delivered: Mapping[str, Delivery],
    offsets: Mapping[str, ClockOffset] | None = None,
    timed: Mapping[str, TraceSample] | None = None,
) -> tuple[list[Record], int]:
    ended = [query for query in queries if query.verdict is not None]
    made = [make_record(query, delivered, offsets, (timed or {}).get(query.key)) for query in ended]
    return [record for record, _ in made], sum(clamped for _, clamped in made)


def _replies(queries: Iterable[Query]) -> list[Reply]:
    return [query.reply for query in queries if query.reply is not None]


def _send_wait_p99_ns(spec: RunSpec, queries: Iterable[Query]) -> int | None:
    """LoadGen's thread -> sending begun, of queries that were sent; a burst waits for its turn by design."""
    if spec.max_in_flight is not None or spec.scenario == "Offline":
        return None
    return _p99([query.begun_ns - query.issued_ns for query in queries if query.begun_ns])


def _p99(values: list[int]) -> int | None:
    """As numpy's `inverted_cdf`; numpy itself would cost the process more to import than to use."""
    return sorted(values)[math.ceil(0.99 * len(values)) - 1] if values else None
