"""Two results folders compared."""

from collections.abc import Sequence
from pathlib import Path

from serverless_mlperf.comparison.changes import compare
from serverless_mlperf.comparison.figures_of import figures_of
from serverless_mlperf.comparison.report import Comparison
from serverless_mlperf.comparison.surroundings import differences
from serverless_mlperf.errors import InputError
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.store import ResultsFolder


def compare_folders(base: Path, new: Path, margin: float) -> Comparison:
    """Hold the VALID performance runs of `new` against those of `base`; raises InputError where there is none."""
    before, after = ResultsFolder.open(base), ResultsFolder.open(new)
    base_results, new_results = before.results(), after.results()
    base_figures, new_figures = figures_of(base_results), figures_of(new_results)
    both = sorted(base_figures.keys() & new_figures.keys())
    if not both:
        raise InputError(f"{base}, {new}: no cell has VALID performance runs in both; measure it, or give others")
    figures = {key: (base_figures[key], new_figures[key]) for key in both}
    changes = compare(figures, margin)
    return Comparison(
        base=str(base),
        new=str(new),
        differences=differences(before, after),
        changes=changes,
        margin=margin,
        left_out=(_invalid(base_results), _invalid(new_results)),
        shortfalls=(*before.shortfalls(), *after.shortfalls()),
    )


def _invalid(results: Sequence[CellResult]) -> int:
    return sum(not result.valid and result.mode == "performance" for result in results)
