"""What is measured next and what is recommended: candidates made by hand, and simulated ones of known truth."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from serverless_mlperf.tuning.allocation import Step, Stop, every_run, next_step
from serverless_mlperf.tuning.candidates import Candidate, Run
from serverless_mlperf.tuning.judging import Judge, Question
from serverless_mlperf.tuning.ladder import make_ladder
from serverless_mlperf.tuning.objectives import Goal, parse_objectives
from serverless_mlperf.tuning.recommendation import Recommendation, recommend
from serverless_mlperf.tuning.simulation import Case, Outcome, simulate

SHIFTS = (1.0, 1.01, 0.99, 1.005, 0.995)


def question(*slo: str, goal: Goal = "cost", candidates: int = 3) -> Question:
    """Of some objectives."""
    objectives = parse_objectives(slo)
    return Question(objectives, goal, make_ladder(objectives, candidates))


def measured(asked: Question, name: str, median_ms: float, usd: float, runs: int) -> Candidate:
    """A candidate with runs of little spread."""
    rng = np.random.default_rng(sum(map(ord, name)))
    made = tuple(
        Run(tuple((median_ms * shift * np.exp(rng.normal(0, 0.05, queries))).tolist()), usd * shift, queries)
        for shift, queries in zip(SHIFTS[:runs], asked.ladder.runs[:runs], strict=True)
    )
    return Candidate(name, made)


def standings(found: Recommendation) -> dict[str, str]:
    """Name -> standing."""
    return {place.judged.name: place.standing for place in found.places}


def test_every_candidate_gets_a_run_first() -> None:
    """In the order of the matrix, before anything is decided."""
    asked = question("p90=100ms")
    candidates = [measured(asked, "a", 50, 1, 1), Candidate("b"), Candidate("c")]
    assert next_step(asked, candidates) == Step("b", 1, asked.ladder.runs[0])


def test_one_that_failed_is_passed_over() -> None:
    """And is told as such; the others go on."""
    asked = question("p90=100ms")
    candidates = [Candidate("a", failed="it broke"), measured(asked, "b", 50, 1, 1), measured(asked, "c", 50, 2, 1)]
    assert next_step(asked, candidates) == Step("b", 2, asked.ladder.runs[1])
    found = recommend(asked, candidates, "budget")
    assert standings(found)["a"] == "no data"
    assert found.best is None


def test_cheapest_leads_until_it_is_told_to_meet() -> None:
    """The others wait with their first run; then what is dearer for sure costs no more queries."""
    asked = question("p90=100ms")
    others = [measured(asked, "b", 50, 2, 1), measured(asked, "c", 40, 3, 1)]
    for runs in (1, 2):
        assert next_step(asked, [measured(asked, "a", 60, 1, runs), *others]) == Step(
            "a", runs + 1, asked.ladder.runs[runs]
        )
    candidates = [measured(asked, "a", 60, 1, 3), *others]
    assert next_step(asked, candidates) == Stop("decided")
    found = recommend(asked, candidates, "decided")
    assert standings(found) == {"a": "best", "b": "worse", "c": "worse"}
    assert found.meets_sure is not None
    assert found.best_sure is not None
    assert found.meets_sure >= found.best_sure >= 0.95
    assert found.runner_up is not None
    assert found.runner_up.judged.name == "b"


def test_a_p99_is_never_told_from_few_queries() -> None:
    """However fast: not before the queries can tell it, even when all are far below the bound."""
    asked = question("p99=1000ms")
    for runs in range(1, asked.ladder.first_look):
        candidates = [measured(asked, name, 10, 1, runs) for name in "abc"]
        assert {each.state for each in Judge(asked, candidates).judged.values()} == {"undecided"}
        assert recommend(asked, candidates, "budget").best is None
    candidates = [measured(asked, name, 10, 1, asked.ladder.first_look) for name in "abc"]
    assert {each.state for each in Judge(asked, candidates).judged.values()} == {"met"}


def test_one_whose_queries_are_over_already_is_dropped() -> None:
    """No further queries could mend it: the next best leads at once."""
    asked = question("p90=100ms")
    candidates = [measured(asked, "a", 150, 1, 1), measured(asked, "b", 50, 2, 1), measured(asked, "c", 40, 3, 1)]
    assert Judge(asked, candidates).judged["a"].state == "out of reach"
    assert next_step(asked, candidates) == Step("b", 2, asked.ladder.runs[1])


def test_none_meets_says_the_nearest() -> None:
    """By how much its worst figure exceeds the bound."""
    asked = question("p90=10ms")
    candidates = [measured(asked, name, ms, 1, 2) for name, ms in (("a", 150), ("b", 20), ("c", 40))]
    assert next_step(asked, candidates) == Stop("decided")
    found = recommend(asked, candidates, "decided")
    assert found.best is None
    assert set(standings(found).values()) == {"misses"}
    assert found.nearest is not None
    assert found.nearest.judged.name == "b"
    assert found.nearest.judged.excess == pytest.approx(2.15, rel=0.05)


def test_ties_are_reported() -> None:
    """Two that meet at the same price are not told apart, and that is said."""
    asked = question("p90=100ms")
    whole = len(asked.ladder.runs)
    candidates = [
        measured(asked, "a", 50, 1, whole),
        measured(asked, "b", 51, 1.001, whole),
        measured(asked, "c", 50, 3, 1),
    ]
    found = recommend(asked, candidates, "all runs")
    assert standings(found) == {"a": "best", "b": "tie", "c": "worse"}
    assert [place.judged.name for place in found.ties] == ["b"]


@pytest.mark.parametrize(("goal", "name"), [("cost", "a"), ("latency", "b"), ("balanced", "c")])
def test_goals(goal: Goal, name: str) -> None:
    """The cheapest, the fastest, and the least product of both."""
    asked = question("p90=100ms", goal=goal)
    points = (("a", 80, 1.0), ("b", 20, 6.0), ("c", 30, 1.5))
    candidates = [measured(asked, *point, len(asked.ladder.runs)) for point in points]
    best = recommend(asked, candidates, "all runs").best
    assert best is not None
    assert best.judged.name == name


def test_all_objectives_have_to_be_met() -> None:
    """A cold start or an accuracy that misses drops one that is cheap and fast; what is not known is no success."""
    asked = question("p90=100ms", "cold=1s", "accuracy>=0.9")
    whole = len(asked.ladder.runs)
    a, b, c = (
        replace(measured(asked, name, 50, usd, whole), cold_ms=(500.0,) * 30, accuracy=0.95, accuracy_images=64)
        for name, usd in (("a", 1), ("b", 2), ("c", 3))
    )
    slow, wrong = replace(a, cold_ms=(1500.0,) * 30), replace(b, accuracy=0.8)
    found = recommend(asked, [slow, wrong, c], "all runs")
    assert standings(found) == {"c": "best", "a": "misses", "b": "misses"}
    few = replace(c, cold_ms=(500.0,) * 3)
    assert recommend(asked, [slow, wrong, few], "all runs").best is None


def test_budget_ends_it() -> None:
    """A run that does not fit is not begun; a shorter one of another candidate may be."""
    asked = question("p90=100ms")
    candidates = [measured(asked, "a", 60, 1, 2), measured(asked, "b", 50, 1, 2), measured(asked, "c", 50, 1, 2)]
    used = sum(each.queries for each in candidates)
    tight = replace(asked, ladder=replace(asked.ladder, budget=used + 1))
    assert next_step(tight, candidates) == Stop("budget")
    assert isinstance(next_step(asked, candidates), Step)


def test_grid_makes_all_runs_in_turn() -> None:
    """The yardstick: a run of each, then the next of each."""
    asked = question("p90=100ms")
    candidates = [Candidate(name) for name in "abc"]
    assert every_run(asked, candidates) == Step("a", 1, asked.ladder.runs[0])
    whole = [measured(asked, name, 50, 1, len(asked.ladder.runs)) for name in "abc"]
    assert every_run(asked, whole) == Stop("all runs")


@pytest.fixture(scope="module", params=[Case(0.9, "cost", 4), Case(0.99, "cost", 8), Case(0.99, "latency", 8)], ids=str)
def simulated(request: pytest.FixtureRequest) -> Sequence[Outcome]:
    """Matrices of known truth, many seeds, runs shifted as a whole by 3 %."""
    return [simulate(seed, request.param) for seed in range(60)]


def test_true_best_is_found_with_half_of_the_queries(simulated: Sequence[Outcome]) -> None:
    """Or one within 5 % of it, in 95 of 100 cases; never with more than half of the grid's queries."""
    right = [each.is_as_good_as(each.true_best) for each in simulated]
    assert sum(right) / len(right) >= 0.95
    assert max(each.share for each in simulated) <= 0.5


