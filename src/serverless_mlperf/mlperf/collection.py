"""After the run: stamped queries and their replies become records."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from serverless_mlperf.clock import ClockOffset, Exchange
from serverless_mlperf.mlperf.query import Query
from serverless_mlperf.mlperf.trace import Trace, TraceSample, join
from serverless_mlperf.platforms.base import Report
from serverless_mlperf.records import PHASES, Record
from serverless_mlperf.redaction import redacted
from serverless_mlperf.transports.base import Reply


@dataclass(frozen=True, slots=True)
class Delivery:
    """How long one invocation took to deliver; told by the next one of its environment."""

    wall_ns: int
    cpu_ns: int | None


def deliveries(replies: Iterable[Reply]) -> dict[str, Delivery]:
    """Request id -> delivery, from every reply at hand."""
    found = {}
    for reply in replies:
        previous = _sut(reply).get("previous_deliver")
        if isinstance(previous, dict) and isinstance(previous.get("wall_ns"), int):
            found[str(previous.get("request_id"))] = Delivery(previous["wall_ns"], previous.get("cpu_ns"))
    return found


def exchanges(queries: Iterable[Query]) -> list[Exchange]:
    """The stamps of both sides, of the queries that have all four."""
    found = (_exchange(query, query.reply) for query in queries if query.reply is not None)
    return [exchange for exchange in found if exchange is not None]


def timings(queries: Iterable[Query], trace: Trace) -> dict[str, TraceSample]:
    """Key -> what LoadGen says of it, for all queries LoadGen handed over; raises RunError where they do not match.

    Keys are given out in the order of hand-over.
    """
    handed = sorted(queries, key=lambda query: query.key)
    samples = join([query.sample_index for query in handed], trace)
    return {query.key: sample for query, sample in zip(handed, samples, strict=True) if sample is not None}


def make_record(
    query: Query,
    delivered: Mapping[str, Delivery],
    offsets: Mapping[str, ClockOffset] | None = None,
    timed: TraceSample | None = None,
) -> tuple[Record, bool]:
    """Merge all sides of one ended query; True beside it when stamps of two clocks had to be clamped.

    Phases that begin by one clock and end by another are corrected by the offset of the query's environment if that
    is significant.
    """
    if query.verdict is None:
        raise ValueError(f"{query.key} has not ended")
    sut = _sut(query.reply) if query.reply else {}
    delivery = delivered.get(str(sut.get("request_id")))
    offset = (offsets or {}).get(str(sut.get("environment_id")))
    correction_ns = offset.correction_ns if offset else 0
    phases, clamped = _phases(query, _by_the_clients_clock(sut, correction_ns), delivery)
    cpu = _numbers(sut.get("cpu_ns"))
    if cpu is not None and delivery is not None and delivery.cpu_ns is not None:
        cpu["deliver"] = delivery.cpu_ns
    init = sut.get("init") if sut.get("cold") else None
    report = _report(query.reply, sut)
    record = Record(
        key=query.key,
        sample_index=query.sample_index,
        verdict=query.verdict,
        latency_ns=query.latency_ns,
        issued_ns=query.issued_ns,
        cold=sut.get("cold"),
        environment_id=sut.get("environment_id"),
        request_id=sut.get("request_id") or (report.request_id if report else None),
        start_ns=_stamp(sut, "start_ns"),
        finish_ns=_stamp(sut, "finish_ns"),
        phases_ns=phases,
        cpu_ns=cpu,
        billed_ms=report.billed_ms if report else None,
        duration_ms=report.duration_ms if report else None,
        max_memory_mib=report.max_memory_mib if report else None,
        init_ms=report.init_ms if report else None,
        duplicates=query.duplicates,
        error=redacted(query.error) if query.error else None,
        init_begun_ns=_stamp(init, "begun_ns") if isinstance(init, dict) else None,
        init_phases_ns=_numbers(init.get("phases_ns")) if isinstance(init, dict) else None,
        clock_offset_ns=correction_ns or None,
        **_client_stamps(query),
        **_loadgen_times(timed),
    )
    return record, clamped


def _exchange(query: Query, reply: Reply) -> Exchange | None:
    sut = _sut(reply)
    start_ns, finish_ns = _stamp(sut, "start_ns"), _stamp(sut, "finish_ns")
    if not (query.begun_ns and start_ns and finish_ns and reply.noticed_ns and "environment_id" in sut):
        return None
    # A request that was refused at first has been under way only since it was accepted.
    sent_ns = reply.asked_ns or query.begun_ns
    return Exchange(str(sut["environment_id"]), sent_ns, start_ns, finish_ns, reply.noticed_ns)


def _by_the_clients_clock(sut: Mapping[str, Any], correction_ns: int) -> dict[str, Any]:
    """The same with its wall clock stamps corrected, as far as it has them."""
    stamps = {name: _stamp(sut, name) for name in ("start_ns", "finish_ns")}
    return {**sut, **{name: stamp and stamp - correction_ns for name, stamp in stamps.items()}}


def _stamp(sut: Mapping[str, Any], name: str) -> int | None:
    """A malformed result is kept as an error, but what is no number is no stamp."""
    value = sut.get(name)
    return value if isinstance(value, int) else None


def _client_stamps(query: Query) -> dict[str, int | None]:
    reply = query.reply
    return {
        "begun_ns": query.begun_ns or None,
        "sent_ns": reply.sent_ns or None if reply else None,
        "noticed_ns": reply.noticed_ns or None if reply else None,
        "fetched_ns": reply.fetched_ns or None if reply else None,
    }


def _loadgen_times(timed: TraceSample | None) -> dict[str, int]:
    if timed is None:
        return {}
    return {
        "loadgen_latency_ns": timed.latency_ns,
        "schedule_delay_ns": timed.delay_ns,
        "query_seq": timed.query_seq,
    }


def _phases(query: Query, sut: Mapping[str, Any], delivery: Delivery | None) -> tuple[dict[str, int] | None, bool]:
    """Split the way of a query; a phase whose ends are not both known is left out.

    True beside it when stamps of the two sides contradict each other: they are from two clocks (from one on the local
    platform).
    """
    reply = query.reply
    if reply is None:
        return None, False
    spans = {"client_wait": query.begun_ns - query.issued_ns} if query.begun_ns else {}
    inside = {name: value for name, value in (_numbers(sut.get("phases_ns")) or {}).items() if name in PHASES}
    around = _around_response(query, reply, sut) if reply.asked_ns else _around_objects(query, reply, sut, delivery)
    spans |= inside | around[0]
    if reply.noticed_ns and reply.fetched_ns:
        spans["collect"] = reply.fetched_ns - reply.noticed_ns
    clamped = around[1] or any(span < 0 for span in spans.values())
    return {name: max(0, spans[name]) for name in PHASES if name in spans}, clamped


def _around_response(query: Query, reply: Reply, sut: Mapping[str, Any]) -> tuple[dict[str, int], bool]:
    """Before and after the function, where the response is the result.

    The client's clock alone gives their sum, so that two clocks that disagree move time from one to the other, at most.
    """
    spans = {"throttled": reply.asked_ns - query.begun_ns} if query.begun_ns else {}
    start, finish = sut.get("start_ns"), sut.get("finish_ns")
    if not start or not finish:
        return spans, False
    outside_ns = reply.noticed_ns - reply.asked_ns - (finish - start)
    request_ns = min(max(0, start - reply.asked_ns), max(0, outside_ns))
    spans |= {"request": request_ns, "notice": outside_ns - request_ns}
    return spans, request_ns != start - reply.asked_ns


def _around_objects(
    query: Query, reply: Reply, sut: Mapping[str, Any], delivery: Delivery | None
) -> tuple[dict[str, int], bool]:
    """Before and after the function, where query and result are objects.

    A function may start before the answer to the PUT has arrived: then the PUT ends where the function starts.
    """
    spans: dict[str, int] = {}
    start, finish = sut.get("start_ns"), sut.get("finish_ns")
    sent_ns = reply.sent_ns or start
    if query.begun_ns and sent_ns:
        spans["put"] = min(sent_ns, start or sent_ns) - query.begun_ns
    if start and sent_ns:
        spans["trigger"] = start - min(sent_ns, start)
    if finish and delivery is not None and reply.noticed_ns:
        # The notice may overtake the end of the delivery, which goes on after the output has been written.
        after_ns = max(0, reply.noticed_ns - finish)
        spans["deliver"] = min(delivery.wall_ns, after_ns)
        spans["notice"] = after_ns - spans["deliver"]
    return spans, bool(start and sent_ns and sent_ns > start) or not reply.sent_ns


def _report(reply: Reply | None, sut: Mapping[str, Any]) -> Report | None:
    """Return what the platform said beside the result, if it is of the same invocation."""
    report = reply.report if reply else None
    return report if report and sut.get("request_id") in (None, report.request_id) else None


def _sut(reply: Reply) -> dict[str, Any]:
    sut = reply.body.get("sut")
    return sut if isinstance(sut, dict) else {}


def _numbers(values: object) -> dict[str, int] | None:
    """Return integers by name as far as they are there; None without any mapping."""
    if not isinstance(values, dict):
        return None
    return {str(name): int(value) for name, value in values.items() if isinstance(value, int | float)}
