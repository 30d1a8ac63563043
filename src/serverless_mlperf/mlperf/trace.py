"""When LoadGen scheduled, handed over and saw completed every sample: mlperf_log_trace.json, read line by line.

LoadGen writes these times nowhere else. The file is one event per line and no valid JSON (`"key":""power_begin""`),
so only the lines of samples are read, and only in the one form LoadGen gives them (loadgen/loadgen.cc,
`ResponseDelegateDetailed::SampleComplete` -> `TraceSample`). Its clock is C++'s system clock (the wall clock, as
`time.time_ns`); the footer tells the trace's beginning in it.

Lines stand in the order of completion. `sample_seq` counts samples in the order in which LoadGen generated them, over
all sets of samples it loads, and that is the order in which it hands them over, within a query and between queries:
so in all four scenarios, in performance and in accuracy mode (tests/unit/mlperf/test_mlperf_trace.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
import re
from typing import Final

from serverless_mlperf.errors import RunError

NAME: Final = "mlperf_log_trace.json"
_HEADER: Final = '{"traceEvents":['
_LAST: Final = '{"name":"LastTrace"}'
_EVENT: Final = re.compile(r'\{"name":"\w+".*\},')
_BEGIN: Final = re.compile(
    r'\{"name":"Sample","cat":"default","ph":"b","pid":\d+,"id":\d+,"ts":(?P<us>\d+)\.(?P<ns>\d{3}),'
    r'"args":\{"sample_seq":(?P<sample>\d+),"query_seq":(?P<query>\d+),"sample_idx":(?P<index>\d+),'
    r'"issue_start_ns":(?P<delay>-?\d+),"complete_ns":(?P<latency>-?\d+)\}\},'
)
_ORIGIN: Final = re.compile(r'"ts":(\d+)\.(\d{3}),')


@dataclass(frozen=True, slots=True)
class TraceSample:
    """One sample by LoadGen's clock."""

    sample_seq: int
    """Its place in the order of hand-over, from 0."""
    query_seq: int
    """The query it belongs to: MultiStream and Offline have several samples in one."""
    sample_index: int
    scheduled_ns: int
    """Since the beginning of the trace, shortly before the first query; LoadGen measures latency from here."""
    delay_ns: int
    """Scheduled -> LoadGen began to hand it over."""
    latency_ns: int
    """Scheduled -> completion arrived: LoadGen's latency."""

    @property
    def issued_ns(self) -> int:
        """When LoadGen began to hand it over, since the beginning of the trace."""
        return self.scheduled_ns + self.delay_ns

    @property
    def completed_ns(self) -> int:
        """When LoadGen was told of its completion, since the beginning of the trace."""
        return self.scheduled_ns + self.latency_ns


@dataclass(frozen=True, slots=True)
class Trace:
    """A whole trace, or as much as there is of one that was cut off."""

    samples: Mapping[int, TraceSample]
    """By sample_seq."""
    complete: bool
    """Whether LoadGen closed the trace; else samples may be missing."""
    origin_ns: int | None
    """Wall clock of the trace's beginning, to 250 ns (LoadGen prints a double of microseconds); None if cut off."""


def read_trace(folder: Path) -> Trace:
    """Read the trace in LoadGen's log folder; raises RunError when there is none or it is not one."""
    path = folder / NAME
    try:
        text = path.read_text()
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: no trace of LoadGen: {error}; measure again") from error
    if not text:
        raise RunError(f"{path}: LoadGen's trace is empty; was it switched on (enable_trace)?")
    return _parse(text, path)


def join(handed: Sequence[int], trace: Trace) -> list[TraceSample | None]:
    """Find the sample of every hand-over; None where a trace that was cut off does not have it.

    `handed` are the sample indices in the order in which LoadGen handed them over. Raises RunError when an index
    differs or the trace knows more samples: then hand-over and trace are not of one test.
    """
    found = [trace.samples.get(place) for place in range(len(handed))]
    for place, (index, sample) in enumerate(zip(handed, found, strict=True)):
        if sample is not None and sample.sample_index != index:
            raise RunError(f"hand-over {place} was of sample {index}, LoadGen's trace says {sample.sample_index}")
        if sample is None and trace.complete:
            raise RunError(f"hand-over {place} (sample {index}) is not in LoadGen's trace")
    if trace.samples and max(trace.samples) >= len(handed):
        raise RunError(f"LoadGen's trace knows sample {max(trace.samples)}, but {len(handed)} were handed over")
    return found


def _parse(text: str, path: Path) -> Trace:
    *lines, rest = text.split("\n")
    end = lines.index(_LAST) if _LAST in lines else len(lines)
    complete = end < len(lines)
    if lines[:1] != [_HEADER] and (lines or not _HEADER.startswith(rest)):
        raise RunError(f"{path}: line 1 is not the beginning of a LoadGen trace: {(lines or [rest])[0][:80]!r}")
    samples = _samples(lines[1:end], path)
    return Trace(samples, complete, _origin(lines[end:]) if complete else None)


def _samples(lines: Iterable[str], path: Path) -> dict[int, TraceSample]:
    """Of two completions of one sample the first counts, as in LoadGen, which logs the second as an error."""
    samples: dict[int, TraceSample] = {}
    for number, line in enumerate(lines, 2):
        if not _EVENT.fullmatch(line):
            raise RunError(f"{path}: line {number} is no event of a LoadGen trace: {line[:80]!r}")
        if '"name":"Sample"' in line and '"ph":"b"' in line:
            sample = _sample(line, number, path)
            samples.setdefault(sample.sample_seq, sample)
    return samples


def _sample(line: str, number: int, path: Path) -> TraceSample:
    found = _BEGIN.fullmatch(line)
    if found is None:
        raise RunError(f"{path}: line {number} is no sample as LoadGen 6.0 writes it: {line[:200]!r}")
    value = {name: int(digits) for name, digits in found.groupdict().items()}
    scheduled_ns = 1000 * value["us"] + value["ns"]
    return TraceSample(value["sample"], value["query"], value["index"], scheduled_ns, value["delay"], value["latency"])


def _origin(footer: Sequence[str]) -> int | None:
    found = next(filter(None, map(_ORIGIN.fullmatch, footer)), None)
    return None if found is None else 1000 * int(found[1]) + int(found[2])
