"""What functions print, and the platform's START, END and REPORT lines in Lambda's format."""

import asyncio
from dataclasses import asdict, dataclass
import os
from typing import Any, Final, Literal

TAIL_BYTES: Final = 4096
"""As much of an invocation's log is returned with LogType=Tail."""
_READ_BYTES: Final = 1 << 16
_READS_AT_ONCE: Final = 16
"""A function that prints without end must not hold the server's event loop."""

Status = Literal["ok", "error", "timeout"]


@dataclass(frozen=True, slots=True)
class InvocationReport:
    """A REPORT line with what only a local platform can say besides."""

    request_id: str
    duration_ms: float
    billed_ms: int
    init_ms: float | None
    memory_mib: int
    max_memory_mib: int
    status: Status
    cpu_ns: int | None
    """Of the handler's process and of what it has started (watched_process.CpuTimes)."""
    environment_id: str
    queued_ns: int
    started_ns: int
    """Wall clocks: event or call accepted, handed to the environment, answered."""
    ended_ns: int
    error_type: str | None = None
    spawn_asked_ns: int | None = None
    """Wall clocks of a cold start: its process was asked for, and was there."""
    spawned_ns: int | None = None
    error_message: str | None = None
    """One line; not part of the REPORT line."""
    modelled_delay_ms: float = 0.0
    """How long modelled delays held the invocation back: in none of the durations."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def line(self) -> str:
        """The REPORT line (AWS, lambda/latest/dg/python-logging)."""
        parts = [
            f"REPORT RequestId: {self.request_id}",
            f"Duration: {self.duration_ms:.2f} ms",
            f"Billed Duration: {self.billed_ms} ms",
            f"Memory Size: {self.memory_mib} MB",
            f"Max Memory Used: {self.max_memory_mib} MB",
        ]
        if self.init_ms is not None:
            parts.append(f"Init Duration: {self.init_ms:.2f} ms")
        if self.status != "ok":
            parts.append(f"Status: {self.status}")
        if self.error_type is not None:
            parts.append(f"Error Type: {self.error_type}")
        return "\t".join(parts) + "\t\n"


class LogPipe:
    """Reads an environment's stdout and stderr as they come, and keeps the last 4 KiB.

    It goes on from the log of a process that was started before it, which it closes.
    """

    def __init__(self, before: "LogPipe | None" = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._open = True
        self._tail = bytearray()
        if before is not None:
            before.drain()
            before.close()
            self.add(before.tail())
        self._loop.add_reader(self._read_end, self.drain)

    def close_write_end(self) -> None:
        """Our copy of it, once the process has its own."""
        os.close(self.write_end)

    def drain(self) -> None:
        """Take what is there without waiting."""
        for _ in range(_READS_AT_ONCE):
            if not self._open:
                return
            try:
                data = os.read(self._read_end, _READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                self.close()
                return
            self.add(data)

    def add(self, data: bytes) -> None:
        """Append a line of the platform's own."""
        self._tail += data
        if len(self._tail) > TAIL_BYTES:
            del self._tail[:-TAIL_BYTES]

    def tail(self) -> bytes:
        """The last 4 KiB since the last `clear`."""
        return bytes(self._tail)

    def clear(self) -> None:
        """Forget, when the next invocation begins."""
        self._tail.clear()

    def close(self) -> None:
        """Stop reading."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._read_end)
            os.close(self._read_end)
