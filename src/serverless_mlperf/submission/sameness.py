"""Runs of one result, and results of one system, must have been measured on the same thing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from serverless_mlperf.errors import InputError
from serverless_mlperf.provenance import flattened
from serverless_mlperf.submission.choice import Entry
from serverless_mlperf.submission.measured import Experiment

_OF_SYSTEM: Final = ("platform", "transport", "payload", "precision", "threads", "concurrency")
"""Settings that make another system."""
_OF_RESULT: Final = ("dataset", "seed")
"""Settings that make another workload."""
_OF_ENVIRONMENT: Final = ("host", "models", "packages")
_MAY_DIFFER: Final = frozenset({"host.revision", "host.memory_mib"})
"""The digests of packages and models say what matters of the code; a kernel keeps more or less memory to itself."""


def check_one_result(entry: Entry) -> None:
    """Raise InputError when the runs of an entry are of different data sets."""
    experiments = _experiments([entry])
    _check(entry.name, experiments, [dict(_settings(each, _OF_RESULT)) for each in experiments])


def check_one_system(name: str, entries: Sequence[Entry]) -> None:
    """Raise InputError when results that go under one system were measured on different ones.

    Compared are the names that both have: an experiment of one engine has no digest of another's layer.
    """
    experiments = _experiments(entries)
    _check(name, experiments, [{**dict(_settings(e, _OF_SYSTEM)), **dict(_environment(e))} for e in experiments])


def _experiments(entries: Sequence[Entry]) -> list[Experiment]:
    found = {run.experiment.path: run.experiment for entry in entries for run in entry.runs.values()}
    return list(found.values())


def _check(name: str, experiments: Sequence[Experiment], described: Sequence[Mapping[str, Any]]) -> None:
    for experiment, values in zip(experiments[1:], described[1:], strict=True):
        for key, value in values.items():
            if key in described[0] and described[0][key] != value and key not in _MAY_DIFFER:
                raise InputError(
                    f"{name}: {key} is {described[0][key]} in {experiments[0].path} and {value} in {experiment.path}: "
                    "not one system; write them as two submissions (--system NAME, another --output)"
                )


def _settings(experiment: Experiment, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    yield from ((name, experiment.settings[name]) for name in names if name in experiment.settings)


def _environment(experiment: Experiment) -> Iterator[tuple[str, Any]]:
    yield from flattened({name: experiment.environment.get(name, {}) for name in _OF_ENVIRONMENT})
