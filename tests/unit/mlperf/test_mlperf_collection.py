"""Queries and replies become records."""

from typing import Any

import pytest

from serverless_mlperf.mlperf.collection import Delivery, deliveries, make_record
from serverless_mlperf.mlperf.query import Query, check_sut
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
