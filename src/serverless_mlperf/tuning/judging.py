"""What can be told of each candidate at a stated confidence: whether it meets, and what it is worth. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import math
from typing import Final, Literal

import numpy as np

from serverless_mlperf.tuning.bounds import (
    Interval,
    Spread,
    allowed_over,
    over_runs,
    pooled_spread,
    quantile_interval,
    spread_of,
    squared,
    widened,
)
from serverless_mlperf.tuning.candidates import Candidate
from serverless_mlperf.tuning.ladder import CONFIDENCE, Ladder, Tails
from serverless_mlperf.tuning.objectives import Goal, Objective

State = Literal["met", "missed", "out of reach", "undecided", "no data"]
SAME: Final = 0.05
"""What a candidate may be better by without being looked for any longer."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One objective of one candidate."""

    objective: Objective
    figure: Interval | None
    """None where there is nothing to tell from."""
    count: int
    """Queries, cold starts or images that it is told from."""
    state: State
    over: int | None = None
    """Of a quantile: how many queries were over the bound."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known of a candidate."""

    candidate: Candidate
    findings: tuple[Finding, ...]
    state: State
    """The worst of the objectives'."""
    goal: Interval | None
    """Smaller is better; None without a run."""
    cost: Interval | None
    """USD of a million warm queries."""

    @property
    def name(self) -> str:
        """The candidate's."""
        return self.candidate.name

    @property
    def excess(self) -> float:
        """The worst objective's figure over its bound: above 1 it misses, as far as can be seen."""
        return max((_excess(finding) for finding in self.findings), default=math.inf)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the candidates."""

    objectives: tuple[Objective, ...]
    goal: Goal
    ladder: Ladder
    confidence: float = CONFIDENCE
    same: float = SAME

    @property
    def latency(self) -> Objective:
        """The figure that `latency` and `balanced` are about: the first objective of latency."""
        return next(each for each in self.objectives if each.is_latency)


@dataclass(frozen=True, slots=True)
class _Spreads:
    centres: Spread | None
    means: Spread | None
    costs: Spread | None


class Judge:
    """Judges candidates together: what runs spread by is told from all of them."""

    def __init__(self, question: Question, candidates: Sequence[Candidate], confidence: float | None = None) -> None:
        self._question = question
        self._tails: Tails = question.ladder.tails(question.confidence if confidence is None else confidence)
        self._spreads = _Spreads(
            pooled_spread([each.centres for each in candidates]),
            pooled_spread([each.means for each in candidates]),
            pooled_spread([each.costs for each in candidates]),
        )
        self.judged: Mapping[str, Judged] = {each.name: self._judge(each) for each in candidates}

    def ratio(self, new: Judged, base: Judged) -> Interval:
        """Of the goal's figure, new over base; both have runs."""
        if self._question.goal == "cost":
            return self._cost_ratio(new.candidate, base.candidate)
        if new.goal is None or base.goal is None:
            return Interval(1.0)
        return new.goal.over(base.goal)

    def is_beaten(self, new: Judged, by: Judged) -> bool:
        """Whether one that meets leaves nothing to be gained by the other but what counts as the same."""
        if by.state != "met" or new.goal is None or new.name == by.name:
            return False
        return self.ratio(new, by).low >= 1 - self._question.same

    def _judge(self, candidate: Candidate) -> Judged:
        findings = tuple(self._finding(candidate, objective) for objective in self._question.objectives)
        if candidate.failed is not None or not candidate.runs:
            return Judged(candidate, findings, "no data", None, None)
        cost = over_runs(
            candidate.costs, candidate.counts, self._own("costs", candidate), self._both(self._tails.worse)
        )
        return Judged(candidate, findings, _worst(findings), self._goal(candidate, cost), cost)

    def _goal(self, candidate: Candidate, cost: Interval) -> Interval:
        """Cost, latency, or their product: the balance does not change with the units, nor with other candidates."""
        if self._question.goal == "cost":
            return cost
        latency = self._latency(candidate, self._question.latency, self._both(self._tails.worse))
        return latency if self._question.goal == "latency" else latency.times(cost)

    def _cost_ratio(self, new: Candidate, base: Candidate) -> Interval:
        """Of two means over runs, by one spread: no wider than both intervals laid against each other."""
        ratio = _mean(new) / _mean(base)
        common = self._spreads.costs
        spreads = [spread for each in (new, base) if (spread := spread_of(each.costs, common)) is not None]
        if not spreads:
            return Interval(ratio)
        spread = max(spreads, key=lambda each: each.variance)
        half = spread.half_width(squared(new.counts) + squared(base.counts), self._tails.worse)
        return Interval(ratio, ratio * math.exp(-half), ratio * math.exp(half) if half < 700 else math.inf)

    def _finding(self, candidate: Candidate, objective: Objective) -> Finding:
        if objective.kind == "accuracy":
            return _of_accuracy(candidate, objective)
        count = len(candidate.cold_ms) if objective.kind == "cold" else sum(candidate.counts)
        if not count:
            return Finding(objective, None, 0, "no data")
        tails = (self._tails.misses, self._tails.meets)
        figure = self._figure(candidate, objective, tails)
        over = _over(candidate, objective)
        return Finding(objective, figure, count, self._state(candidate, objective, figure, over), over)

    def _figure(self, candidate: Candidate, objective: Objective, tails: tuple[float, float]) -> Interval:
        if objective.kind == "cold" and objective.p is not None:
            return quantile_interval(np.sort(np.asarray(candidate.cold_ms, dtype=float)), objective.p, tails)
        return self._latency(candidate, objective, tails)

    def _latency(self, candidate: Candidate, objective: Objective, tails: tuple[float, float]) -> Interval:
        counts = candidate.counts
        if objective.p is None:
            return over_runs(candidate.means, counts, self._own("means", candidate), tails)
        found = quantile_interval(candidate.ordered_ms, objective.p, tails)
        return widened(found, counts, self._own("centres", candidate), tails)

    def _state(self, candidate: Candidate, objective: Objective, figure: Interval, over: int | None) -> State:
        if figure.low > objective.bound:
            return "missed"
        if self._is_out_of_reach(objective, over):
            return "out of reach"
        ready = objective.kind == "cold" or len(candidate.runs) >= self._question.ladder.first_look
        return "met" if ready and figure.high <= objective.bound else "undecided"

    def _is_out_of_reach(self, objective: Objective, over: int | None) -> bool:
        """More queries are over the bound already than all of a candidate's queries allow: no more would mend that."""
        if over is None or objective.p is None:
            return False
        return over > (allowed_over(self._question.ladder.most, objective.p, self._tails.meets) or 0)

    def _own(self, figure: Literal["centres", "means", "costs"], candidate: Candidate) -> Spread | None:
        common: Spread | None = getattr(self._spreads, figure)
        values: tuple[float, ...] = getattr(candidate, figure)
        return spread_of(values, common)

    @staticmethod
    def _both(tail: float) -> tuple[float, float]:
        return tail, tail


