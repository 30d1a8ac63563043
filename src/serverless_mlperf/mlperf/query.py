"""One query between LoadGen and the transport, with every stamp taken on the way."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from serverless_mlperf.records import QueryVerdict
from serverless_mlperf.transports.base import Reply


@dataclass(slots=True)
class Query:
    """Mutable while it is under way; a Record is made of it after the run.

    Two clocks: `*_ns` is the wall clock (comparable with the function's stamps), `*_tick_ns` the monotonic one
    (for durations).
    """

    key: str
    loadgen_id: int
    """A raw pointer of LoadGen: never leaves the process, used once."""
    sample_index: int
    issued_ns: int
    issued_tick_ns: int
    accepted_tick_ns: int = 0
    begun_ns: int = 0
    """The transport was asked to send it; 0 while it waits."""
    completed_tick_ns: int = 0
    verdict: QueryVerdict | None = None
    """None while it is under way."""
    reply: Reply | None = None
    error: str | None = None
    duplicates: int = 0

    @property
    def latency_ns(self) -> int:
        """Hand-over -> completion."""
        return self.completed_tick_ns - self.issued_tick_ns


_TYPES: Final = {"environment_id": str, "invocation": int, "cold": bool, "start_ns": int, "finish_ns": int}


def check_sut(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the `sut` object of a result if it carries what a record needs; raises ValueError."""
    sut = body.get("sut")
    if not isinstance(sut, dict):
        raise ValueError("no `sut` object; is the function built by this project?")
    for name, kind in _TYPES.items():
        if not isinstance(sut.get(name), kind):
            raise ValueError(f"`sut.{name}` is {sut.get(name)!r}, not {kind.__name__}")
    return sut
