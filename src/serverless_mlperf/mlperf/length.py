"""How long a run is: MLPerf's own durations and counts, or shorter ones that say so.

`quick` is a smoke test: LoadGen may say that it is too short. `standard` has as many queries as the figures need that
are read from it. `full` is MLPerf's: 600 s in every scenario and the counts of mlperf.conf (LoadGen 6.0.17), in Server
what early stopping needs, in Offline the 24,576 samples of the vision workloads (inference_rules).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from serverless_mlperf.mlperf.spec import Scenario

LengthName = Literal["quick", "standard", "full"]


@dataclass(frozen=True, slots=True)
class Length:
    """LoadGen ends a run when both are reached."""

    queries: int
    """Queries; in Offline samples, of one query."""
    min_duration_s: float = 0.0


LENGTHS: Final[Mapping[LengthName, Mapping[Scenario, Length]]] = {
    "quick": {
        "SingleStream": Length(70),  # early stopping gives a 90th percentile from 64 on
        "MultiStream": Length(20),
        "Server": Length(100),
        "Offline": Length(50),
    },
    "standard": {
        "SingleStream": Length(400),  # 368 give a 99th percentile with an interval
        "MultiStream": Length(662),  # early stopping gives a 99th percentile from here on
        "Server": Length(838),  # early stopping lets two be over the bound
        "Offline": Length(100),
    },
    "full": {
        "SingleStream": Length(100, 600),
        "MultiStream": Length(662, 600),
        "Server": Length(838, 600),
        "Offline": Length(24_576, 600),
    },
}


COMPARED: Final[Mapping[Scenario, int]] = {"SingleStream": 200, "Offline": 200}
"""Queries at least where scores of runs are compared to a tenth: one hiccup of a host outweighs that in a burst of a
second. The other scenarios are too short for LoadGen's confidence when they are for this, and say so."""


def length_of(name: LengthName, scenario: Scenario, queries: int | None, *, compared: bool = False) -> Length:
    """The length of a run; `queries`, where given, replaces the count.

    `compared`: its score is held against another run's.
    """
    length = LENGTHS[name][scenario]
    if queries is not None:
        return Length(queries, length.min_duration_s)
    least = COMPARED.get(scenario, 0) if compared else 0
    return Length(max(length.queries, least), length.min_duration_s)
