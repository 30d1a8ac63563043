"""Queries and replies become records."""

import base64
from typing import Any

import pytest

from serverless_mlperf.clock import Exchange, estimate_offsets
from serverless_mlperf.errors import RunError
from serverless_mlperf.mlperf.collection import Delivery, deliveries, exchanges, make_record, timings
from serverless_mlperf.mlperf.query import Query, check_sut
from serverless_mlperf.mlperf.trace import Trace, TraceSample
from serverless_mlperf.transports.base import Reply

SUT: dict[str, Any] = {
    "environment_id": "e1",
    "request_id": "q1",
    "cold": False,
    "invocation": 4,
    "start_ns": 1_300,
    "finish_ns": 1_900,
    "phases_ns": {"fetch": 100, "forward": 400, "unheard_of": 7},
    "cpu_ns": {"fetch": 10, "forward": 390},
    "init": {"phases_ns": {"imports": 5}, "cpu_ns": {}},
}


def _query(sut: dict[str, Any] | None = None, sent_ns: int = 1_200) -> Query:
    query = Query("r-00000001", 1, 3, issued_ns=1_000, issued_tick_ns=50, begun_ns=1_050)
    query.verdict, query.completed_tick_ns = "ok", 1_200
    query.reply = Reply("r-00000001", True, {"sut": SUT if sut is None else sut}, b"{}", None, sent_ns, 2_100, 2_150)
    return query


def test_phases_add_up_to_the_way_of_the_query() -> None:
    """Client and function phases are in order, and the client's part closes the gaps."""
    record, clamped = make_record(_query(), {"q1": Delivery(150, 20)})
    assert record.phases_ns == {
        "client_wait": 50,
        "put": 150,
        "trigger": 100,
        "fetch": 100,
        "forward": 400,
        "deliver": 150,
        "notice": 50,
        "collect": 50,
    }
    assert record.cpu_ns == {"fetch": 10, "forward": 390, "deliver": 20}
    assert (clamped, record.latency_ns, record.init_phases_ns) == (False, 1_150, None)


def test_function_may_start_before_the_put_is_answered() -> None:
    """Then the PUT ends where the function starts, and the record is counted as clamped."""
    record, clamped = make_record(_query(sent_ns=1_400), {})
    assert record.phases_ns is not None
    assert (record.phases_ns["put"], record.phases_ns["trigger"], clamped) == (250, 0, True)


def test_result_may_overtake_the_answer_to_the_put() -> None:
    """Unknown time of the answer: as above."""
    record, clamped = make_record(_query(sent_ns=0), {})
    assert record.phases_ns is not None
    assert (record.phases_ns["put"], record.phases_ns["trigger"], clamped) == (250, 0, True)


def test_clocks_that_disagree_never_give_negative_phases() -> None:
    """A function whose clock is behind is clamped and counted."""
    record, clamped = make_record(_query({**SUT, "start_ns": 900, "finish_ns": 5_000}), {"q1": Delivery(10, None)})
    assert record.phases_ns is not None
    assert min(record.phases_ns.values()) == 0
    assert clamped


def _invoked(sut: dict[str, Any] | None = None, begun_ns: int = 1_050, log: str = "") -> Query:
    """A query of `invoke`: refused for a while, then asked at 1,150, answered at 2,100."""
    query = _query(SUT if sut is None else sut)
    query.begun_ns = begun_ns
    body = {"sut": SUT if sut is None else sut}
    query.reply = Reply(query.key, True, body, asked_ns=1_150, noticed_ns=2_100, fetched_ns=2_150, log_result=log)
    return query


def test_phases_around_a_response_add_up() -> None:
    """Client, network and function follow each other without a gap but the one inside the function."""
    record, clamped = make_record(_invoked(), {})
    assert record.phases_ns == {
        "client_wait": 50,
        "throttled": 100,
        "request": 150,
        "fetch": 100,
        "forward": 400,
        "notice": 200,
        "collect": 50,
    }
    in_function = SUT["finish_ns"] - SUT["start_ns"] - 500
    assert sum(record.phases_ns.values()) + in_function == record.latency_ns
    assert not clamped


