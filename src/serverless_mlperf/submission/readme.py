"""The README files: what this is, what it is not, and everything that a reader should know before quoting a figure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from serverless_mlperf.mlperf.compliance import score
from serverless_mlperf.submission.answers import score_line
from serverless_mlperf.submission.benchmarks import BENCHMARKS, ROUND, Benchmark
from serverless_mlperf.submission.choice import Entry
from serverless_mlperf.submission.measured import MeasuredRun
from serverless_mlperf.submission.result import Result
from serverless_mlperf.submission.tested import System

STATEMENT: Final = f"""\
**This is not an official MLPerf result.** It was measured with MLPerf's LoadGen and written in the layout of round
{ROUND} by serverless-mlperf; MLCommons has not reviewed it. Division: **open**, in the style of network mode: the
client with LoadGen is one side, everything that it reaches through HTTP is the system under test.
"""
_WORKLOADS: Final = """\
The workloads are retired ones, which the checker has no rules for. It checks them as other models, with the data set
sizes, accuracy targets and latency limits of those. Accuracy is that of the data set named beside it.

| folder | workload | checked as |
|---|---|---|
"""
_BY_NAME: Final = """\
A query names an image which lies in the object store already. The rules of the network division ask for queries that
carry their data: these do not.
"""
_INLINE: Final = """\
A query carries its image, as the rules of the network division ask.
"""
_EMULATED: Final = """\
The function ran on an emulation of AWS Lambda on one host, which was client, network and system at once. The rules of
the network division ask for two machines.
"""


def overview(org: str, systems: Sequence[System], results: Sequence[Result], given: Mapping[str, str]) -> str:
    """README.md beside systems/, src/ and results/."""
    parts = [
        f"# {org}: serverless functions under MLPerf's LoadGen\n\n{STATEMENT}",
        _WORKLOADS + "".join(_workload_row(benchmark) for benchmark in _benchmarks(results)),
        *_ways(systems),
        "## Results\n\n" + _table(results),
        *_section("Missing", _missing(results)),
        *_section("Not to be believed as they stand", _faults(results)),
        *_section("Given by the submitter, not measured", (f"`{key}`: {value}" for key, value in given.items())),
    ]
    return "\n".join(parts)


def result_readme(result: Result, command: str) -> str:
    """README.md of one scenario folder."""
    entry = result.entry
    parts = [
        f"# {entry.cell.model_name}, {entry.cell.memory_mib} MB, {entry.scenario}\n\n{STATEMENT}",
        f"Workload: {entry.benchmark.history}; the checker takes it for {entry.benchmark.checked_as}.\n",
        "## Runs\n\n" + "".join(f"- {line}\n" for line in _runs(entry)),
        f"The performance run is measured again with (`--mode` names the others):\n\n```console\n{command}\n```\n",
        *_section("Missing", _missing([result])),
        *_section("Not to be believed as they stand", _faults([result])),
    ]
    return "\n".join(parts)


def source_readme(benchmark: Benchmark, systems: Sequence[System]) -> str:
    """src/<model>/README.md: where the code is, and what was built from it."""
    experiments = {run.experiment.path: run.experiment for system in systems for run in system.runs}
    parts = [f"# Sources for {benchmark.folder}\n\n{STATEMENT}\nThe code is serverless-mlperf's; its connection to "]
    parts[0] += "LoadGen is `src/serverless_mlperf/mlperf/driver.py`, the function is `src/serverless_mlperf_sut/`.\n"
    for experiment in experiments.values():
        environment = experiment.environment
        packages = "".join(f"- `{name}` {digest}\n" for name, digest in environment.get("packages", {}).items())
        models = "".join(f"- `{name}` {digest}\n" for name, digest in environment.get("models", {}).items())
        parts.append(
            f"## {experiment.path.name}\n\nversion {environment.get('version')}, "
            f"revision {environment.get('host', {}).get('revision')}\n\n"
            f"Packages, by SHA-256:\n\n{packages}\nModel files, by SHA-256:\n\n{models}"
        )
    return "\n".join(parts)


def _benchmarks(results: Iterable[Result]) -> list[Benchmark]:
    return [BENCHMARKS[task] for task in sorted({result.entry.cell.task for result in results})]


def _workload_row(benchmark: Benchmark) -> str:
    return f"| {benchmark.folder} | {benchmark.history} | {benchmark.checked_as} |\n"


def _ways(systems: Sequence[System]) -> Iterator[str]:
    """What the rules of network mode say of how queries travel here."""
    settings = [system.settings for system in systems]
    inline = [s.get("transport") == "invoke" and s.get("payload") == "inline" for s in settings]
    yield _INLINE if all(inline) else _BY_NAME
    if any(s.get("platform") == "local" for s in settings):
        yield _EMULATED
    unnamed = [system.name for system in systems if not system.named_as_network]
    if unnamed:
        yield f"LoadGen's logs do not name these as network systems, so `is_network` is False: {', '.join(unnamed)}.\n"


def _table(results: Sequence[Result]) -> str:
    names = ("system", "model", "scenario", "LoadGen's figure", "data set", "accuracy", "verdict")
    head = f"| {' | '.join(names)} |\n{'|---' * len(names)}|\n"
    return head + "".join(f"| {' | '.join(_row(result))} |\n" for result in results)


def _row(result: Result) -> Iterator[str]:
    entry = result.entry
    yield from (result.system, entry.benchmark.folder, entry.scenario)
    performance, accuracy = entry.runs.get("performance"), entry.runs.get("accuracy")
    yield _figure(performance) if performance else "missing"
    yield from (_data_set(accuracy), score_line(accuracy)) if accuracy else ("", "missing")
    yield "INVALID" if result.faults else "incomplete" if entry.missing else "VALID"


def _figure(run: MeasuredRun) -> str:
    found = score(run.driver)
    return "none" if found is None else f"`{found.meaning}` {run.driver.loadgen[found.meaning]}"


def _data_set(run: MeasuredRun) -> str:
    found = run.experiment.environment.get("datasets", {}).get(run.cell.task, {})
    return f"{found.get('name')}, {found.get('samples')} samples"


def _runs(entry: Entry) -> Iterator[str]:
    for mode, run in entry.runs.items():
        verdict = "VALID" if run.valid else "INVALID"
        yield f"{mode}: {verdict}, `{run.name}`, {entry.counts[mode]} to choose from, data set: {_data_set(run)}"


def _missing(results: Iterable[Result]) -> Iterator[str]:
    yield from (f"{result.entry.name}: {lack}" for result in results for lack in result.lacks)


def _faults(results: Iterable[Result]) -> Iterator[str]:
    yield from (f"{result.entry.name}: {fault}" for result in results for fault in result.faults)


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    """A section, if there is anything to list."""
    listed = "".join(f"- {line}\n" for line in lines)
    if listed:
        yield f"## {title}\n\n{listed}"
