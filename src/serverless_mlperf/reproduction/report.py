"""The paper's table and ours, side by side, in lines of at most 80 columns."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final

from serverless_mlperf.report.figures import Bar
from serverless_mlperf.reproduction.shape import Series, Shape, exchanges, rate_correlation, ratios, shapes

SIZES: Final = (768, 1536, 2240, 3008)
_FOLLOWS: Final = -0.5
"""A correlation below it: the rate falls as the latency grows, as it does where the function limits it."""


def document(published: Sequence[Bar], ours: Sequence[Bar]) -> dict[str, Any]:
    """Everything that is compared, as JSON values."""
    return {name: _described(bars) for name, bars in (("published", published), ("ours", ours)) if bars}


def rows(published: Sequence[Bar], ours: Sequence[Bar]) -> Iterator[dict[str, Any]]:
    """Every cell of both, flat, with the shape of its series; a cell that was not measured has no row."""
    for name, bars in (("published", published), ("ours", ours)):
        known = shapes(bars)
        to_openvino = ratios(known)
        for bar in bars:
            shape = known.get((bar.model, bar.engine))
            yield {
                "source": name,
                "model": bar.model,
                "engine": bar.engine,
                "memory_mib": bar.memory_mib,
                "latency_ms": bar.latency_ms,
                "qps": bar.qps,
                "vcpu_ms": shape.vcpu_ms if shape else None,
                "spread": shape.spread if shape else None,
                "ratio_to_openvino": to_openvino.get((bar.model, bar.engine)),
            }


def lines(published: Sequence[Bar], ours: Sequence[Bar]) -> Iterator[str]:
    """The comparison; without ours, what the published figures tell alone."""
    both = {"paper": published, "ours": ours} if ours else {"paper": published}
    known = {name: shapes(bars) for name, bars in both.items()}
    yield "median forward, ms (context: another CPU); vCPU-ms = ms x MB / 1769 (the shape)"
    yield f"{'':26}" + "".join(f"{size:>8}" for size in SIZES) + "  vCPU-ms  spread"
    for series in sorted(known["paper"]):
        for name, bars in both.items():
            yield f"{' '.join(series) if name == 'paper' else '':20}{name:6}{_row(bars, series, known[name])}"
    yield from _ratio_lines({name: ratios(found) for name, found in known.items()})
    yield from (line for name, bars in both.items() for line in _remarks(name, bars))


def _described(bars: Sequence[Bar]) -> dict[str, Any]:
    found = shapes(bars)
    return {
        "vcpu_ms": {" ".join(series): shape.vcpu_ms for series, shape in found.items()},
        "spread": {" ".join(series): shape.spread for series, shape in found.items()},
        "ratio_to_openvino": {" ".join(series): ratio for series, ratio in ratios(found).items()},
        "rate_correlation": rate_correlation(bars),
        "exchanged_labels": [
            {"model": e.model, "memory_mib": e.memory_mib, "engines": e.engines, "deviation": e.deviation,
             "exchanged": e.exchanged} for e in exchanges(bars)
        ],
    }  # fmt: skip


def _row(bars: Sequence[Bar], series: Series, known: Mapping[Series, Shape]) -> str:
    values = {bar.memory_mib: bar.latency_ms for bar in bars if (bar.model, bar.engine) == series}
    cells = "".join(f"{values[size]:8.1f}" if values.get(size) is not None else f"{'-':>8}" for size in SIZES)
    shape = known.get(series)
    return cells + (f"{shape.vcpu_ms:9.1f}{shape.spread:8.0%}" if shape else f"{'-':>9}{'-':>8}")


def _ratio_lines(found: Mapping[str, Mapping[Series, float]]) -> Iterator[str]:
    yield "CPU time against OpenVINO's, same model:"
    for series in sorted(found["paper"]):
        values = ", ".join(f"{name} {known[series]:.2f}" for name, known in found.items() if series in known)
        yield f"  {' '.join(series)}: {values}"


def _remarks(name: str, bars: Sequence[Bar]) -> Iterator[str]:
    rates = [bar.qps for bar in bars if bar.qps is not None]
    follows = rate_correlation(bars)
    if follows is not None:
        latencies = [bar.latency_ms for bar in bars if bar.latency_ms]
        yield (
            f"{name}: rates {min(rates):.1f} to {max(rates):.1f}/s, median {median(rates):.1f}, "
            f"latencies differ {max(latencies) / min(latencies):.0f}-fold;"
        )
        meaning = "the function limits them" if follows < _FOLLOWS else "something else than the function limits them"
        yield f"  their correlation is {follows:+.2f}: {meaning}"
    for each in exchanges(bars):
        yield (
            f"{name}: {each.model} at {each.memory_mib} MB: {each.engines[0]} and {each.engines[1]} are "
            f"{each.deviation:.0%} off their series;"
        )
        yield f"  exchanged they would be {each.exchanged:.0%} off: probably two labels are exchanged"