@pytest.mark.parametrize(("shift", "request_ns", "notice_ns"), [(-500, 0, 350), (900, 350, 0)])
def test_clock_of_the_function_cannot_change_the_sum(shift: int, request_ns: int, notice_ns: int) -> None:
    """What two clocks do not agree on moves between before and after, and the record counts as clamped."""
    moved = {**SUT, "start_ns": SUT["start_ns"] + shift, "finish_ns": SUT["finish_ns"] + shift}
    record, clamped = make_record(_invoked(moved), {})
    assert record.phases_ns is not None
    assert (record.phases_ns["request"], record.phases_ns["notice"], clamped) == (request_ns, notice_ns, True)


def test_function_error_has_no_phases_of_the_function() -> None:
    """Where the function has not said when it ran, before and after it are unknown."""
    query = _invoked({})
    query.verdict, query.error = "error", "function error: ValueError: no good"
    record, clamped = make_record(query, {})
    assert (record.phases_ns, clamped) == ({"client_wait": 50, "throttled": 100, "collect": 50}, False)


def _log(request_id: str) -> str:
    line = (
        f"REPORT RequestId: {request_id}\tDuration: 12.30 ms\tBilled Duration: 13 ms\tMemory Size: 512 MB\t"
        "Max Memory Used: 80 MB\tInit Duration: 300.50 ms\t\n"
    )
    return base64.b64encode(line.encode()).decode()


def test_report_beside_the_result_is_recorded() -> None:
    """What Lambda billed is in the record of the same invocation, without asking the platform."""
    record, _ = make_record(_invoked(log=_log("q1")), {})
    assert (record.duration_ms, record.billed_ms, record.max_memory_mib, record.init_ms) == (12.3, 13, 80, 300.5)
    other, _ = make_record(_invoked(log=_log("q2")), {})
    assert (other.duration_ms, other.billed_ms, other.max_memory_mib, other.init_ms) == (None, None, None, None)


def test_report_names_an_invocation_that_failed() -> None:
    """A function that died told nothing of itself; Lambda names it and what it cost."""
    query = _invoked({}, log=_log("q1"))
    query.verdict = "error"
    record, _ = make_record(query, {})
    assert (record.request_id, record.billed_ms, record.cold) == ("q1", 13, None)


def test_unknown_delivery_leaves_its_phases_out() -> None:
    """The last query of an environment has no `deliver`, rather than 0."""
    record, _ = make_record(_query(), {})
    assert record.phases_ns is not None
    assert not {"deliver", "notice"} & set(record.phases_ns)


def test_notice_may_overtake_the_end_of_the_delivery() -> None:
    """The function still deletes its input when the client hears of the output."""
    record, _ = make_record(_query(), {"q1": Delivery(10_000, None)})
    assert record.phases_ns is not None
    assert (record.phases_ns["deliver"], record.phases_ns["notice"]) == (200, 0)


def test_cold_query_carries_its_init_phases() -> None:
    """Only the first query of an environment does."""
    assert make_record(_query({**SUT, "cold": True}), {})[0].init_phases_ns == {"imports": 5}


def test_lost_query_has_no_data() -> None:
    """None, never 0."""
    query = _query()
    query.verdict, query.reply, query.error = "timeout", None, "no result"
    record, _ = make_record(query, {})
    assert (record.phases_ns, record.cold, record.start_ns, record.cpu_ns) == (None, None, None, None)


def test_loadgens_times_and_the_clients_stamps_are_kept() -> None:
    """What LoadGen's trace says of the query, and every stamp that the waterfall is made of."""
    record, _ = make_record(_query(), {}, timed=TraceSample(7, 2, 3, 40_000, 25, 1_190))
    assert (record.loadgen_latency_ns, record.schedule_delay_ns, record.query_seq) == (1_190, 25, 2)
    assert (record.begun_ns, record.sent_ns, record.noticed_ns, record.fetched_ns) == (1_050, 1_200, 2_100, 2_150)
    bare, _ = make_record(_query(sent_ns=0), {})
    assert (bare.loadgen_latency_ns, bare.query_seq, bare.sent_ns, bare.clock_offset_ns) == (None, None, None, None)


