"""What to deploy, by what was measured: one that was told to meet its objectives, or none. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from serverless_mlperf.tuning.allocation import Reason
from serverless_mlperf.tuning.bounds import Interval
from serverless_mlperf.tuning.candidates import Candidate, queries_of
from serverless_mlperf.tuning.judging import Judge, Judged, Question, State

Standing = Literal["best", "tie", "worse", "no better", "open", "misses", "out of reach", "unverified", "no data"]
LEVELS: Final = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999)
"""Of confidence, at which claims are tried: the highest that holds is what is said."""


@dataclass(frozen=True, slots=True)
class Place:
    """A candidate beside the recommended one."""

    judged: Judged
    standing: Standing
    ratio: Interval | None
    """Of the goal, over the recommended one's; None without either."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The answer of a tuning."""

    question: Question
    places: tuple[Place, ...]
    """The recommended one first, then by standing and goal."""
    stopped: Reason
    queries: int
    meets_sure: float | None
    """Highest confidence at which the recommended one is told to meet, of LEVELS."""
    best_sure: float | None
    """Highest at which, besides, none of the others is told apart as better by more than `same`."""

    @property
    def best(self) -> Place | None:
        """The recommended one."""
        return next((place for place in self.places if place.standing == "best"), None)

    @property
    def runner_up(self) -> Place | None:
        """The next one that meets; else one of which it is open."""
        for wanted in (("tie", "worse", "no better"), ("open", "unverified")):
            found = [place for place in self.places if place.standing in wanted and place.judged.state != "no data"]
            met = [place for place in found if place.judged.state == "met"] or found
            if met:
                return min(met, key=_value)
        return None

    @property
    def ties(self) -> tuple[Place, ...]:
        """Those that meet as well and are not told apart from the recommended one."""
        return tuple(place for place in self.places if place.standing == "tie")

    @property
    def nearest(self) -> Place | None:
        """When none is recommended: the one whose worst figure exceeds its bound least."""
        found = [place for place in self.places if place.judged.state != "no data"]
        return min(found, key=lambda place: (place.judged.excess, place.judged.name), default=None)


def recommend(question: Question, candidates: Sequence[Candidate], stopped: Reason) -> Recommendation:
    """The best in the goal of those that were told to meet every objective."""
    judge = Judge(question, candidates)
    met = [each for each in judge.judged.values() if each.state == "met" and each.goal]
    best = min(met, key=lambda each: (each.goal.value if each.goal else 0, each.name), default=None)
    places = [_place(judge, question, each, best) for each in judge.judged.values()]
    return Recommendation(
        question=question,
        places=tuple(sorted(places, key=lambda place: (_ORDER[place.standing], _value(place)))),
        stopped=stopped,
        queries=queries_of(candidates),
        meets_sure=_sure(question, candidates, best, _meets),
        best_sure=_sure(question, candidates, best, _is_best),
    )


_ORDER: Final[Mapping[Standing, int]] = {
    "best": 0, "tie": 1, "no better": 2, "worse": 2, "open": 3, "unverified": 4, "out of reach": 5, "misses": 5,
    "no data": 6,
}  # fmt: skip


def _place(judge: Judge, question: Question, judged: Judged, best: Judged | None) -> Place:
    if judged.state == "no data" or judged.goal is None:
        return Place(judged, "no data", None)
    ratio = judge.ratio(judged, best) if best else None
    return Place(judged, _standing(question, judged, best, ratio), ratio)


def _standing(question: Question, judged: Judged, best: Judged | None, ratio: Interval | None) -> Standing:
    dropped: Mapping[State, Standing] = {"missed": "misses", "out of reach": "out of reach"}
    if judged.state in dropped:
        return dropped[judged.state]
    if best is not None and ratio is not None:
        if judged.name == best.name:
            return "best"
        if beside := _beside(question, judged, ratio):
            return beside
    return "unverified" if len(judged.candidate.runs) >= len(question.ladder.runs) else "open"


def _beside(question: Question, judged: Judged, ratio: Interval) -> Standing | None:
    """Of one that may be worth less than the recommended one, or meets as well."""
    if ratio.low > 1:
        return "worse"
    if judged.state == "met":
        return "tie"
    return "no better" if ratio.low >= 1 - question.same else None


def _sure(
    question: Question, candidates: Sequence[Candidate], best: Judged | None, holds: Callable[[Judge, str], bool]
) -> float | None:
    if best is None:
        return None
    kept = None
    for level in LEVELS:
        if not holds(Judge(question, candidates, level), best.name):
            break
        kept = level
    return kept


def _meets(judge: Judge, name: str) -> bool:
    return judge.judged[name].state == "met"


def _is_best(judge: Judge, name: str) -> bool:
    best = judge.judged[name]
    return best.state == "met" and all(_is_settled(judge, each, best) for each in _others(judge, name))


def _is_settled(judge: Judge, judged: Judged, best: Judged) -> bool:
    return judged.state in ("missed", "out of reach", "no data") or judge.is_beaten(judged, best)


def _others(judge: Judge, name: str) -> Iterable[Judged]:
    return (each for each in judge.judged.values() if each.name != name)


def _value(place: Place) -> float:
    return place.judged.goal.value if place.judged.goal else float("inf")
