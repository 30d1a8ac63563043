"""user.conf: the settings of a performance run in LoadGen's own syntax, taken from what LoadGen logged."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from serverless_mlperf.mlperf.spec import Scenario
from serverless_mlperf.submission.choice import Entry

_HEADER: Final = """\
# LoadGen read its own mlperf.conf and no user.conf: the settings below were made through its Python interface, and are
# what it logged as effective. The three seeds are mlperf.conf's.
"""


def user_conf(entry: Entry) -> str:
    """The settings that decide how a run goes; of the performance run, or of any where there is none."""
    run = entry.runs.get("performance") or next(iter(entry.runs.values()))
    return _HEADER + "".join(f"{line}\n" for line in _lines(run.driver.scenario, run.driver.settings))


def _lines(scenario: Scenario, settings: Mapping[str, Any]) -> Iterator[str]:
    # In Offline all samples are one query; as a minimum LoadGen wants their count.
    count = "samples_per_query" if scenario == "Offline" else "min_query_count"
    yield f"*.{scenario}.min_query_count = {settings[count]}"
    yield f"*.{scenario}.min_duration = {settings['min_duration_ms']}"
    if scenario in {"Server", "Offline"}:
        yield f"*.{scenario}.target_qps = {settings['target_qps']}"
    if scenario == "MultiStream":
        yield f"*.{scenario}.samples_per_query = {settings['samples_per_query']}"
    if scenario == "Server":
        yield _latency(settings["target_latency_ns"])


def _latency(bound_ns: int) -> str:
    """LoadGen reads whole milliseconds: 0.5 would become 0."""
    if bound_ns % 1_000_000:
        return (
            f"# *.Server.target_latency: {bound_ns / 1e6:g} ms, which this file cannot say: it has whole milliseconds"
        )
    return f"*.Server.target_latency = {bound_ns // 1_000_000}"
