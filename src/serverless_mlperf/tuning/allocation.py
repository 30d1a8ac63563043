"""Which candidate is measured next, and when it is enough: pure, so that a tuning that was cut off goes on by itself.

Every candidate gets its first run. From then on the one that looks best in the goal and is not dropped leads. It is
measured until it is told to meet the objectives or not; one that does not is dropped, and the next best leads. Against
a leader that meets, those are measured that may still be better, the most promising first, in turn with the leader.
The others wait: they are dropped by an interval, or never, but cost no queries while they cannot matter.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from serverless_mlperf.tuning.candidates import Candidate, queries_of
from serverless_mlperf.tuning.judging import Judge, Judged, Question

Reason = Literal["decided", "budget", "all runs"]


@dataclass(frozen=True, slots=True)
class Step:
    """The run to be measured next."""

    name: str
    run: int
    """From 1."""
    queries: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing is to be measured any more."""

    reason: Reason


Choose = Callable[[Question, Sequence[Candidate]], Step | Stop]
"""A way to choose the next run."""


def next_step(question: Question, candidates: Sequence[Candidate]) -> Step | Stop:
    """What to do after what has been measured so far."""
    first = next((each for each in candidates if not each.runs and each.failed is None), None)
    if first is not None:
        return _step(question, first)
    judge = Judge(question, candidates)
    alive = [each for each in judge.judged.values() if _is_alive(judge, question, each)]
    wanted = [*_by_urgency(judge, question, alive)] if alive else [*_for_the_spread(judge, question)]
    if not wanted:
        return Stop("decided" if _is_decided(alive) else "all runs")
    left = question.ladder.budget - queries_of(candidates)
    affordable = (step for each in wanted if (step := _step(question, each.candidate)).queries <= left)
    return next(affordable, Stop("budget"))


def every_run(question: Question, candidates: Sequence[Candidate]) -> Step | Stop:
    """The exhaustive grid: all runs of all candidates, a run of each in turn."""
    left = [each for each in candidates if each.failed is None and len(each.runs) < len(question.ladder.runs)]
    return _step(question, min(left, key=lambda each: len(each.runs))) if left else Stop("all runs")


def _for_the_spread(judge: Judge, question: Question) -> Iterator[Judged]:
    """Where all queries of one are within its bounds, but too little is known of what runs spread by: runs of others.

    The spread is told from the runs of all candidates, dropped ones too. The shortest runs come first.
    """
    unsure = [each for each in judge.judged.values() if _is_whole(question, each) and each.state == "undecided"]
    if not any(each.excess < 1 for each in unsure):
        return
    others = [each for each in judge.judged.values() if each.candidate.runs and not _is_whole(question, each)]
    yield from sorted(others, key=lambda each: (len(each.candidate.runs), each.name))


def _is_alive(judge: Judge, question: Question, judged: Judged) -> bool:
    """Not dropped: it meets or may still be told to, and none that meets leaves nothing to be gained by it."""
    if judged.state == "undecided" and _is_whole(question, judged):
        return False
    if judged.state not in ("met", "undecided"):
        return False
    return not any(judge.is_beaten(judged, other) and _leads(other, judged) for other in judge.judged.values())


def _leads(first: Judged, second: Judged) -> bool:
    """Of two that beat each other within what counts as the same, the better one stays."""
    return first.goal is not None and second.goal is not None and _key(first) < _key(second)


def _by_urgency(judge: Judge, question: Question, alive: Sequence[Judged]) -> Iterator[Judged]:
    """Those with runs left, the first one to be measured first."""
    leader = min(alive, key=_key)
    others = [each for each in alive if each is not leader]
    if leader.state == "met":
        rivals = sorted(others, key=lambda each: (judge.ratio(each, leader).low, each.name))
        pair = sorted([leader, *rivals[:1]], key=lambda each: len(each.candidate.runs)) if rivals else []
        ordered = [*pair, *rivals[1:]]
    else:
        ordered = [leader, *sorted(others, key=_key)]
    yield from (each for each in ordered if not _is_whole(question, each))


def _is_decided(alive: Sequence[Judged]) -> bool:
    """None is left, or one alone, and it meets."""
    return not alive or (len(alive) == 1 and alive[0].state == "met")


def _is_whole(question: Question, judged: Judged) -> bool:
    return len(judged.candidate.runs) >= len(question.ladder.runs)


def _key(judged: Judged) -> tuple[float, str]:
    return (judged.goal.value if judged.goal else float("inf"), judged.name)


def _step(question: Question, candidate: Candidate) -> Step:
    run = len(candidate.runs)
    return Step(candidate.name, run + 1, question.ladder.runs[run])
