"""Ctrl-C and SIGTERM: the first one ends what is under way in order, more of them do not disturb the ending."""

from collections.abc import Callable
import signal
import time
from types import FrameType
from typing import Final

ENDING_S: Final = 5.0
"""What is under way has ended by then; a signal after that interrupts again."""


class Interruption:
    """A signal handler that raises KeyboardInterrupt, but not while the last one is still being served."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._raised_s: float | None = None

    def install(self) -> None:
        """Handle SIGINT and SIGTERM of this process, unless it was started with them ignored (a job in background)."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal module's signature
        """Raise KeyboardInterrupt unless that was done a moment ago."""
        now_s = self._clock_s()
        if self._raised_s is not None and now_s - self._raised_s < ENDING_S:
            return
        self._raised_s = now_s
        raise KeyboardInterrupt
