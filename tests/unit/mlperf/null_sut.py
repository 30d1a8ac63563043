"""One real LoadGen test against a system that does nothing: `python null_sut.py <settings as JSON>`.

Completions come from another thread, in shuffled order. What LoadGen handed over, in order, is left in handed.json.
"""

import json
import os
from pathlib import Path
import queue
import random
import sys
import threading
import time

import mlperf_loadgen as lg

LIBRARY, LOADED = 50, 32
"""Samples, and how many of them LoadGen loads at once: accuracy mode needs two rounds."""


def main() -> None:
    """Play the test."""
    asked = json.loads(sys.argv[1])
    handed: list[int] = []
    queries: queue.SimpleQueue[list[int] | None] = queue.SimpleQueue()

    def issue(ids: list[int], indices: list[int]) -> None:
        handed.extend(indices)
        queries.put(list(ids))

    threading.Thread(target=complete, args=(queries,), daemon=True).start()
    sut = lg.ConstructFastSUT(issue, lambda: None)
    library = lg.ConstructQSL(LIBRARY, LOADED, lambda _: None, lambda _: None)
    began_ns = time.time_ns()
    lg.StartTestWithLogSettings(sut, library, settings(asked), logs(asked["folder"]), "/dev/null/audit.config")
    left = {"handed": handed, "began_ns": began_ns, "ended_ns": time.time_ns()}
    Path(asked["folder"], "handed.json").write_text(json.dumps(left))
    os._exit(0)  # LoadGen's threads


def complete(queries: "queue.SimpleQueue[list[int] | None]") -> None:
    """Answer everything, with what has come together shuffled, and now and then in one call."""
    dice = random.Random(0)  # noqa: S311 - reproducible, not secret
    while (ids := queries.get()) is not None:
        while not queries.empty() and (more := queries.get()) is not None:
            ids += more
        dice.shuffle(ids)
        together = dice.randint(1, 3)
        for first in range(0, len(ids), together):
            lg.QuerySamplesComplete([lg.QuerySampleResponse(each, 0, 0) for each in ids[first : first + together]])


def settings(asked: dict[str, object]) -> object:
    """LoadGen's own configuration, and as many queries as were asked for."""
    made = lg.TestSettings()
    assert made.FromConfig("", "mobilenet", asked["scenario"], 0) == 0
    made.scenario = getattr(lg.TestScenario, str(asked["scenario"]))
    made.mode = getattr(lg.TestMode, str(asked["mode"]))
    made.min_duration_ms = 0
    made.min_query_count = asked["queries"]
    made.performance_sample_count_override = 0
    made.server_target_qps = 5000
    made.server_target_latency_ns = asked["target_latency_ns"]
    return made


def logs(folder: str) -> object:
    """Where LoadGen logs, with its trace."""
    output = lg.LogOutputSettings()
    output.outdir = folder
    output.copy_summary_to_stdout = False
    made = lg.LogSettings()
    made.enable_trace = True
    made.log_output = output
    return made


main()
