"""A tuning's results folder as its candidates: what was measured, read from the files of the runs."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from serverless_mlperf.cells import COLD_SUMMARY
from serverless_mlperf.latency import observations
from serverless_mlperf.mlperf.spec import Scenario
from serverless_mlperf.outcome import read_validity
from serverless_mlperf.records import Record, read_records
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.store import ResultsFolder
from serverless_mlperf.tries import Try
from serverless_mlperf.tuning.candidates import Candidate, Run

OF_LOADGEN: Final = frozenset({"early_stopping", "min_query_count", "min_duration", "latency_bound"})
"""Reasons for INVALID that are no fault of a run here: how many queries tell what is the tuning's own question."""


def read_candidates(
    folder: ResultsFolder, failures: Mapping[str, str], allow_invalid: bool, unsettled: frozenset[tuple[str, int]]
) -> list[Candidate]:
    """All candidates in the order of the matrix.

    `failures` says of what could not be measured; `unsettled` names runs that are to be tried again and are taken as
    not measured. A candidate whose run cannot be used has failed. `allow_invalid`: the host's faults are forgiven.
    """
    return [_candidate(folder, cell, failures.get(cell), allow_invalid, unsettled) for cell in folder.cells]


def unusable_runs(folder: ResultsFolder, allow_invalid: bool) -> frozenset[tuple[str, int]]:
    """(cell, run) of whole tries that cannot be used."""
    return frozenset(
        (cell, run)
        for cell in folder.cells
        for run in range(1, folder.repeat + 1)
        if (counted := folder.counted_try(cell, run)) is not None and _fault(counted, allow_invalid)
    )


def invalid_runs(folder: ResultsFolder) -> int:
    """Whole runs that the host disturbed, in use all the same where that was allowed."""
    counted = (folder.counted_try(cell, run) for cell in folder.cells for run in range(1, folder.repeat + 1))
    return sum(each is not None and bool(_fault(each, allow_invalid=False)) for each in counted)


def _candidate(
    folder: ResultsFolder,
    cell: str,
    failure: str | None,
    allow_invalid: bool,
    unsettled: frozenset[tuple[str, int]],
) -> Candidate:
    runs: list[Run] = []
    measured: list[Try] = []
    for number in range(1, folder.repeat + 1):
        counted = folder.counted_try(cell, number)
        if counted is None or (cell, number) in unsettled:
            break
        if failure := failure or _fault(counted, allow_invalid):
            break
        measured.append(counted)
        runs.append(_run(counted, _asked(folder, cell, number)))
    cold = _forced(folder.path / "cells" / cell)
    results = [each.result for each in measured if each.result is not None]
    seen = max(results, key=lambda result: result.accuracy_samples, default=None)
    return Candidate(
        name=cell,
        runs=tuple(runs),
        cold_ms=cold or tuple(ms for each in measured for ms in _cold_ms(each.folder / "cold_starts.jsonl")),
        accuracy=_accuracy(seen),
        accuracy_images=seen.accuracy_samples if seen else 0,
        failed=failure,
        lost_queries=len(cold) + _asked(folder, cell) - sum(run.queries for run in runs),
    )


def _asked(folder: ResultsFolder, cell: str, run: int | None = None) -> int:
    """Queries of the whole tries of a cell, or of one of its runs: also of tries that do not count."""
    tries = [each for each in folder.tries(cell) if each.result and run in (None, each.run)]
    return sum(each.result.files + each.result.errors + each.result.lost for each in tries if each.result)


def _run(counted: Try, queries: int) -> Run:
    result = counted.result
    warm = result.cost.warm if result and result.cost else None
    if result is None or warm is None:
        raise ValueError(f"{counted.folder}: has no price")  # _fault has told of it
    return Run(tuple(_warm_ms(counted.folder, _scenario(result))), warm.per_million_usd, queries)


def _scenario(result: CellResult) -> Scenario:
    return "Server" if result.scenario == "Server" else "SingleStream"


def _warm_ms(folder: Path, scenario: Scenario) -> Iterator[float]:
    records = list(read_records(folder / "records.jsonl"))
    return (each.latency_ns / 1e6 for each in observations(records, scenario) if each.good and not each.cold)


def _forced(folder: Path) -> tuple[float, ...]:
    """Cold starts that were forced one by one, once they are all there."""
    return tuple(_cold_ms(folder / "cold.jsonl")) if (folder / COLD_SUMMARY).exists() else ()


def _cold_ms(path: Path) -> Iterator[float]:
    return (record.latency_ns / 1e6 for record in read_records(path) if _is_cold(record))


def _is_cold(record: Record) -> bool:
    return bool(record.cold) and record.verdict == "ok"


def _accuracy(result: CellResult | None) -> float | None:
    if result is None:
        return None
    return result.top1 if result.task == "classification" else result.ap


def _fault(counted: Try, allow_invalid: bool) -> str | None:
    """Why a whole try cannot be used."""
    result = counted.result
    if result is None or not result.warm or result.lost or result.errors or result.duplicates:
        return f"queries were lost, wrong or executed twice: {_reasons(result)}"
    if result.cost is None or result.cost.warm is None:
        return "the platform billed nothing"
    if result.valid:
        return None
    faults = [r for r in read_validity(counted.folder).reasons if r.code not in OF_LOADGEN]
    kept = [r for r in faults if not (allow_invalid and r.transient)]
    return "; ".join(f"{r.code}: {r.evidence}" for r in kept) or None


def _reasons(result: CellResult | None) -> str:
    return "; ".join(result.reasons) if result else "no result"
