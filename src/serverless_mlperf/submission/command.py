"""`serverless-mlperf submission`: read results, refuse what would not be honest, write the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import re
from typing import Final

from serverless_mlperf.errors import InputError
from serverless_mlperf.submission.benchmarks import BENCHMARKS
from serverless_mlperf.submission.choice import choose
from serverless_mlperf.submission.fields import completed, parse_fields
from serverless_mlperf.submission.layout import Place, result_folder, write_json, write_runs, write_system, write_text
from serverless_mlperf.submission.measured import read_experiments, read_runs
from serverless_mlperf.submission.measurements import describe_measurement
from serverless_mlperf.submission.readme import overview, result_readme, source_readme
from serverless_mlperf.submission.rerun import command
from serverless_mlperf.submission.result import Result, check_complete, check_valid, results_of
from serverless_mlperf.submission.sameness import check_one_result, check_one_system
from serverless_mlperf.submission.system import describe_system
from serverless_mlperf.submission.tested import System, group

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks for."""

    results: tuple[Path, ...]
    output: Path
    org: str | None = None
    system: str | None = None
    """First part of the systems' names; None: the platform's name."""
    fields: tuple[str, ...] = ()
    allow_incomplete: bool = False
    allow_invalid: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What came of it."""

    folder: Path
    systems: tuple[str, ...]
    results: int
    notes: tuple[str, ...]
    """What is missing or not to be believed, a line each."""


def write_submission(request: Request) -> Written:
    """Write `<output>/open/<org>` whole or not at all; raises InputError in one line."""
    org = _named("--org", request.org, "says who submits and names the folder")
    if request.system is not None:
        _named("--system", request.system, "begins the systems' names")
    given = parse_fields(request.fields)
    place = Place(request.output, org)
    place.check(force=request.force)
    systems, lacking = _systems(request)
    results = [result for system in systems for result in results_of(system)]
    if not request.allow_invalid:
        check_valid(results)
    with place.staged() as root:
        _write(root, org, systems, results, given, allow_unknown=request.allow_incomplete)
    return Written(place.folder, tuple(system.name for system in systems), len(results), (*lacking, *_notes(results)))


def _systems(request: Request) -> tuple[list[System], list[str]]:
    """The systems that were measured, and cells of which nothing was."""
    experiments = read_experiments(request.results)
    entries = choose(experiments, read_runs(experiments))
    if not request.allow_incomplete:
        check_complete(entries)
    for entry in entries:
        check_one_result(entry)
    systems = group(entries, request.system)
    if not systems:
        raise InputError(f"{', '.join(map(str, request.results))}: no whole run; measure first")
    for system in systems:
        check_one_system(system.name, system.entries)
    return systems, [f"{entry.name}: nothing was measured" for entry in entries if not entry.runs]


def _write(
    root: Path,
    org: str,
    systems: Sequence[System],
    results: Sequence[Result],
    given: dict[str, str],
    *,
    allow_unknown: bool,
) -> None:
    for system in systems:
        name = f"systems/{system.name}.json"
        found = describe_system(system, org)
        write_system(root, system.name, completed(name, found, given, allow_unknown=allow_unknown))
    for result in results:
        _write_result(root, result, given, allow_unknown=allow_unknown)
    benchmarks = [BENCHMARKS[task] for task in sorted({result.entry.cell.task for result in results})]
    for benchmark in benchmarks:
        write_text(root / "src" / benchmark.folder / "README.md", source_readme(benchmark, systems))
    write_json(root / "model_mapping.json", {benchmark.folder: benchmark.checked_as for benchmark in benchmarks})
    write_text(root / "README.md", overview(org, systems, results, given))


def _write_result(root: Path, result: Result, given: dict[str, str], *, allow_unknown: bool) -> None:
    entry = result.entry
    folder = result_folder(root, result.system, entry)
    write_runs(folder, entry, {test.test.upper(): test for test in result.tests})
    found = describe_measurement(entry)
    write_json(
        folder / "measurements.json",
        completed(f"{entry.name}: measurements.json", found, given, allow_unknown=allow_unknown),
    )
    write_text(folder / "README.md", result_readme(result, command(entry, "performance")))


def _notes(results: Sequence[Result]) -> list[str]:
    return [f"{result.entry.name}: {note}" for result in results for note in (*result.lacks, *result.faults)]


def _named(option: str, name: str | None, purpose: str) -> str:
    if name is None:
        raise InputError(f"{option} is not given: it {purpose}; add {option} NAME")
    if not _NAME.fullmatch(name):
        raise InputError(f"{option} {name!r}: it {purpose}: letters, digits, '.', '_' and '-', at most 64")
    return name