def _mean(candidate: Candidate) -> float:
    return over_runs(candidate.costs, candidate.counts, None, (0.5, 0.5)).value


def _over(candidate: Candidate, objective: Objective) -> int | None:
    if objective.kind != "quantile":
        return None
    return len(candidate.ordered_ms) - int(np.searchsorted(candidate.ordered_ms, objective.bound, side="right"))


def _of_accuracy(candidate: Candidate, objective: Objective) -> Finding:
    """Of the images that were queried, all of them: the same images and weights give the same answers."""
    if candidate.accuracy is None:
        return Finding(objective, None, 0, "no data")
    figure = Interval(candidate.accuracy, candidate.accuracy, candidate.accuracy)
    state: State = "met" if candidate.accuracy >= objective.bound else "missed"
    return Finding(objective, figure, candidate.accuracy_images, state)


def _worst(findings: Sequence[Finding]) -> State:
    order: tuple[State, ...] = ("no data", "missed", "out of reach", "undecided", "met")
    return min((finding.state for finding in findings), key=order.index)


def _excess(finding: Finding) -> float:
    if finding.figure is None:
        return math.inf
    bound, value = finding.objective.bound, finding.figure.value
    if finding.objective.kind == "accuracy":
        return bound / value if value else math.inf
    return value / bound
