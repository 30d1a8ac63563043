"""The seed's figures from any results.csv in its form: latency bars per model, QPS bars for both."""

from collections.abc import Sequence
import csv
from dataclasses import dataclass
import math
from pathlib import Path
from typing import TYPE_CHECKING, Final

from serverless_mlperf.errors import InputError
from serverless_mlperf.workloads import suffix

if TYPE_CHECKING:  # matplotlib takes half a second, and tells of a home that cannot be written before anything else
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS: Final = ("model_name", "latency", "qps", "memory")
ENGINES: Final = {
    "openvino": ("OpenVINO, IR", "#0072B2", ""),
    "tf": ("OpenCV, TensorFlow", "#E69F00", "//"),
    "caffe": ("OpenCV, Caffe", "#009E73", ".."),
}
"""Suffix of model_name -> label, colour (Okabe and Ito's, safe for the colour-blind) and hatch."""
MODELS: Final = {"mobilenet": "MobileNetV1", "ssd": "SSD-MobileNetV1"}
DPI: Final = 150


Size = tuple[int, str]
"""Memory in MB, and what names the architecture."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: a model with an engine at a memory size; a value without data is None."""

    model: str
    engine: str
    memory_mib: int
    latency_ms: float | None
    qps: float | None
    architecture: str = "x86_64"

    @property
    def size(self) -> Size:
        """Its group: memory and, where it is not x86_64, architecture."""
        return self.memory_mib, suffix(self.architecture, " ")


def draw_figures(file: Path, output: Path) -> list[Path]:
    """Draw every figure that the file has data for as PNG and PDF; raises InputError."""
    bars = read_bars(file)
    models = [model for model in MODELS if any(bar.model == model for bar in bars)]
    figures = {f"latency_{model}": _latency_figure([b for b in bars if b.model == model], model) for model in models}
    figures["qps"] = _qps_figure(bars, models)
    try:
        output.mkdir(parents=True, exist_ok=True)
        return [path for name, figure in figures.items() for path in _save(figure, output / name)]
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror}); choose another --output") from error


def read_bars(file: Path) -> list[Bar]:
    """Read the seed's columns; later rows of the same bar (repeated runs) replace earlier ones."""
    try:
        with file.open(newline="") as lines:
            reader = csv.DictReader(lines)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{file}: column {missing[0]} is missing; needed are {', '.join(COLUMNS)}")
            bars = [_bar(file, number, row) for number, row in enumerate(reader, 2)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: cannot be read as CSV ({error}); give a results.csv") from error
    if not bars:
        raise InputError(f"{file}: has no row; measure something first")
    return list({(bar.model, bar.engine, bar.size): bar for bar in bars}.values())


def _bar(file: Path, line: int, row: dict[str, str]) -> Bar:
    model, _, engine = row["model_name"].partition("_")
    if model not in MODELS or engine not in ENGINES:
        raise InputError(
            f"{file}, line {line}: model_name {row['model_name']!r} is not known; "
            f"it is one of {', '.join(MODELS)} with _{', _'.join(ENGINES)}"
        )
    try:
        latency_ms, qps = (float(row[name]) if row[name] else None for name in ("latency", "qps"))
        if not all(value is None or 0 <= value < math.inf for value in (latency_ms, qps)):
            raise ValueError(f"latency {row['latency']}, qps {row['qps']}")
        return Bar(model, engine, int(row["memory"] or ""), latency_ms, qps, row.get("architecture") or "x86_64")
    except ValueError as error:
        raise InputError(f"{file}, line {line}: {error}; finite numbers from 0 are needed") from error


def _latency_figure(bars: Sequence[Bar], model: str) -> "Figure":
    figure = _figure(4.2)
    axes = figure.subplots()
    _draw(axes, bars, {(b.engine, b.size): b.latency_ms for b in bars}, "{:.0f}")
    axes.set_ylabel(f"{MODELS[model]}: forward, median (ms)")
    _legend(figure, axes)
    return figure


def _qps_figure(bars: Sequence[Bar], models: Sequence[str]) -> "Figure":
    figure = _figure(3.6 * len(models))
    panels = figure.subplots(len(models), squeeze=False)[:, 0]
    for axes, model in zip(panels, models, strict=True):
        mine = [bar for bar in bars if bar.model == model]
        _draw(axes, mine, {(b.engine, b.size): b.qps for b in mine}, "{:.0f}")
        axes.set_ylabel(f"{MODELS[model]}: queries per second")
    _legend(figure, panels[0])
    return figure


def _draw(axes: "Axes", bars: Sequence[Bar], values: dict[tuple[str, Size], float | None], form: str) -> None:
    """Groups by size, a bar per engine; a missing value is a gap marked `no data`."""
    sizes = sorted({bar.size for bar in bars})
    engines = [engine for engine in ENGINES if any(bar.engine == engine for bar in bars)]
    width = 0.8 / len(engines)
    for index, engine in enumerate(engines):
        label, colour, hatch = ENGINES[engine]
        places = [group + (index - (len(engines) - 1) / 2) * width for group in range(len(sizes))]
        found = [values.get((engine, size)) for size in sizes]
        drawn = axes.bar(
            places, [v or 0.0 for v in found], width * 0.94, label=label, color=colour, hatch=hatch, edgecolor="white"
        )
        axes.bar_label(drawn, ["no data" if v is None else form.format(v) for v in found], padding=2, fontsize=8)
    axes.set_xticks(range(len(sizes)), [f"{memory_mib} MB{architecture}" for memory_mib, architecture in sizes])
    axes.set_xlabel("memory size of the function")
    axes.margins(y=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", linewidth=0.5, alpha=0.4)
    axes.set_axisbelow(True)


def _legend(figure: "Figure", axes: "Axes") -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)


def _figure(height_inches: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(7.2, height_inches), layout="constrained")


def _save(figure: "Figure", stem: Path) -> list[Path]:
    """PNG and PDF; the PDF without dates, so that the same data give the same file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    png, pdf = stem.with_suffix(".png"), stem.with_suffix(".pdf")
    figure.savefig(png, dpi=DPI)
    figure.savefig(pdf, metadata={"CreationDate": None})
    return [png, pdf]
