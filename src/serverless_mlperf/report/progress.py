"""What is going on, all the time: a live line on a terminal, plain lines elsewhere."""

from collections.abc import Mapping
import time
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.status import Status

PLAIN_EVERY_S: Final = 2.0


class LiveProgress:
    """Cells done, what the current one does, and the time left; a context manager, used from one thread."""

    def __init__(self, total: int, console: Console) -> None:
        self._total = total
        self._console = console
        self._status: Status | None = console.status("starting") if console.is_terminal else None
        self._cell = ""
        self._index = 0
        self._started_s = time.monotonic()
        self._said_s = 0.0
        self._kind = ""

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()

    def cell(self, name: str, index: int) -> None:
        """Begin the cell of that index."""
        self._cell, self._index, self._kind = name, index, ""

    def event(self, event: Mapping[str, Any]) -> None:
        """Show an event of the current cell."""
        line = f"[{self._index + 1}/{self._total}] {self._cell}: {_describe(event)}{self._left()}"
        if self._status:
            self._status.update(line.replace("[", r"\["))
        elif self._is_due(str(event["event"])):
            self._console.print(line, markup=False, highlight=False)

    def _is_due(self, kind: str) -> bool:
        """A new kind of event is told at once, more of the same every two seconds."""
        now_s = time.monotonic()
        if kind == self._kind and now_s - self._said_s < PLAIN_EVERY_S:
            return False
        self._kind, self._said_s = kind, now_s
        return True

    def _left(self) -> str:
        if not self._index:
            return ""
        left_s = (time.monotonic() - self._started_s) / self._index * (self._total - self._index)
        return f" (about {left_s / 60:.0f} min left)" if left_s > 90 else f" (about {left_s:.0f} s left)"


FORMS: Final = {
    "deploy": "deploying",
    "cold": "forcing cold starts: {done} of {total}",
    "calibrate": "checking that the host delivers its CPU",
    "warmup": "warming up: {warm} of {environments} environments are warm",
    "progress": "measured {done} of {total} queries, {errors} errors",
    "done": "{ok} of {issued} queries answered",
    "retry": "again, because the run is INVALID for a passing reason: {reasons}",
}
"""Kind of event -> what is said of it."""


def _describe(event: Mapping[str, Any]) -> str:
    kind = str(event["event"])
    return FORMS.get(kind, kind).format_map(event)
