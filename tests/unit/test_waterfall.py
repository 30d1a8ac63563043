"""Phases that add up to LoadGen's latency."""

from hypothesis import given
from hypothesis import strategies as st
import pytest

from serverless_mlperf.records import PHASES, Record
from serverless_mlperf.waterfall import GROUPS, ORDER, UNATTRIBUTED, phases_of, waterfall

MS = 1_000_000


def record(number: int = 0, **changes: object) -> Record:
    """A warm query of 100 ms of which 1 ms is in no phase; LoadGen saw 103 ms, scheduled 2 ms before the hand-over."""
    values: dict[str, object] = {
        "key": f"r-{number:08d}",
        "sample_index": number,
        "verdict": "ok",
        "latency_ns": 100 * MS,
        "issued_ns": 1_000 * MS,
        "cold": False,
        "environment_id": "e",
        "phases_ns": {"client_wait": 4 * MS, "put": 5 * MS, "forward": 80 * MS, "deliver": 7 * MS, "notice": 3 * MS},
        "loadgen_latency_ns": 103 * MS,
        "schedule_delay_ns": 2 * MS,
        "begun_ns": 1_004 * MS,
        "start_ns": 1_009 * MS,
        "finish_ns": 1_089 * MS,
        "noticed_ns": 1_099 * MS,
    }
    return Record(**{**values, **changes})  # type: ignore[arg-type]


@given(
    st.dictionaries(st.sampled_from(PHASES), st.integers(0, 10**10)),
    st.integers(0, 10**10),
    st.integers(0, 10**10),
    st.integers(-(10**6), 10**6),
)
def test_phases_add_up_exactly(phases: dict[str, int], latency_ns: int, delay_ns: int, binding_ns: int) -> None:
    """Whatever was measured, the sum is LoadGen's latency to the nanosecond."""
    seen_ns = latency_ns + delay_ns + binding_ns
    made = record(phases_ns=phases, latency_ns=latency_ns, loadgen_latency_ns=seen_ns, schedule_delay_ns=delay_ns)
    row = phases_of(made)
    assert sum(row.values()) == seen_ns
    assert (row["schedule_delay"], row["binding"]) == (delay_ns, binding_ns)


def test_what_is_in_no_phase_is_told() -> None:
    """It stands in a row of its own."""
    assert phases_of(record())[UNATTRIBUTED] == 1 * MS


def test_unknown_delivery_is_one_undivided_phase() -> None:
    """The last query of an environment: from finish to notice, by the corrected clock, rather than unattributed."""
    phases = {"client_wait": 4 * MS, "put": 5 * MS, "forward": 80 * MS}
    assert phases_of(record(phases_ns=phases))["deliver_notice"] == 10 * MS
    ahead = record(phases_ns=phases, finish_ns=9_089 * MS, clock_offset_ns=8_000 * MS)
    assert phases_of(ahead)["deliver_notice"] == 10 * MS
    assert "deliver_notice" not in phases_of(record())


def test_record_without_loadgens_times_has_no_waterfall_of_its_own() -> None:
    """It is refused rather than guessed."""
    with pytest.raises(ValueError, match="LoadGen"):
        phases_of(record(loadgen_latency_ns=None))


def test_means_add_up_over_phases_and_over_groups() -> None:
    """Also where a phase is missing in some queries; percentiles are of those that have it."""
    short = record(1, phases_ns={"forward": 50 * MS}, finish_ns=None)
    made = waterfall([record(), short])
    assert made is not None
    assert made.begins == "scheduled"
    for spans in (made.phases, made.groups):
        assert sum(span.mean_ms for span in spans.values()) == pytest.approx(made.total.mean_ms)
        assert sum(span.share for span in spans.values()) == pytest.approx(1.0)
    assert (made.phases["put"].count, made.phases["put"].median_ms, made.phases["put"].mean_ms) == (1, 5.0, 2.5)
    assert list(made.phases) == [name for name in ORDER if name in made.phases]
    assert made.groups["compute"].median_ms == 50.0


def test_cold_warm_and_failed_are_apart() -> None:
    """A cold query is in no warm mean, a failed one in none at all."""
    cold = record(1, cold=True, loadgen_latency_ns=903 * MS, latency_ns=900 * MS)
    lost = record(2, verdict="timeout", phases_ns=None, cold=None)
    records = [record(), cold, lost]
    of_warm, of_cold = waterfall(records), waterfall(records, cold=True)
    assert of_warm is not None
    assert of_cold is not None
    assert (of_warm.total.count, of_warm.total.mean_ms) == (1, 103)
    assert (of_cold.total.count, of_cold.total.mean_ms) == (1, 903)
    assert waterfall([lost]) is None


def test_without_a_trace_it_begins_at_the_hand_over() -> None:
    """Then LoadGen's part is missing, and the waterfall says so."""
    made = waterfall([record(), record(1, loadgen_latency_ns=None, schedule_delay_ns=None)])
    assert made is not None
    assert made.begins == "handed over"
    assert made.total.mean_ms == 100
    assert not {"schedule_delay", "binding"} & set(made.phases)


@pytest.mark.parametrize(("lost_ms", "explained"), [(0, True), (2, True), (3, False), (-3, False)])
def test_unexplained_latency_is_noticed(lost_ms: int, explained: bool) -> None:
    """More than 2 % of the mean in no phase, of either sign, is not explained."""
    latency_ns = 100 * MS
    phases = {"forward": latency_ns - lost_ms * MS}
    made = waterfall([record(phases_ns=phases, finish_ns=None, latency_ns=latency_ns, loadgen_latency_ns=latency_ns)])
    assert made is not None
    assert (made.unattributed_ms, made.explained) == (abs(lost_ms), explained)


def test_errors_of_both_signs_do_not_cancel() -> None:
    """One query 9 ms over, one 9 ms under: the mean is 0, the verdict is not."""
    rows = [
        record(n, phases_ns={"forward": ns}, finish_ns=None, latency_ns=100 * MS)
        for n, ns in enumerate((91 * MS, 109 * MS))
    ]
    made = waterfall(rows)
    assert made is not None
    assert made.phases[UNATTRIBUTED].mean_ms == 0
    assert (made.unattributed_ms, made.explained) == (9, False)


def test_clocks_are_told_per_environment() -> None:
    """Estimate, uncertainty and whether phases were corrected, recomputed from the stamps of the records."""
    ahead = {"start_ns": 6_009 * MS, "finish_ns": 6_089 * MS, "clock_offset_ns": 4_997 * MS + MS // 2}
    made = waterfall([record(), record(1, environment_id="f", **ahead)])
    assert made is not None
    assert [(note.environment_id, note.estimate_ms, note.uncertainty_ms, note.corrected) for note in made.clocks] == [
        ("e", -2.5, 7.5, False),
        ("f", 4997.5, 7.5, True),
    ]


def test_every_phase_is_in_one_group() -> None:
    """A phase that a transport adds must be put into a group, or its time would be printed nowhere."""
    grouped = [name for names in GROUPS.values() for name in names]
    assert set(ORDER) <= set(grouped)
    assert len(grouped) == len(set(grouped))
