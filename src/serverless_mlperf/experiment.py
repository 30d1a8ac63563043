"""The experiment, as a method section: prepare, deploy, warm up, measure, collect, report; and go on after a cut."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
import tempfile
from typing import Any, Protocol

from rich.console import Console

from serverless_mlperf.cache import cache_dir
from serverless_mlperf.cells import Cells
from serverless_mlperf.cleaning import remove_leftovers
from serverless_mlperf.config import ExperimentConfig
from serverless_mlperf.errors import BenchmarkError, InputError
from serverless_mlperf.estimate import Estimates, within_budget
from serverless_mlperf.functions import functions_of
from serverless_mlperf.host import host_lock
from serverless_mlperf.output import check_output
from serverless_mlperf.platforms.provider import Provider
from serverless_mlperf.platforms.table import make_provider, traits_of
from serverless_mlperf.preflight import needs_of, preflight, read_room
from serverless_mlperf.preparation import Preparation, prepare
from serverless_mlperf.pricing.choice import pricing_by, pricing_of
from serverless_mlperf.pricing.table import load_prices, region_document
from serverless_mlperf.provenance import check_unchanged, describe_client
from serverless_mlperf.report.csvfile import write_results
from serverless_mlperf.report.figures import draw_figures
from serverless_mlperf.report.page.build import PAGE, read_page, write_page
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.report.table import print_table
from serverless_mlperf.resume import open_folder, resumed_config, stored_settings
from serverless_mlperf.spending import Purse
from serverless_mlperf.store import EXPERIMENT, TUNING, ResultsFolder
from serverless_mlperf.workloads import Cell

MakeCells = Callable[[ExperimentConfig, Console], Cells]
"""What measures, for an experiment's configuration or one that differs in how long a run is."""
OnEnd = Callable[[ResultsFolder], None]
"""Told of the results folder once all is reported."""


class Method(Protocol):
    """Which runs an experiment makes, and what is said of them."""

    @property
    def notes(self) -> Mapping[str, Any]:
        """What the folder's environment says of it, to go on in the same way."""

    def is_finished(self, folder: ResultsFolder) -> bool:
        """Whether nothing is left to measure."""

    def measure(
        self, config: ExperimentConfig, folder: ResultsFolder, make_cells: MakeCells, console: Console
    ) -> Mapping[str, str]:
        """Measure what is left; cell -> why it failed."""

    def report(self, folder: ResultsFolder, failures: Mapping[str, str], console: Console) -> int:
        """Say and write what was found; the exit status."""

    def progress(self, folder: ResultsFolder) -> str:
        """What is done, in one line."""


class EveryRun:
    """All runs of all cells."""

    notes: Mapping[str, Any] = {}

    def __init__(self, on_end: OnEnd | None = None) -> None:
        self._on_end = on_end

    def is_finished(self, folder: ResultsFolder) -> bool:
        """No run is missing, or INVALID."""
        return not any(folder.missing(cell) for cell in folder.cells)

    def measure(
        self,
        config: ExperimentConfig,
        folder: ResultsFolder,  # noqa: ARG002 - the protocol's signature
        make_cells: MakeCells,
        console: Console,
    ) -> Mapping[str, str]:
        """Measure what is missing."""
        return make_cells(config, console).measure_missing()

    def report(self, folder: ResultsFolder, failures: Mapping[str, str], console: Console) -> int:
        """Print the table, write results.csv, the page and the figures."""
        return report(folder, failures, console, self._on_end)

    def progress(self, folder: ResultsFolder) -> str:
        """Which cells are measured."""
        return _progress(folder)


def run_experiment(config: ExperimentConfig, console: Console, method: Method | None = None) -> int:
    """Measure every cell and report; 0 when all were measured, 1 when something was lost or failed.

    A failed cell does not stop the others. Raises BenchmarkError for what concerns the whole experiment.
    """
    method = method or EveryRun()
    check_output(config.output)
    provider = _provider(config)
    config = config.in_region(provider.region)
    prices = load_prices().region(config.price_region)
    if TUNING not in method.notes:  # which has a budget of queries of its own
        estimates = Estimates(config, _environments(config, provider), pricing_by(config, prices))
        _say(within_budget(estimates), console)
    with host_lock():
        with _told_at_a_cut(None, console, method):
            preparation = _prepared(config, provider, config.output, console)
            environment = {**_described(provider), **preparation.digests(), "prices": region_document(prices)}
            environment |= method.notes
        cells = [cell.name for cell in config.cells]
        folder = ResultsFolder.create(config.output, stored_settings(config), cells, environment)
        with _told_at_a_cut(folder, console, method):
            console.print(f"results: {folder.path}", markup=False)
            return method.report(folder, _measured(config, provider, preparation, folder, console, method), console)


def resume_experiment(
    path: Path | None, given: Mapping[str, Any], console: Console, method: Method | None = None
) -> int:
    """Measure what a results folder lacks, with its own settings, and report all that is in it; as `run_experiment`.

    Without a path, the newest folder below the output folder in `given`. Raises InputError when the settings in
    `given`, the host, the code or what is built differ from what they were.
    """
    method = method or EveryRun()
    with host_lock():
        folder = open_folder(path, given)
        _check_method(folder, method)
        config = resumed_config(folder, given)
        provider = _provider(config)
        with _told_at_a_cut(folder, console, method):
            console.print(f"resumed: {method.progress(folder)}", markup=False)
            failures: Mapping[str, str] = {}
            if not method.is_finished(folder):
                _check_rest(config, provider, folder, console, method)
                preparation = _prepared_again(config, provider, folder, console)
                failures = _measured(config, provider, preparation, folder, console, method)
            return method.report(folder, failures, console)


