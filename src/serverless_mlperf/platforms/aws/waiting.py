"""Waiting for a condition, with a deadline; clock and pause are given, so that tests do not wait."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
import time
from typing import Final, TypeVar

T = TypeVar("T")

PAUSE_S: Final = 2.0
"""Between two looks: what CloudFormation does takes seconds, and its API allows few requests per second."""


def _rest(seconds: float) -> None:
    Event().wait(seconds)  # Ctrl-C ends it at once


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what AWS does, and how."""

    pause_s: float = PAUSE_S
    stack_s: float = 1800.0
    """For one change of a stack: 24 functions with layers take a few minutes."""
    settle_s: float = 900.0
    """For invocations in flight, and for a stack that somebody else works on."""
    log_s: float = 90.0
    """For lines of a log: they can be searched some seconds after they were written."""
    clock_s: Callable[[], float] = time.monotonic
    rest: Callable[[float], None] = _rest

    def until(self, look: Callable[[], T | None], seconds: float) -> T | None:
        """Look again and again until there is something; None when the time is over."""
        deadline = self.clock_s() + seconds
        while (found := look()) is None:
            if self.clock_s() >= deadline:
                return None
            self.rest(self.pause_s)
        return found
