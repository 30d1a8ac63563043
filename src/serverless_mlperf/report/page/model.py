"""What the page shows, as flat rows: each figure draws from rows that are also its table and its CSV."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Row = dict[str, Any]
Kind = Literal["bar", "stack", "group", "line", "step", "scatter", "span"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: which columns of its rows are drawn, and how."""

    id: str
    title: str
    caption: str
    """What is shown and how it was measured; whether something is modelled."""
    kind: Kind
    x: str
    y: str
    series: str
    """Column that names a row's series; rows of one series are joined."""
    x_title: str
    y_title: str
    rows: Sequence[Row]
    """With `cell`, by which the page filters; `modelled` where it is true is drawn dashed or hatched."""
    low: str | None = None
    """Columns of an interval's ends."""
    high: str | None = None
    x_log: bool = False
    y_log: bool = False
    front: str | None = None
    """Column of what shall be drawn as a front: true on rows that no other is better than."""
    target: str | None = None
    """Column of a level to be reached, drawn as a line."""
    share_colour: int = 1
    """So many series in a row have one colour: what was measured, and what is modelled of it."""


@dataclass(frozen=True, slots=True)
class CellFacts:
    """What the page filters by."""

    id: str
    task: str
    engine: str
    memory_mib: int


@dataclass(frozen=True, slots=True)
class Page:
    """Everything on the page."""

    title: str
    cells: Sequence[CellFacts]
    runs: Sequence[Row]
    """The table of verdicts, one row per run."""
    figures: Sequence[Figure]
    facts: Sequence[tuple[str, str, str]]
    """(result, name, value) of environment and settings."""
    notes: Sequence[str] = field(default=())
    """What could not be read or drawn, and why."""