def _check_method(folder: ResultsFolder, method: Method) -> None:
    """A tuning makes other runs than an experiment: neither goes on with the other's folder."""
    if TUNING in folder.environment and TUNING not in method.notes:
        raise InputError(f"{folder.path}: is a tuning; go on with it by `tune --resume`")


def _check_rest(
    config: ExperimentConfig, provider: Provider, folder: ResultsFolder, console: Console, method: Method
) -> None:
    """Refuse to go on when what is missing cannot be had for what is left of the budget; of a tuning nothing is."""
    if TUNING in method.notes:
        return
    missing = {cell: len(folder.missing(cell.name)) for cell in config.cells}
    estimates = Estimates(config, _environments(config, provider), pricing_of(folder))
    _say(within_budget(estimates, Purse(folder.path, config.budget).spent, missing), console)


def _say(lines: Iterable[str], console: Console) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False)


def _provider(config: ExperimentConfig) -> Provider:
    """The platform that was chosen, able to do what is asked; raises InputError."""
    provider = make_provider(config.platform, config.wishes)
    provider.check(config.concurrency, config.memory_mib, config.architectures)
    return provider


def _described(provider: Provider) -> dict[str, Any]:
    """Client and platform, as a result names them; of a platform that is the host itself there is no more to say."""
    platform = dict(provider.describe())
    return {**describe_client(), **({"platform": platform} if platform else {})}


def _prepared(config: ExperimentConfig, provider: Provider, output: Path, console: Console) -> Preparation:
    """What is needed to measure, once it is clear that there is room for it."""
    remove_leftovers()
    here = traits_of(config.platform).shares_host
    needs = needs_of(config, _environments(config, provider), output, cache_dir(), _work_folder(), here=here)
    preflight(needs, read_room(needs))
    return prepare(config, provider.packages, console.print)


def _work_folder() -> Path:
    return Path(tempfile.gettempdir())


def _prepared_again(
    config: ExperimentConfig, provider: Provider, folder: ResultsFolder, console: Console
) -> Preparation:
    """The same, if it is the same: what is quick to see is looked at first."""
    experiment = folder.path / EXPERIMENT
    check_unchanged(folder.environment, _described(provider), experiment)
    preparation = _prepared(config, provider, folder.path, console)
    check_unchanged(folder.environment, preparation.digests(), experiment)
    folder.mark_unfinished("the experiment was cut off")
    return preparation


def _measured(
    config: ExperimentConfig,
    provider: Provider,
    preparation: Preparation,
    folder: ResultsFolder,
    console: Console,
    method: Method,
) -> Mapping[str, str]:
    """Measure what is missing; cell -> why it failed."""
    pricing, environments = pricing_of(folder), _environments(config, provider)
    functions = functions_of(config, preparation, environments)
    with provider.open(tuple(functions.values()), _plainly(console)) as platform:

        def make_cells(settings: ExperimentConfig, said: Console) -> Cells:
            mine = functions_of(settings, preparation, environments)
            return Cells(settings, preparation, platform, folder, said, mine, pricing)

        return method.measure(config, folder, make_cells, console)


def _plainly(console: Console) -> Callable[[str], None]:
    """Print lines as they are: brackets in them are no markup."""
    return lambda line: console.print(line, markup=False, highlight=False)


def _environments(config: ExperimentConfig, provider: Provider) -> dict[Cell, int]:
    return {cell: config.concurrency or provider.environments(cell.memory_mib) for cell in config.cells}


def report(folder: ResultsFolder, failures: Mapping[str, str], console: Console, on_end: OnEnd | None = None) -> int:
    """Print the table, write results.csv and the figures, of all that is in the folder; the exit status."""
    for name, reason in failures.items():
        console.print(f"not measured: {name}: {reason}", markup=False)
    results = folder.results()
    if not results:
        return 1
    written = write_report(folder, results)
    print_table(results, console)
    console.print(written, markup=False)
    if on_end:
        on_end(folder)
    whole = all(folder.state(cell) in {"valid", "invalid"} for cell in folder.cells)
    return 0 if whole and not failures and not any(r.lost + r.duplicates + r.errors for r in results) else 1


def write_report(folder: ResultsFolder, results: Sequence[CellResult]) -> str:
    """Write results.csv, the figures and the page of at least one result; a line that says so."""
    path, page = folder.path / "results.csv", folder.path / PAGE
    write_results(path, results)
    drawn = draw_figures(path, folder.path / "figures")
    write_page(read_page([folder.path]), page)
    return f"written: {path}, {page} and {len(drawn)} figures; one folder per cell in {folder.path / 'cells'}"


@contextmanager
def _told_at_a_cut(folder: ResultsFolder | None, console: Console, method: Method) -> Iterator[None]:
    """When the experiment is cut off, say what is done and where."""
    try:
        yield
    except InputError:
        raise  # refused: nothing was begun that could be cut off
    except (KeyboardInterrupt, BenchmarkError) as error:
        if folder:
            console.print(f"cut off: {method.progress(folder)}", markup=False)
            folder.mark_unfinished(str(error) or "the experiment was interrupted")
        elif isinstance(error, KeyboardInterrupt):
            console.print("cut off: nothing is measured yet")
        raise


def _progress(folder: ResultsFolder) -> str:
    states = {name: folder.state(name) for name in folder.cells}
    done = [name for name, state in states.items() if state in {"valid", "invalid"}]
    return f"{len(done)} of {len(states)} cells are measured in {folder.path}: {', '.join(done) or 'none'}"
