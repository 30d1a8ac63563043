"""Figures over time, as lines and as a picture."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np

from serverless_mlperf.comparison.history import Entry, History
from serverless_mlperf.errors import InputError


def history_lines(history: History) -> Iterator[str]:
    """A block per cell and figure, at most 80 columns but for names that are longer themselves."""
    for number, (key, entries) in enumerate(history.entries.items()):
        if number:
            yield ""
        yield f"{key.cell}: {key.figure}, ms (mean over runs, 95 % interval)"
        yield from (_line(entry) for entry in entries)


def draw_history(history: History, path: Path) -> None:
    """Draw every cell's figure over time, intervals as bars; raises InputError where it cannot be written."""
    from matplotlib.figure import Figure  # not at the top: it takes half a second

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for key, entries in history.entries.items():
        known = [entry for entry in entries if entry.found.mean is not None]
        when = np.array([datetime.fromisoformat(e.started).replace(tzinfo=None) for e in known], "datetime64[s]")
        means, label = [entry.found.mean or 0 for entry in known], f"{key.cell}, {key.figure}"
        axes.errorbar(when, means, _bars(known), marker="o", capsize=3, label=label)
    axes.set_ylabel("ms")
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", rotation=30)
    axes.legend(fontsize="small")
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:  # ValueError: a format that it does not know
        raise InputError(f"{path}: cannot be written ({error}); give a .png, .svg or .pdf file") from error


def _line(entry: Entry) -> str:
    found = entry.found
    value = "n/a" if found.mean is None else f"{found.mean:.1f}"
    interval = "" if found.low is None or found.high is None else f"[{found.low:.1f}, {found.high:.1f}]"
    said = "" if entry.change is None else _verdict(entry)
    runs = f"{len(found.values)} run{'' if len(found.values) == 1 else 's'}"
    return f"  {entry.started[:16]:17}{entry.version:8}{entry.code:9}{runs:8}{value:>8} {interval:18} {said}".rstrip()


def _verdict(entry: Entry) -> str:
    change = entry.change
    if change is None or change.ratio is None:
        return ""
    return f"x{change.ratio:.2f} {change.verdict}"


def _bars(entries: list[Entry]) -> list[list[float]]:
    """Lengths down and up; 0 where the runs are too few for an interval."""
    means = [entry.found.mean or 0 for entry in entries]
    lows = [m - (e.found.low if e.found.low is not None else m) for m, e in zip(means, entries, strict=True)]
    highs = [(e.found.high if e.found.high is not None else m) - m for m, e in zip(means, entries, strict=True)]
    return [lows, highs]