def test_clock_that_is_ahead_is_corrected() -> None:
    """Phases are as with one clock, within the uncertainty; the function's own stamps stay, and the record says so."""
    ahead = _query({**SUT, "start_ns": 1_300 + 10**9, "finish_ns": 1_900 + 10**9})
    offsets = estimate_offsets(exchanges([ahead]))
    record, clamped = make_record(ahead, {"q1": Delivery(150, 20)}, offsets)
    assert offsets["e1"].uncertainty_ns == 225
    assert record.clock_offset_ns == offsets["e1"].correction_ns == 10**9 + 25
    assert record.phases_ns is not None
    assert (record.phases_ns["put"], record.phases_ns["trigger"]) == (150, 75)
    assert (record.phases_ns["deliver"], record.phases_ns["notice"]) == (150, 75)
    assert (record.start_ns, clamped) == (1_300 + 10**9, False)


def test_clocks_that_may_agree_are_left_alone() -> None:
    """On one host nothing is corrected."""
    offsets = estimate_offsets(exchanges([_query()]))
    record, _ = make_record(_query(), {}, offsets)
    assert (record.clock_offset_ns, offsets["e1"].significant) == (None, False)
    assert record.phases_ns == make_record(_query(), {})[0].phases_ns


def test_exchange_needs_all_four_stamps() -> None:
    """A query that was never sent, answered or stamped tells nothing of clocks."""
    unsent, unanswered = _query(), _query()
    unsent.begun_ns, unanswered.reply = 0, None
    malformed = [_query({**SUT, "start_ns": "1300"}), _query({"start_ns": 1_300, "finish_ns": 1_900})]
    assert exchanges([_query()]) == [Exchange("e1", 1_050, 1_300, 1_900, 2_100)]
    assert exchanges([unsent, unanswered, *malformed]) == []


def test_malformed_stamps_are_no_stamps() -> None:
    """An error result with text for a number is recorded without it, rather than losing the run's files."""
    query = _query({**SUT, "start_ns": "1300", "finish_ns": None})
    query.verdict = "error"
    record, _ = make_record(query, {"q1": Delivery(150, 20)})
    assert (record.start_ns, record.finish_ns) == (None, None)


def test_timings_follow_the_order_of_hand_over() -> None:
    """Keys are given out in that order; queries end in any."""
    later = _query()
    later.key, later.sample_index = "r-00000002", 9
    samples = [TraceSample(0, 0, 3, 10, 1, 50), TraceSample(1, 0, 9, 10, 1, 40)]
    trace = Trace({sample.sample_seq: sample for sample in reversed(samples)}, True, None)
    assert timings([later, _query()], trace) == {"r-00000001": samples[0], "r-00000002": samples[1]}
    with pytest.raises(RunError, match="knows sample 1"):
        timings([_query()], trace)


def test_deliveries_come_from_the_next_reply() -> None:
    """`previous_deliver` of one query tells of the one before."""
    told = {"sut": {"previous_deliver": {"request_id": "q1", "wall_ns": 7, "cpu_ns": 3}}}
    rubbish: list[dict[str, Any]] = [{}, {"sut": 1}, {"sut": {"previous_deliver": {"wall_ns": "x"}}}]
    replies = [Reply("k", True, body) for body in [told, *rubbish]]
    assert deliveries(replies) == {"q1": Delivery(7, 3)}


def test_query_under_way_is_no_record() -> None:
    """Nothing is recorded of what has not ended."""
    query = _query()
    query.verdict = None
    with pytest.raises(ValueError, match="not ended"):
        make_record(query, {})


@pytest.mark.parametrize(
    "body", [{}, {"sut": []}, {"sut": {**SUT, "cold": 0}}, {"sut": {**SUT, "start_ns": "1"}}, {"sut": {"cold": True}}]
)
def test_malformed_sut_is_refused(body: dict[str, Any]) -> None:
    """What a record needs must be there, in its type."""
    with pytest.raises(ValueError, match="sut"):
        check_sut(body)
