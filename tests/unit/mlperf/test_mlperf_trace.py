"""LoadGen's trace: what real tests leave, and what is no trace."""

from pathlib import Path

import pytest
from real_loadgen import play

from serverless_mlperf.errors import RunError
from serverless_mlperf.mlperf.spec import Scenario
from serverless_mlperf.mlperf.trace import NAME, Trace, TraceSample, join, read_trace

HEADER = '{"traceEvents":[\n'
FOOTER = (
    '{"name":"LastTrace"}\n],\n"displayTimeUnit":"ns",\n'
    '"otherData":{\n"ts":1795613481216846.750,\n"version":"x"\n}\n}\n'
)
UNQUOTED = '{"name":"LogDetail","ph":"X","pid":1,"tid":1,"ts":1.000,"dur":1.000,"args":{"key":""power_begin""}},\n'


def sample_line(seq: int, index: int, delay_ns: int = 5, latency_ns: int = 70, ts: str = "90.284") -> str:
    """The two lines of one sample."""
    head = '"name":"Sample","cat":"default","ph":'
    return (
        f'{{{head}"b","pid":9,"id":{seq},"ts":{ts},"args":{{"sample_seq":{seq},"query_seq":{seq // 8},'
        f'"sample_idx":{index},"issue_start_ns":{delay_ns},"complete_ns":{latency_ns}}}}},\n'
        f'{{{head}"e", "pid":9,"id":{seq},"ts":99.000}},\n'
    )


def read(folder: Path, text: str) -> Trace:
    """Read a trace made by hand."""
    (folder / NAME).write_text(text)
    return read_trace(folder)


@pytest.mark.parametrize("mode", ["PerformanceOnly", "AccuracyOnly"])
@pytest.mark.parametrize("scenario", ["SingleStream", "MultiStream", "Server", "Offline"])
def test_hand_over_order_is_the_order_of_sequence_numbers(tmp_path: Path, scenario: Scenario, mode: str) -> None:
    """In every scenario and mode `sample_seq` counts the samples as LoadGen handed them over, over all loaded sets."""
    played = play(tmp_path / "log", scenario, 90, mode)
    samples = sorted(played.trace.samples.values(), key=lambda sample: sample.sample_seq)
    assert [sample.sample_index for sample in samples] == list(played.handed)
    assert [sample.sample_seq for sample in samples] == list(range(len(played.handed)))
    assert played.trace.complete
    assert played.trace.origin_ns is not None
    per_query = {"SingleStream": 1, "Server": 1, "MultiStream": 8}.get(scenario)
    if per_query:
        assert [sample.query_seq for sample in samples] == [seq // per_query for seq in range(len(samples))]
    if mode == "AccuracyOnly":
        # MultiStream fills its last query up: 2 rounds of 32 and 18 samples, the second padded to 24.
        assert len(samples) == (56 if scenario == "MultiStream" else 50)
        assert set(played.handed) == set(range(50))


def test_completions_come_in_another_order(tmp_path: Path) -> None:
    """The lines of the file stand in the order of completion, so joining by line would be wrong."""
    played = play(tmp_path / "log", "Offline", 90)
    assert list(played.trace.samples) != sorted(played.trace.samples)


def test_loadgens_clock_is_the_wall_clock(tmp_path: Path) -> None:
    """The trace's beginning lies between two readings of ours: stamps of both sides are by one clock."""
    played = play(tmp_path / "log", "SingleStream", 10)
    assert played.trace.origin_ns is not None
    assert played.began_ns - 250 <= played.trace.origin_ns <= played.ended_ns


def test_times_are_kept_to_the_nanosecond(tmp_path: Path) -> None:
    """Microseconds with three decimals are nanoseconds, and the footer tells the trace's beginning."""
    trace = read(tmp_path, HEADER + UNQUOTED + sample_line(0, 17, 191, 88873) + FOOTER)
    assert trace == Trace({0: TraceSample(0, 0, 17, 90_284, 191, 88_873)}, True, 1_795_613_481_216_846_750)
    assert (trace.samples[0].issued_ns, trace.samples[0].completed_ns) == (90_475, 179_157)


@pytest.mark.parametrize("cut", range(1, 40, 7))
def test_cut_off_trace_gives_what_is_whole(tmp_path: Path, cut: int) -> None:
    """A last line without its end is no sample, and the trace says that it is not complete."""
    text = HEADER + sample_line(0, 4) + sample_line(1, 5).split("\n")[0] + "\n"
    trace = read(tmp_path, text[:-cut])
    assert (list(trace.samples), trace.complete, trace.origin_ns) == ([0], False, None)
    assert [sample and sample.sample_index for sample in join([4, 5], trace)] == [4, None]


def test_trace_cut_in_its_first_line_is_empty(tmp_path: Path) -> None:
    """Killed at once: nothing is known, and nothing is invented."""
    assert read(tmp_path, HEADER[:5]) == Trace({}, False, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "switched on"),
        ("[]\n", "line 1"),
        ("rubbish", "line 1"),
        (HEADER + "rubbish\n" + FOOTER, "line 2 is no event"),
        (HEADER + sample_line(0, 4)[:60] + "\n" + sample_line(1, 4) + FOOTER, "line 2 is no event"),
        (HEADER + sample_line(0, 4, ts="90.2845") + FOOTER, "line 2 is no sample"),
        (HEADER + sample_line(0, 4).replace("complete_ns", "done_ns") + FOOTER, "line 2 is no sample"),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """Anything but LoadGen's own form is a RunError that names the file and the line."""
    with pytest.raises(RunError, match=said) as caught:
        read(tmp_path, text)
    assert NAME in str(caught.value)


def test_missing_trace_is_named(tmp_path: Path) -> None:
    """No file: where it should be, and what to do."""
    with pytest.raises(RunError, match="no trace of LoadGen"):
        read_trace(tmp_path)


def test_first_of_two_completions_counts(tmp_path: Path) -> None:
    """As in LoadGen, which logs the second one as an error."""
    trace = read(tmp_path, HEADER + sample_line(0, 4, latency_ns=70) + sample_line(0, 4, latency_ns=90) + FOOTER)
    assert trace.samples[0].latency_ns == 70


@pytest.mark.parametrize(
    ("handed", "said"),
    [
        ([4, 6], "hand-over 1 was of sample 6, LoadGen's trace says 5"),
        ([4], "knows sample 1, but 1 were handed over"),
        ([4, 5, 6], r"hand-over 2 \(sample 6\) is not in"),
        ([], "knows sample 1"),
    ],
)
def test_trace_of_another_test_is_refused(tmp_path: Path, handed: list[int], said: str) -> None:
    """A sample index or a number of samples that differs is no join but a RunError."""
    trace = read(tmp_path, HEADER + sample_line(0, 4) + sample_line(1, 5) + FOOTER)
    with pytest.raises(RunError, match=said):
        join(handed, trace)
