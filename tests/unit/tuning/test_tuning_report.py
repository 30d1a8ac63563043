"""A recommendation as a user and a program read it."""

import json

import numpy as np
import pytest

from serverless_mlperf.tuning.candidates import Candidate, Run
from serverless_mlperf.tuning.judging import Question
from serverless_mlperf.tuning.ladder import make_ladder
from serverless_mlperf.tuning.objectives import parse_objectives
from serverless_mlperf.tuning.recommendation import Recommendation, recommend
from serverless_mlperf.tuning.report import document, lines, rows

NAMES = tuple(f"object_detection-ocv-tf-{memory}" for memory in (1536, 2240, 10240))


def recommendation(slo: str, whole: bool = True) -> Recommendation:
    """Of three cells at 50, 30 and 20 ms, dearer the faster they are."""
    objectives = parse_objectives([slo, "accuracy>=0.5"])
    asked = Question(objectives, "cost", make_ladder(objectives, len(NAMES)))
    rng = np.random.default_rng(1)
    made = []
    for name, ms, usd in zip(NAMES, (50.0, 30.0, 20.0), (12345.678, 20000.0, 30000.0), strict=True):
        counts = asked.ladder.runs if whole else asked.ladder.runs[:1]
        runs = tuple(Run(tuple((ms * np.exp(rng.normal(0, 0.05, n))).tolist()), usd, n) for n in counts)
        made.append(Candidate(name, runs, (900.0, 1000.0, 1100.0), 0.8, 128))
    return recommend(asked, made, "decided" if whole else "budget")


def said(found: Recommendation, invalid: int = 0) -> list[str]:
    """The lines."""
    return [line.plain for line in lines(found, [], invalid)]


@pytest.mark.parametrize(
    ("slo", "whole"), [("p90=100ms", True), ("p90=40ms", True), ("p90=1ms", True), ("p99=1s", False)]
)
def test_lines_fit_eighty_columns(slo: str, whole: bool) -> None:
    """With the longest names, figures and standings."""
    found = recommendation(slo, whole)
    assert all(len(line) <= 80 for line in said(found, 3)), max(said(found, 3), key=len)


def test_evidence_is_said() -> None:
    """Latency with interval and count, price, cold start, accuracy, runner-up, confidence, and the queries it took."""
    found = recommendation("p90=100ms")
    text = "\n".join(said(found))
    assert f"Recommended: {NAMES[0]}" in text
    for part in (
        "p90 52.6 [51.6, 53.9] ms",
        "<= 100 ms: of 512 queries",
        "cost 12345.678 [",
        "cold start median 1000 ms, of 3",
        "accuracy 0.800 over 128 images",
        f"runner-up {NAMES[1]}: cost x 1.620 [",
        "confidence that it meets: 0.9",
        "1536 queries, 100% of the 1536 of the grid; ended: nothing more can change it",
    ):
        assert part in text


def test_none_is_said_with_the_nearest() -> None:
    """And by how much it misses."""
    text = "\n".join(said(recommendation("p90=10ms")))
    assert "None meets the objectives at a confidence of 0.95." in text
    assert f"nearest: {NAMES[2]}" in text
    assert "p90=10ms: measured 21.4 [" in text
    assert ", of 512, 512 over the bound" in text


def test_what_cannot_be_told_is_not_called_a_miss() -> None:
    """From 64 queries of each no p99 is told."""
    text = "\n".join(said(recommendation("p99=1s", whole=False)))
    assert "None can be told to meet the objectives at a confidence of 0.95." in text
    assert "[not known]" in text
    assert "the budget is spent" in text


def test_runs_that_the_host_disturbed_are_counted() -> None:
    """Where they were let count."""
    assert not any("INVALID" in line for line in said(recommendation("p90=100ms"), 0))
    assert any(line.startswith("3 of the runs are INVALID") for line in said(recommendation("p90=100ms"), 3))


def test_one_that_failed_says_why() -> None:
    """Beside a recommendation, in as many lines as it takes."""
    objectives = parse_objectives(["p90=1s"])
    asked = Question(objectives, "cost", make_ladder(objectives, 2))
    rng = np.random.default_rng(1)
    runs = tuple(Run(tuple((50 * np.exp(rng.normal(0, 0.05, n))).tolist()), 1.0, n) for n in asked.ladder.runs)
    broken = Candidate("b", failed="function b fails: Runtime.ImportModuleError: no module named cv2; look at its log")
    found = recommend(asked, [Candidate("a", runs), broken], "decided")
    assert found.best is not None
    assert any(line.startswith("  not measured: b: function b fails: ") for line in said(found))
    assert all(len(line) <= 80 for line in said(found))


def test_document_is_json() -> None:
    """Without the infinities that JSON has not; a row per candidate for CSV."""
    answer = json.loads(json.dumps(document(recommendation("p99=1s", whole=False), [], "f", 0), allow_nan=False))
    assert (answer["recommended"], answer["nearest"], answer["stopped"]) == (None, NAMES[2], "budget")
    finding = answer["candidates"][0]["objectives"][0]
    assert (finding["objective"], finding["state"], finding["figure"]["high"]) == ("p99=1000ms", "undecided", None)
    assert answer["candidates"][0]["cold_start_ms"] == {"median": 1000.0, "from": 3}
    table = rows(answer)
    assert [row["name"] for row in table] == [each["name"] for each in answer["candidates"]]
    assert (table[0]["p99=1000ms_state"], table[0]["p99=1000ms_high"], table[0]["runs"]) == ("undecided", None, 1)
