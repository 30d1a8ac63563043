"""A comparison as lines, JSON or CSV."""

from collections.abc import Iterator, Mapping, Sequence
import csv
from dataclasses import asdict, dataclass
import io
from itertools import groupby
import json
from typing import Any, Final

from rich.text import Text

from serverless_mlperf.comparison.changes import Change
from serverless_mlperf.comparison.figures_of import Key
from serverless_mlperf.comparison.surroundings import Difference

STYLES: Final = {"faster": "green", "slower": "bold red", "same": "", "cannot tell": "yellow"}
"""Colour repeats what the word says; where there is none, nothing is lost."""
SHOWN_CHARACTERS: Final = 28
COLUMNS: Final = (
    "model_name", "memory_mib", "scenario", "transport", "step", "figure", "base_runs", "new_runs", "ratio", "low",
    "high", "p", "effect", "verdict", "more_runs",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that a comparison found."""

    base: str
    new: str
    differences: tuple[Difference, ...]
    changes: Mapping[Key, Change]
    margin: float
    left_out: tuple[int, int]
    """Runs that are not VALID, of base and new."""
    shortfalls: tuple[str, ...] = ()
    """What was to be measured in either and has no result, a line each."""

    def regressions(self, fail_over: float) -> list[Key]:
        """What became slower by more than a share."""
        return [k for k, c in self.changes.items() if c.verdict == "slower" and c.ratio and c.ratio - 1 > fail_over]


def lines(comparison: Comparison) -> Iterator[Text]:
    """Lines of at most 80 columns but for names that are longer themselves."""
    yield Text(f"base {comparison.base}")
    yield Text(f"new  {comparison.new}")
    yield from _difference_lines(comparison.differences)
    if any(comparison.left_out):
        yield Text(f"left out, not VALID: {comparison.left_out[0]} runs of base, {comparison.left_out[1]} of new")
    yield Text("new / base [95 % interval over runs], effect g, p (Holm), above 1 is slower")
    ordered = sorted(comparison.changes.items())
    for cell, rows in groupby(ordered, key=lambda item: item[0].cell):
        yield Text("")
        changes = list(rows)
        yield Text(f"{cell}: {changes[0][1].base_runs} and {changes[0][1].new_runs} runs")
        yield from (_line(key, change, comparison.margin) for key, change in changes)


def as_json(comparison: Comparison) -> str:
    """One document."""
    document = {
        "base": comparison.base,
        "new": comparison.new,
        "margin": comparison.margin,
        "left_out": comparison.left_out,
        "shortfalls": comparison.shortfalls,
        "differences": [asdict(each) for each in comparison.differences],
        "changes": [_row(key, change) for key, change in sorted(comparison.changes.items())],
    }
    return json.dumps(document)


def as_csv(comparison: Comparison) -> str:
    """One row per figure; a value that is not known is empty."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_row(key, change) for key, change in sorted(comparison.changes.items()))
    return text.getvalue()


def _row(key: Key, change: Change) -> dict[str, Any]:
    return {**asdict(key), **asdict(change)}


def _difference_lines(found: Sequence[Difference]) -> Iterator[Text]:
    if not found:
        yield Text("measured alike: same settings, code, packages, models and host")
        return
    yield Text("not measured alike:", style="bold")
    for each in found:
        yield Text(f"  {each.name}: {_shown(each.base)} -> {_shown(each.new)}")


def _shown(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 2] + ".."


def _line(key: Key, change: Change, margin: float) -> Text:
    line = Text(f"  {key.figure:13}{_figures(change)}  ")
    return line.append(_verdict(change, margin), style=STYLES[change.verdict])


def _figures(change: Change) -> str:
    if change.ratio is None:
        return "n/a"
    if change.low is None or change.high is None or change.p is None or change.effect is None:
        return f"{change.ratio:.3f}"
    return f"{change.ratio:.3f} [{change.low:.3f}, {change.high:.3f}] {change.effect:+6.1f} {change.p:6.3f}"


def _verdict(change: Change, margin: float) -> str:
    if change.verdict == "same":
        return f"same within {margin:.0%}"
    if change.verdict != "cannot tell":
        return change.verdict
    more = "no runs" if change.more_runs is None else f"needs about {change.more_runs} more runs"
    return f"cannot tell ({more})"
