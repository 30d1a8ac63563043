"""After the run: stamped queries and their replies become records."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from serverless_mlperf.mlperf.query import Query
from serverless_mlperf.platforms.base import Report
from serverless_mlperf.records import PHASES, Record
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


def make_record(query: Query, delivered: Mapping[str, Delivery]) -> tuple[Record, bool]:
    """Merge both sides of one ended query; True beside it when stamps of two clocks had to be clamped."""
    if query.verdict is None:
        raise ValueError(f"{query.key} has not ended")
    sut = _sut(query.reply) if query.reply else {}
    delivery = delivered.get(str(sut.get("request_id")))
    phases, clamped = _phases(query, sut, delivery)
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
        start_ns=sut.get("start_ns"),
        finish_ns=sut.get("finish_ns"),
        phases_ns=phases,
        cpu_ns=cpu,
        billed_ms=report.billed_ms if report else None,
        duration_ms=report.duration_ms if report else None,
        max_memory_mib=report.max_memory_mib if report else None,
        init_ms=report.init_ms if report else None,
        duplicates=query.duplicates,
        error=query.error,
        init_phases_ns=_numbers(init.get("phases_ns")) if isinstance(init, dict) else None,
    )
    return record, clamped


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
