"""What the server costs itself: how late its event loop is, and its CPU time, as a series over time."""

from array import array
import asyncio
from bisect import bisect_left, bisect_right
import time
from typing import Final

PROBE_S: Final = 0.002
SAMPLES_KEPT: Final = 360_000
"""Twelve minutes of samples and more: a busy loop takes fewer."""
_FIELDS: Final = 3


class UsageProbe:
    """How late the event loop is and what CPU time the server takes, as a series over time.

    Lateness of the loop would be measured as the functions' latency. A series, because only the part inside a run's
    window counts: while environments initialise, unthrottled, the host is busier than it ever is in the window.
    """

    def __init__(self, kept: int = SAMPLES_KEPT) -> None:
        # Plain numbers in one block: as Python's objects they would be sixty megabytes.
        self._samples = array("q")
        self._limit = kept * _FIELDS
        self._oldest = 0

    async def run(self) -> None:
        """Sleep again and again; note wall clock, lateness of the wake-up and CPU time so far."""
        while True:
            due_ns = time.monotonic_ns() + int(PROBE_S * 1e9)
            await asyncio.sleep(PROBE_S)
            late_ns = max(0, time.monotonic_ns() - due_ns)
            self.note(time.time_ns(), late_ns, time.process_time_ns())

    def note(self, moment_ns: int, late_ns: int, cpu_ns: int) -> None:
        """Add a sample, in place of the oldest when there are enough."""
        sample = array("q", (moment_ns, late_ns, cpu_ns))
        if len(self._samples) < self._limit:
            self._samples += sample
            return
        self._samples[self._oldest : self._oldest + _FIELDS] = sample
        self._oldest = (self._oldest + _FIELDS) % self._limit

    def window(self, since_ns: int, until_ns: int) -> dict[str, int | None]:
        """CPU time taken and lateness (99th percentile, maximum) between two wall clocks; None without samples."""
        ordered = self._samples[self._oldest :] + self._samples[: self._oldest]
        moments_ns, cpu_ns = ordered[::_FIELDS], ordered[2::_FIELDS]
        first, behind = bisect_left(moments_ns, since_ns), bisect_right(moments_ns, until_ns)
        if behind - first < 2:
            return {"cpu_ns": None, "loop_lag_p99_ns": None, "loop_lag_max_ns": None}
        late_ns = sorted(ordered[1::_FIELDS][first:behind])
        return {
            "cpu_ns": cpu_ns[behind - 1] - cpu_ns[first],
            "loop_lag_p99_ns": late_ns[int(len(late_ns) * 0.99)],
            "loop_lag_max_ns": late_ns[-1],
        }
