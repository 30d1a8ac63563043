"""Real LoadGen tests, each in a process of its own, and what they left."""

from dataclasses import dataclass
import json
from pathlib import Path
import subprocess
import sys
from typing import Any

from serverless_mlperf.mlperf.logs import read_detail
from serverless_mlperf.mlperf.spec import Scenario
from serverless_mlperf.mlperf.trace import Trace, join, read_trace
from serverless_mlperf.records import Record

ENDLESS_NS = 3_600_000_000_000


@dataclass(frozen=True)
class Played:
    """A finished LoadGen test."""

    scenario: Scenario
    handed: tuple[int, ...]
    """Sample indices in the order of hand-over."""
    trace: Trace
    values: dict[str, Any]
    """LoadGen's detail log."""
    began_ns: int
    """Python's wall clock before the test."""
    ended_ns: int

    @property
    def records(self) -> list[Record]:
        """Records as a run would have them, with LoadGen's times."""
        return [
            Record(
                key=f"r-{place:08d}",
                sample_index=index,
                verdict="ok",
                latency_ns=sample.latency_ns - sample.delay_ns,
                issued_ns=sample.issued_ns,
                cold=False,
                phases_ns={},
                loadgen_latency_ns=sample.latency_ns,
                schedule_delay_ns=sample.delay_ns,
                query_seq=sample.query_seq,
            )
            for place, (index, sample) in enumerate(zip(self.handed, join(self.handed, self.trace), strict=True))
            if sample is not None
        ]


def play(
    folder: Path,
    scenario: Scenario,
    queries: int,
    mode: str = "PerformanceOnly",
    target_latency_ns: int = ENDLESS_NS,
) -> Played:
    """Play one test into a new folder."""
    folder.mkdir()
    asked = {
        "folder": str(folder),
        "scenario": scenario,
        "mode": mode,
        "queries": queries,
        "target_latency_ns": target_latency_ns,
    }
    command = [sys.executable, str(Path(__file__).with_name("null_sut.py")), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    left = json.loads((folder / "handed.json").read_text())
    values = dict(read_detail(folder).values)
    return Played(scenario, tuple(left["handed"]), read_trace(folder), values, left["began_ns"], left["ended_ns"])
