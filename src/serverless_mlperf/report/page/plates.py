"""The page's figures for papers: each as PNG, SVG and PDF, from the same rows as the page draws."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from serverless_mlperf.errors import InputError
from serverless_mlperf.report.page.model import Figure, Kind, Row

if TYPE_CHECKING:  # matplotlib takes half a second
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Sheet

FORMATS: Final = ("png", "svg", "pdf")
COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")
"""Okabe and Ito's, safe for the colour-blind: as page.js has them."""
MARKS: Final = ("o", "s", "D", "^", "x", "P", "*", "p")
HATCHES: Final = ("", "//", "..", "xx", "--", "++", "\\\\", "||")
PALE: Final = 0.3
"""Of what is not VALID, as on the page."""
WIDTH_INCHES: Final = 7.2
DPI: Final = 150
LEGEND_CHARACTERS: Final = 100
"""Of the legend's small letters, beside each other."""
MARK_CHARACTERS: Final = 8
"""What a legend's mark and the space around it take."""


@dataclass(frozen=True, slots=True)
class Series:
    """The rows of one name, and its place among all names: by it colour, mark and hatch are chosen."""

    name: str
    place: int
    rows: Sequence[Row]
    share_colour: int
    """See model.Figure."""

    @property
    def colour(self) -> str:
        """One of COLOURS."""
        return COLOURS[self.place // self.share_colour % len(COLOURS)]

    @property
    def hatch(self) -> str:
        """One of HATCHES."""
        return HATCHES[self.place % len(HATCHES)]

    @property
    def mark(self) -> str:
        """One of MARKS."""
        return MARKS[self.place % len(MARKS)]

    @property
    def modelled(self) -> bool:
        """Whether any of it is."""
        return any(row.get("modelled") for row in self.rows)

    def column(self, name: str) -> list[float]:
        """Numbers of a column; what is not known is not drawn."""
        return [float("nan") if row[name] is None else row[name] for row in self.rows]


def draw_plates(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Draw every figure in every format; raises InputError where the folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [path for figure in figures for path in _save(_sheet(figure), folder / figure.id)]
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from error


def _sheet(figure: Figure) -> "Sheet":
    from matplotlib.figure import Figure as Sheet

    series = list(_series(figure))
    labels = _labels(figure)
    height = 1.6 + 0.22 * len(labels) if figure.kind in ("stack", "group", "span") else 4.0
    beside = max(1, LEGEND_CHARACTERS // (max(len(each.name) for each in series) + MARK_CHARACTERS))
    rows_of_legend = -(-len(series) // beside)
    sheet = Sheet(figsize=(WIDTH_INCHES, height + 0.2 * rows_of_legend), layout="constrained")
    axes = sheet.subplots()
    DRAWERS[figure.kind](axes, figure, series)
    _finish(axes, figure)
    handles, names = axes.get_legend_handles_labels()
    if handles:
        sheet.legend(
            handles, names, loc="outside lower center", ncols=min(beside, len(names)), frameon=False, fontsize=8
        )
    return sheet


def _finish(axes: "Axes", figure: Figure) -> None:
    across = figure.kind in ("stack", "group", "span")
    axes.set_title(figure.title, fontsize=11)
    axes.set_xlabel((figure.x_title or figure.y_title) if across else figure.x_title)
    axes.set_ylabel("" if across else figure.y_title)
    if figure.x_log:
        axes.set_xscale("log")
    if figure.y_log:
        axes.set_yscale("log")
    for level in dict.fromkeys(row[figure.target] for row in figure.rows if figure.target and row[figure.target]):
        axes.axhline(level, color="black", linestyle="--", linewidth=1)
        place, paper = (1, level), {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8}
        axes.annotate(
            f"target {level:g}", place, xycoords=("axes fraction", "data"), ha="right", va="bottom", bbox=paper
        )
        # Ratios near one are told apart by their upper ends.
        axes.set_ylim(bottom=min(level, *(row[figure.y] for row in figure.rows)) - 0.02)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x" if across else "y", linewidth=0.5, alpha=0.4)
    axes.set_axisbelow(True)


def _series(figure: Figure) -> Iterator[Series]:
    for place, name in enumerate(dict.fromkeys(row[figure.series] for row in figure.rows)):
        rows = [row for row in figure.rows if row[figure.series] == name]
        yield Series(str(name), place, rows, figure.share_colour)


def _labels(figure: Figure) -> list[str]:
    """Names along the upright axis of lying bars."""
    return list(dict.fromkeys(str(row[figure.y]) for row in figure.rows))


def _bars(axes: "Axes", figure: Figure, series: Sequence[Series]) -> None:
    """Groups along x, a bar of each series in each, with intervals where there are any; not VALID is pale."""
    groups = sorted({row[figure.x] for row in figure.rows})
    width = 0.8 / len(series)
    for each in series:
        places = [groups.index(row[figure.x]) + (each.place - (len(series) - 1) / 2) * width for row in each.rows]
        drawn = axes.bar(
            places, each.column(figure.y), width * 0.94, label=each.name, color=each.colour, hatch=each.hatch,
            edgecolor="white", yerr=_ends(figure, each), error_kw={"elinewidth": 1, "capsize": 2},
        )  # fmt: skip
        for bar, row in zip(drawn, each.rows, strict=True):
            bar.set_alpha(PALE if row.get("verdict") == "INVALID" else 1)
    axes.set_xticks(range(len(groups)), [f"{group:g}" for group in groups])


def _ends(figure: Figure, series: Series) -> list[list[float]] | None:
    """How far an interval reaches below and above each value."""
    if figure.low is None or figure.high is None:
        return None
    values, lows, highs = (series.column(name) for name in (figure.y, figure.low, figure.high))
    below = [max(0.0, value - low) for value, low in zip(values, lows, strict=True)]
    return [below, [max(0.0, high - value) for value, high in zip(values, highs, strict=True)]]


def _stacks(axes: "Axes", figure: Figure, series: Sequence[Series]) -> None:
    """Lying bars, a row's series one after the other."""
    labels = _labels(figure)
    reached = dict.fromkeys(labels, 0.0)
    for each in series:
        summed: dict[str, float] = {}
        for row in each.rows:  # several runs of a cell lie on one another, as on the page
            summed[row[figure.y]] = summed.get(row[figure.y], 0.0) + (row[figure.x] or 0.0)
        axes.barh(
            [labels.index(label) for label in summed], list(summed.values()), left=[reached[label] for label in summed],
            label=each.name, color=each.colour, hatch=each.hatch, edgecolor="white",
        )  # fmt: skip
        reached |= {label: reached[label] + value for label, value in summed.items()}
    axes.set_yticks(range(len(labels)), labels, fontsize=8)


def _groups(axes: "Axes", figure: Figure, series: Sequence[Series]) -> None:
    """Lying bars beside each other."""
    labels, height = _labels(figure), 0.8 / len(series)
    for each in series:
        places = [labels.index(row[figure.y]) + (each.place - (len(series) - 1) / 2) * height for row in each.rows]
        axes.barh(
            places, each.column(figure.x), height * 0.94, label=each.name, color=each.colour, hatch=each.hatch,
            edgecolor="white",
        )  # fmt: skip
    axes.set_yticks(range(len(labels)), labels, fontsize=8)


def _lines(axes: "Axes", figure: Figure, series: Sequence[Series]) -> None:
    """Points joined in the order of x; modelled ones are open and dotted."""
    for each in series:
        ordered = replace(each, rows=sorted(each.rows, key=lambda row: float(row[figure.x])))
        axes.plot(
            ordered.column(figure.x), ordered.column(figure.y), label=each.name, color=each.colour, marker=each.mark,
            markersize=5, linestyle=":" if each.modelled else "-", markerfacecolor="white" if each.modelled else None,
        )  # fmt: skip


def _steps(axes: "Axes", figure: Figure, series: Sequence[Series]) -> None:
    """Curves that hold their value until the next point, with their bands."""
    for each in series:
        x = each.column(figure.x)
        style = ("-", "--", ":", "-.")[each.place // len(COLOURS) % 4]
        axes.step(x, each.column(figure.y), where="post", label=each.name, color=each.colour, linestyle=style)
        if figure.low and figure.high:
            low, high = each.column(figure.low), each.column(figure.high)
            axes.fill_between(x, low, high, step="post", color=each.colour, alpha=0.12, linewidth=0)


def _points(axes: "Axes", figure: Figure, series: Sequence[Series]) -> None:
    """Points, open where they are modelled and pale where they are not VALID, and the front of each task."""
    for each in series:
        for row in each.rows:
            axes.plot(
                row[figure.x], row[figure.y], marker=each.mark, color=each.colour, linestyle="", markersize=7,
                markerfacecolor="none" if row.get("modelled") else each.colour, label=_once(axes, each.name),
                alpha=PALE if row.get("verdict") == "INVALID" else 1,
            )  # fmt: skip
    if figure.front is None:
        return
    for task in dict.fromkeys(row["task"] for row in figure.rows):
        front = [row for row in figure.rows if row["task"] == task and row[figure.front]]
        front.sort(key=lambda row: float(row[figure.x]))
        x, y = [row[figure.x] for row in front], [row[figure.y] for row in front]
        axes.plot(x, y, color="black", linewidth=1, linestyle="--", label=_once(axes, "front, none is better in both"))


def _once(axes: "Axes", name: str) -> str:
    """A label for the first of several; a name that begins with `_` has no entry in the legend."""
    return f"_{name}" if name in axes.get_legend_handles_labels()[1] else name


def _spans(axes: "Axes", figure: Figure, series: Sequence[Series]) -> None:
    """What was computed where and when, and when it was handed over."""
    labels = [*_labels(figure), "arrivals"]
    for each in series:
        starts, ends = each.column(figure.x), each.column(str(figure.high))
        axes.barh(
            [labels.index(row[figure.y]) for row in each.rows], [b - a for a, b in zip(starts, ends, strict=True)],
            left=starts, label=each.name, color=each.colour, edgecolor="white", linewidth=0.5,
        )  # fmt: skip
    arrived = [row[str(figure.low)] for row in figure.rows]
    axes.plot(arrived, [len(labels) - 1] * len(arrived), "|", color="black", label="handed over")
    axes.set_yticks(range(len(labels)), labels, fontsize=8)


DRAWERS: Final[Mapping[Kind, Callable[["Axes", Figure, Sequence[Series]], None]]] = {
    "bar": _bars,
    "stack": _stacks,
    "group": _groups,
    "line": _lines,
    "step": _steps,
    "scatter": _points,
    "span": _spans,
}


def _save(sheet: "Sheet", stem: Path) -> list[Path]:
    """Without dates and random ids, so that the same data give the same files."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(sheet)
    stamps = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    paths = [stem.with_suffix(f".{form}") for form in FORMATS]
    with rc_context({"svg.hashsalt": stem.name, "svg.fonttype": "none"}):
        for path, form in zip(paths, FORMATS, strict=True):
            sheet.savefig(path, dpi=DPI, metadata=stamps[form])
    return paths