def test_what_the_grid_finds_is_found(simulated: Sequence[Outcome]) -> None:
    """Or one as good, in 95 of 100 cases."""
    assert sum(each.is_as_good_as(each.grid_best) for each in simulated) / len(simulated) >= 0.95


def test_a_recommended_cell_was_told_to_meet(simulated: Sequence[Outcome]) -> None:
    """At enough queries, and truly so in at least 95 of 100 cases."""
    for each in simulated:
        best = each.tuned.best
        if best is not None:
            finding = best.judged.findings[0]
            assert best.judged.state == "met"
            assert finding.figure is not None
            assert finding.figure.high <= finding.objective.bound
            assert len(best.judged.candidate.runs) >= each.tuned.question.ladder.first_look
    assert sum(each.meets for each in simulated) / len(simulated) >= 0.95


def test_none_is_recommended_where_none_meets() -> None:
    """The nearest is told from few queries, whose largest may be a late one: it is among those near the true one."""
    for seed in range(30):
        found = simulate(seed, Case(0.99, "cost", 8, out_of_reach=True))
        assert found.tuned.best is None
        assert found.tuned.nearest is not None
        nearest = found.figures[found.tuned.nearest.judged.name].latency_ms
        assert nearest <= 1.6 * min(each.latency_ms for each in found.figures.values())
